"""Cutting the objects of DOTA out of its images, once, into a folder of chips with a table."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from rsmeta.data.torchgeo_sets import READ_ERRORS, construct
from rsmeta.errors import DataError
from rsmeta.rasters import reason
from rsmeta.recipe import DotaData
from rsmeta.whole_files import whole_file

_SPLITS = ("train", "val")
_COLUMNS = ["path", "label", "split"]
_PROGRESS = 100  # images between two lines of the log
_LOGGER = logging.getLogger(__name__)


class _Object(NamedTuple):
    """One annotated object: its corners (4, 2) as x and y in pixels, clockwise, and its class."""

    corners: NDArray[np.float64]
    label: str


def cut_dota(config: DotaData) -> Path:
    """Cut the objects of both splits out of their images.

    The cache folder holds `SPLIT/CLASS/IMAGE_X1_Y1_X2_Y2.png` (named by the rectangle around the
    object without margin, as in the index files of debLoRA and MetaPEFT), a list of chips for
    each finished image below `parts/`, `settings.json`, and at last `chips.csv` with the columns
    path, label and split. Every file appears under its name when it is complete, so a run that
    was stopped goes on with the image it was at, and several runs may share a folder.

    Args:
        config: The recipe's section.

    Returns:
        The table; once it is there, DOTA itself is not needed any more.

    Raises:
        DataError: DOTA is missing or damaged, or the cache was cut with other settings.
    """
    cache = config.cache
    _check_settings(config)
    table = cache / "chips.csv"
    if table.is_file():
        return table
    parts = [part for split in _SPLITS for part in _cut_split(config, split)]
    chips = pd.concat([pd.read_csv(part, dtype=str) for part in parts])
    _write(table, lambda path: chips.to_csv(path, index=False))
    _LOGGER.info("DOTA: %d chips in '%s'", len(chips), table)
    return table


def _check_settings(config: DotaData) -> None:
    wanted = config.model_dump(
        mode="json", include={"version", "boxes", "margin", "minimum_side", "classes"}
    )
    path = config.cache / "settings.json"
    if not path.is_file():
        _write(path, lambda target: target.write_text(json.dumps(wanted, indent=2)))
        return
    try:
        found = dict(json.loads(path.read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"'{path}' is damaged; delete the folder or name another") from error
    others = [key for key, value in wanted.items() if found.get(key) != value]
    if others:
        shown = ", ".join(f"data.{key} {found.get(key)}" for key in others)
        raise DataError(
            f"data.cache '{config.cache}' holds chips cut with other settings ({shown}); name "
            "another folder, or delete this one"
        )


def _cut_split(config: DotaData, split: str) -> list[Path]:
    """Cut all images of a split that are not finished; the lists of their chips."""
    from torchgeo.datasets import DOTA

    dataset = construct(
        DOTA,
        config,
        split=split,
        version=config.version,
        bbox_orientation="oriented",
        download=config.download,
        checksum=config.checksum,
    )
    names = [Path(path).stem for path in dataset.sample_df["image_path"]]
    if not names:
        raise DataError(
            f"samples.csv in data.root '{config.root}' lists no image of split {split}, version "
            f"{config.version}; complete it or change data.version"
        )
    parts = [config.cache / "parts" / split / f"{name}.csv" for name in names]
    finished = sum(part.is_file() for part in parts)
    _LOGGER.info("DOTA %s: %d of %d images are cut already", split, finished, len(parts))
    for index, (name, part) in enumerate(zip(names, parts, strict=True)):
        if not part.is_file():
            _cut_image(config, dataset, index, f"{split}/{name}", part)
        if (index + 1) % _PROGRESS == 0:
            _LOGGER.info("DOTA %s: %d of %d images", split, index + 1, len(parts))
    return parts


def _cut_image(config: DotaData, dataset: Any, index: int, name: str, part: Path) -> None:
    """Cut one image; its list is written last and so says that all its chips are there."""
    split, image_name = name.split("/")
    try:
        sample = dataset[index]
    except (*READ_ERRORS, IndexError, Image.DecompressionBombError) as error:
        raise DataError(
            f"image {name} of DOTA in data.root '{config.root}' or its annotation cannot be read: "
            f"{reason(error)}; replace it"
        ) from error
    pixels = sample["image"].numpy().astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(pixels).convert("RGBA" if config.boxes == "oriented" else "RGB")
    rows, used = [], Counter[str]()
    for found in _objects(sample, dataset.classes, config):
        chip = (_turned if config.boxes == "oriented" else _upright)(image, found, config.margin)
        if chip is None:
            continue
        stem = "_".join(map(str, (image_name, *_rectangle(found.corners))))
        used[f"{found.label}/{stem}"] += 1
        repeated = used[f"{found.label}/{stem}"]
        file = f"{split}/{found.label}/{stem}{f'_{repeated}' if repeated > 1 else ''}.png"
        _write(config.cache / file, partial(chip.save, format="PNG"))
        rows.append((file, found.label, split))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    _write(part, lambda path: table.to_csv(path, index=False))


def _objects(sample: Any, classes: tuple[str, ...], config: DotaData) -> Iterator[_Object]:
    """The objects of an image that are of the chosen classes and large enough."""
    corners = sample["bbox"].numpy().astype(np.float64).reshape(-1, 4, 2)
    for box, number in zip(corners, sample["labels"].tolist(), strict=True):
        sides = _sides(box) if config.boxes == "oriented" else np.ptp(box, axis=0)
        if classes[number] in config.classes and min(sides) >= config.minimum_side:
            yield _Object(box, classes[number])


def _sides(corners: NDArray[np.float64]) -> tuple[float, float]:
    """Width and height of an oriented box; means of opposite sides, which may differ a little."""
    closed = np.vstack([corners, corners[:1]])
    lengths = [float(np.linalg.norm(end - start)) for start, end in pairwise(closed)]
    return (lengths[0] + lengths[2]) / 2, (lengths[1] + lengths[3]) / 2


def _rectangle(corners: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Whole pixels around an object: left, top, right, bottom."""
    left, top = np.floor(corners.min(axis=0))
    right, bottom = np.ceil(corners.max(axis=0))
    return int(left), int(top), int(right), int(bottom)


def _widened(corners: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Corners moved away from their centre by a share of the box on each side."""
    centre = corners.mean(axis=0)
    widened: NDArray[np.float64] = centre + (corners - centre) * (1 + 2 * margin)
    return widened


def _upright(image: Image.Image, found: _Object, margin: float) -> Image.Image | None:
    """The rectangle around an object, as far as it lies in the image; None where it does not."""
    low, high = found.corners.min(axis=0), found.corners.max(axis=0)
    left, top, right, bottom = _rectangle(_widened(np.array([low, high]), margin))
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, image.width), min(bottom, image.height)
    return image.crop((left, top, right, bottom)) if left < right and top < bottom else None


def _turned(image: Image.Image, found: _Object, margin: float) -> Image.Image | None:
    """The oriented box turned upright; transparent, which reads as no data, beyond the image."""
    first, second, third, fourth = _widened(found.corners, margin)
    width, height = (max(1, round(side * (1 + 2 * margin))) for side in _sides(found.corners))
    quad = tuple(float(value) for corner in (first, fourth, third, second) for value in corner)
    chip = image.transform((width, height), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    return chip if chip.getchannel("A").getbbox() else None


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file that is either complete or not there."""
    try:
        with whole_file(path) as unfinished:
            write(unfinished)
    except OSError as error:
        raise DataError(f"data.cache: '{path}' cannot be written: {reason(error)}") from error
