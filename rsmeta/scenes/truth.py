"""How well a class map agrees with a raster of true classes."""

import json
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsmeta.errors import SceneError
from rsmeta.rasters import open_raster
from rsmeta.scenes.blend import NO_CLASS
from rsmeta.scenes.resampling import Grid

_PIXELS_AT_ONCE = 4_000_000
_LARGEST_SHIFT = 0.5


@dataclass(frozen=True)
class Agreement:
    """Agreement of a class map with the truth, over pixels that have a class in both.

    Attributes:
        overall: Share of labelled pixels whose class is right.
        recall: Share of right pixels of each class present in the truth, by name.
        mean_recall: Mean of `recall`: every class weighs the same.
        labelled: Number of pixels compared.
    """

    overall: float
    recall: dict[str, float]
    mean_recall: float
    labelled: int


def agreement(map_path: str | PathLike[str], truth_path: str | PathLike[str]) -> Agreement:
    """Compare a class map, of pixels or of cells, with a truth raster of pixels, window by window.

    Pixels that the truth leaves unlabelled (255) or that the map has no class for (the scene is
    not valid there) do not count. A true class that the map does not know counts as missed.

    Args:
        map_path: Class map with nodata 255, as `predict_scene` writes it.
        truth_path: uint8 class indexes, 255 unlabelled, names in the tag `CLASS_NAMES` (JSON
            list). Classes are matched by name, so its indexes may differ from the map's.

    Raises:
        SceneError: A raster cannot be read, the shapes or the places differ, one is not uint8
            or has no usable `CLASS_NAMES`, an index has no name, or no labelled pixel can be
            compared.
    """
    with open_raster(map_path) as mapped, open_raster(truth_path) as truth:
        side = _side_of_cell(mapped, truth)
        for raster in (mapped, truth):
            if raster.dtypes[0] != "uint8":
                raise SceneError(
                    f"raster '{raster.name}' has pixels of type {raster.dtypes[0]}; allowed is "
                    "uint8 class indexes, 255 for none: convert it"
                )
        names, classes = _class_names(truth), _class_names(mapped)
        pairs = _count_pairs(mapped, truth, side)
    for index in np.flatnonzero(pairs.sum(axis=1)):
        if index >= len(names):
            raise SceneError(
                f"truth '{truth_path}' holds class {index}; its CLASS_NAMES name 0 to "
                f"{len(names) - 1}, and 255 is unlabelled: add the name"
            )
    counts = pairs.sum(axis=1)
    labelled = int(counts.sum())
    if not labelled:
        raise SceneError(
            f"truth '{truth_path}' has no labelled pixel where the map has a class; "
            "label some pixels with an index other than 255"
        )
    column = {name: index for index, name in enumerate(classes)}
    right = {n: int(pairs[i, column[n]]) if n in column else 0 for i, n in enumerate(names)}
    recall = {n: right[n] / int(counts[i]) for i, n in enumerate(names) if counts[i]}
    return Agreement(
        sum(right.values()) / labelled, recall, sum(recall.values()) / len(recall), labelled
    )


def _side_of_cell(mapped: DatasetReader, truth: DatasetReader) -> int:
    """Pixels of the truth along the side of what the map has one value for."""
    side = 1
    if mapped.shape != truth.shape and truth.transform.determinant:
        side = max(1, round(abs(mapped.transform.determinant / truth.transform.determinant) ** 0.5))
    if mapped.shape != (-(-truth.height // side), -(-truth.width // side)):
        raise SceneError(
            f"truth '{truth.name}' has {truth.height} × {truth.width} pixels, the map "
            f"'{mapped.name}' {mapped.height} × {mapped.width}; allowed is the same grid: "
            "predict at pixel resolution, or resample the truth"
        )
    _require_one_place(mapped, truth, side)
    return side


def _require_one_place(mapped: DatasetReader, truth: DatasetReader, side: int) -> None:
    """Refuse a truth of another place, as far as both rasters tell theirs.

    Raises:
        SceneError: The CRS differ, or a corner is half a pixel of the truth or more off.
    """
    grid, other = Grid.of(truth), Grid.of(mapped)
    places = grid.georeference, other.georeference
    if not all(place.is_mapped for place in places):
        return
    frame = grid.frame(other) * Affine.scale(1 / side)
    height, width = grid.shape
    corners = [(x, y) for x in (0, width) for y in (0, height)]
    off = max(abs(a - b) for c in corners for a, b in zip(frame * c, c, strict=True))
    if places[0].crs != places[1].crs or not off < _LARGEST_SHIFT:
        raise SceneError(
            f"truth '{truth.name}' lies elsewhere than the map '{mapped.name}', though it has as "
            "many pixels; give the truth of the scene that was classified"
        )


def _class_names(raster: DatasetReader) -> list[str]:
    text = raster.tags().get("CLASS_NAMES")
    try:
        names = json.loads(text or "null")
    except json.JSONDecodeError:
        names = None
    if not isinstance(names, list) or len(set(map(str, names))) != len(names):
        raise SceneError(
            f"raster '{raster.name}' has the tag CLASS_NAMES {text!r}; allowed is a JSON list of "
            'different class names, such as ["water", "forest"]: set it with rio edit-info'
        )
    return [str(name) for name in names]


def _count_pairs(mapped: DatasetReader, truth: DatasetReader, side: int) -> NDArray[np.int64]:
    """Number of pixels of each true (first axis) and mapped (second axis) class."""
    pairs = np.zeros(256 * 256, dtype=np.int64)
    rows = side * max(1, _PIXELS_AT_ONCE // (side * truth.width))
    for top in range(0, truth.height, rows):
        height = min(rows, truth.height - top)
        true = truth.read(1, window=Window(0, top, truth.width, height)).astype(np.intp)
        cells = Window(0, top // side, mapped.width, -(-height // side))
        found = mapped.read(1, window=cells).repeat(side, axis=0).repeat(side, axis=1)
        found = found[:height, : truth.width]
        pairs += np.bincount((true * 256 + found).ravel(), minlength=65536)
    table = pairs.reshape(256, 256)
    table[NO_CLASS], table[:, NO_CLASS] = 0, 0
    return table
