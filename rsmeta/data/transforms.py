"""Per-chip geometry (albumentations), without state: a chip's change depends on its draw alone."""

from collections.abc import Callable

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from rsmeta.recipe import GeometryName

Geometry = Callable[[NDArray[np.float32], int], NDArray[np.float32]]
"""Maps a chip (bands, height, width) and a seed to a chip of the same bands."""


def build_geometry(name: GeometryName) -> Geometry:
    """The geometric augmentation of a recipe."""
    if name == "none":
        return lambda chip, seed: chip
    changes = {
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
        "d4": A.D4(p=1),
    }
    pipeline = A.Compose([changes[name]])

    def transform(chip: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        pipeline.set_random_seed(seed)
        changed = pipeline(image=np.ascontiguousarray(chip.transpose(1, 2, 0)))["image"]
        return np.ascontiguousarray(changed.reshape(*changed.shape[:2], -1).transpose(2, 0, 1))

    return transform
