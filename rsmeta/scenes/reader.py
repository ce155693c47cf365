"""Scene in: which of its bands a classifier wants, and its tiles, read a stretch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsmeta.errors import SceneError
from rsmeta.rasters import data_indexes, read_masked
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.grid import TileGrid

MissingBands = Literal["error", "zero"]
"""What to do where a scene lacks bands of the model: refuse it, or take the training mean."""


@dataclass(frozen=True)
class Tile:
    """One tile as the classifier wants it.

    Attributes:
        column: Tile column; the tile row is known where tiles are read.
        values: (bands, tile, tile), the fill value where not valid.
        valid_fraction: Share of the tile's area that is valid pixels of the scene.
    """

    column: int
    values: NDArray[np.float32]
    valid_fraction: float


def match_bands(
    scene: DatasetReader, expected: Sequence[str], missing: MissingBands = "error"
) -> tuple[int | None, ...]:
    """Find the bands of a scene that a classifier expects.

    By name, where every data band has a description and all expected names are among them
    (upper or lower case, in any order, other bands allowed); else in file order, where the
    number of bands agrees and no description says otherwise. Which bands are missing only names
    can tell.

    Args:
        scene: The open scene.
        expected: Band names of the classifier.
        missing: `zero` to allow that some, but not all, are missing.

    Returns:
        Band indexes, from 1, in the classifier's order; None for a missing band.

    Raises:
        SceneError: Neither rule fits.
    """
    indexes = data_indexes(scene)
    described = [(scene.descriptions[i - 1] or "").strip() for i in indexes]
    names = [name.casefold() for name in described]
    wanted = [name.casefold() for name in expected]
    if all(names) and all(names.count(name) == 1 for name in wanted):
        return tuple(indexes[names.index(name)] for name in wanted)
    found = [names.count(name) for name in wanted]
    if missing == "zero" and all(names) and max(found) == 1:
        return tuple(indexes[names.index(name)] if name in names else None for name in wanted)
    # A description that names another of the expected bands proves file order wrong.
    displaced = any(
        name in wanted and name != want for name, want in zip(names, wanted, strict=False)
    )
    if len(indexes) == len(expected) and not displaced:
        return indexes
    choice = (
        "; --missing-bands zero takes the training mean for what is missing"
        if missing == "error" and all(names) and max(found) == 1
        else ""
    )
    alpha = f", and {scene.count - len(indexes)} alpha" if len(indexes) < scene.count else ""
    raise SceneError(
        f"scene '{scene.name}' has {len(indexes)} data band(s) "
        f"[{', '.join(name or 'no name' for name in described)}]{alpha}; the model expects "
        f"{len(expected)} [{', '.join(expected)}]: give a scene with these bands, in this order "
        f"or named by their descriptions{choice}"
    )


def read_tiles(
    scene: DatasetReader,
    indexes: Sequence[int | None],
    grid: TileGrid,
    row: int,
    columns: range,
    classifier: TileClassifier,
) -> tuple[list[Tile], NDArray[np.bool_]]:
    """Read neighbouring tiles of one tile row with one read.

    Args:
        scene: The open scene.
        indexes: Its bands, in the classifier's order; None for one that it lacks.
        grid: The tile grid.
        row: Tile row.
        columns: Tile columns, a run without gaps.
        classifier: Converts the values, and says what stands where a band has no data.

    Returns:
        The tiles that hold a valid pixel, left to right, and which of the scene's pixels under
        the run are valid, i.e. have data in a band after the conversion, bool (height, width).
    """
    rows_from, columns_from = grid.source_rows(row), grid.source_columns(columns)
    y, x = int(rows_from.min()), int(columns_from.min())
    window = Window(x, y, int(columns_from.max()) + 1 - x, int(rows_from.max()) + 1 - y)
    there = [index for index in indexes if index is not None]
    values, valid = read_masked(scene, window, there)
    if len(there) < len(indexes):
        whole = np.full((len(indexes), *valid.shape), np.nan, dtype=np.float32)
        whole[[index is not None for index in indexes]] = values
        values = whole
    values = classifier.convert(values)
    present = np.isfinite(values)
    valid &= present.any(axis=0)
    fill = np.asarray(classifier.fill, dtype=np.float32)
    values = np.where(present, values, fill[:, None, None])
    # Mirrored pixels may reach back before the tile: what is the tile's own starts at row, column.
    own = valid[row * grid.stride - y :, columns.start * grid.stride - x :][: grid.tile]
    if values.shape[1:] != (len(rows_from), len(columns_from)):
        values = values[:, rows_from - y][:, :, columns_from - x]
    tiles = []
    for column in columns:
        left = (column - columns.start) * grid.stride
        count = np.count_nonzero(own[:, left : left + grid.tile])
        if count:
            square = values[:, :, left : left + grid.tile]
            tiles.append(Tile(column, square, count / grid.tile**2))
    return tiles, own
