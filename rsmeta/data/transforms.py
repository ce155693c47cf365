"""Per-chip geometry (albumentations), without state: a chip's change depends on its draw alone.

All changes move whole pixels. Pixels without data (NaN) move along and no value is mixed with
theirs: what a crop lacks in size is made up by the one resize that every chip goes through, after
pixels without data have become the training mean.
"""

from collections.abc import Callable, Mapping
from typing import Any

import albumentations as A
import numpy as np
from albumentations.augmentations.crops.transforms import BaseCrop
from numpy.typing import NDArray

from rsmeta.recipe import GeometryName

Geometry = Callable[[NDArray[np.float32], int], NDArray[np.float32]]
"""Maps a chip (bands, height, width) and a seed to a chip of the same bands."""


class _AreaCrop(BaseCrop):
    """A random crop with the proportions of the image; resizing is left to others.

    `albumentations.RandomResizedCrop` would interpolate at once, over pixels without data.

    Args:
        scale: Least and largest share of the area, in (0, 1].
    """

    def __init__(self, scale: tuple[float, float]) -> None:
        super().__init__(p=1)
        self.scale = scale

    def get_params_dependent_on_data(
        self, params: Mapping[str, Any], data: Mapping[str, Any]
    ) -> dict[str, tuple[int, int, int, int]]:
        """Draw the crop, uniform in its area and in its place."""
        side = self.py_random.uniform(*self.scale) ** 0.5
        height, width = params["shape"][:2]
        kept_height, kept_width = (max(1, round(side * length)) for length in (height, width))
        top = self.py_random.randint(0, height - kept_height)
        left = self.py_random.randint(0, width - kept_width)
        return {"crop_coords": (left, top, left + kept_width, top + kept_height)}


def build_geometry(name: GeometryName, crop_scale: tuple[float, float] | None = None) -> Geometry:
    """The geometric augmentation of a recipe.

    Args:
        name: Which symmetries are drawn from, all equally likely.
        crop_scale: Least and largest share of the area that a crop keeps; None for no crop.
    """
    changes = {
        "none": None,
        # One choice among four: two flips seeded alike would always fall together.
        "flips": A.OneOf(
            [
                A.NoOp(p=1),
                A.HorizontalFlip(p=1),
                A.VerticalFlip(p=1),
                A.Sequential([A.HorizontalFlip(p=1), A.VerticalFlip(p=1)], p=1),
            ],
            p=1,
        ),
        "quarter_turns": A.RandomRotate90(p=1),
        "d4": A.D4(p=1),
    }
    crop = None if crop_scale is None else _AreaCrop(crop_scale)
    steps = [step for step in (crop, changes[name]) if step is not None]
    if not steps:
        return lambda chip, seed: chip
    pipeline = A.Compose(steps)

    def transform(chip: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        pipeline.set_random_seed(seed)
        changed = pipeline(image=chip.transpose(1, 2, 0))["image"]
        return np.ascontiguousarray(changed.reshape(*changed.shape[:2], -1).transpose(2, 0, 1))

    return transform
