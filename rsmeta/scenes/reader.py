"""Scene in: which of its bands a classifier wants, and its tiles, read a stretch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rsmeta.band_names import colour, contradicts, find_bands, find_some_bands
from rsmeta.errors import SceneError
from rsmeta.prediction_options import MissingBands
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.opening import OpenScene


@dataclass(frozen=True)
class Tile:
    """One tile as the classifier wants it.

    Attributes:
        row: Tile row.
        column: Tile column.
        values: (bands, tile, tile), the fill value where not valid.
        valid_fraction: Share of the tile's area that is valid pixels of the scene.
    """

    row: int
    column: int
    values: NDArray[np.float32]
    valid_fraction: float


def match_bands(
    scene: OpenScene, expected: Sequence[str], missing: MissingBands = "error"
) -> tuple[int | None, ...]:
    """Find the bands of a scene that a classifier expects.

    By name, where all expected names are among the scene's (upper or lower case, with or without
    padding zeros, in any order, other bands allowed); by colour (`red` is `R`), where names or
    the colour interpretation tell it; else in file order, where the number of bands agrees and
    no name is that of another band. Which bands are missing only names can tell.

    Args:
        scene: The open scene.
        expected: Band names of the classifier.
        missing: `zero` to allow that some, but not all, are missing.

    Returns:
        Band indexes, from 1, in the classifier's order; None for a missing band.

    Raises:
        SceneError: No rule fits.
    """
    names = [layer.name for layer in scene.layers]
    found = find_bands(names, expected)
    if found is None and not any(names):
        found = _by_colour(scene, expected)
    if found is not None:
        return tuple(position + 1 for position in found)
    some = find_some_bands(names, expected) if all(names) else None
    if some is not None and missing == "zero":
        return tuple(None if position is None else position + 1 for position in some)
    if len(names) == len(expected) and not contradicts(names, expected):
        return tuple(range(1, len(names) + 1))
    choice = (
        "" if some is None else "; --missing-bands zero takes the training mean for what is missing"
    )
    alpha = f", and {scene.alphas} alpha" if scene.alphas else ""
    raise SceneError(
        f"scene '{scene.name}' has {len(names)} data band(s) "
        f"[{', '.join(name or 'no name' for name in names)}]{alpha}; the model expects "
        f"{len(expected)} [{', '.join(expected)}]: give a scene with these bands, in this order "
        f"or named by their descriptions or by --bands{choice}"
    )


def _by_colour(scene: OpenScene, expected: Sequence[str]) -> tuple[int, ...] | None:
    """Positions of the expected bands by colour interpretation; None where it does not tell.

    Raises:
        SceneError: The bands are red, green and blue, and expected in another order. GDAL writes
            that on any three bands of 8 bits, so it may as well be untrue.
    """
    colours = [layer.colour or "" for layer in scene.layers]
    found = find_bands(colours, expected) if all(map(colour, expected)) else None
    if found is not None and colours == ["red", "green", "blue"] and found != (0, 1, 2):
        raise SceneError(
            f"scene '{scene.name}' has bands coloured red, green and blue; the model expects "
            f"{len(expected)} [{', '.join(expected)}], and these colours may be GDAL's default: "
            "name the scene's bands in file order with --bands"
        )
    return found


def read_tiles(
    scene: OpenScene,
    indexes: Sequence[int | None],
    grid: TileGrid,
    rows: range,
    columns: range,
    classifier: TileClassifier,
) -> tuple[list[Tile], NDArray[np.bool_]]:
    """Read neighbouring tiles with one read.

    Args:
        scene: The open scene.
        indexes: Its bands, in the classifier's order; None for one that it lacks.
        grid: The tile grid.
        rows: Tile rows, a run without gaps.
        columns: Tile columns, a run without gaps.
        classifier: Converts the values, and says what stands where a band has no data.

    Returns:
        The tiles that hold a valid pixel, row by row and left to right, and which of the scene's
        pixels under them are valid, i.e. have data in a band after the conversion, bool
        (height, width).
    """
    rows_from, columns_from = grid.source_rows(rows), grid.source_columns(columns)
    y, x = int(rows_from.min()), int(columns_from.min())
    window = Window(x, y, int(columns_from.max()) + 1 - x, int(rows_from.max()) + 1 - y)
    there = [index for index in indexes if index is not None]
    values, valid = scene.read(window, there)
    if len(there) < len(indexes):
        whole = np.full((len(indexes), *valid.shape), np.nan, dtype=np.float32)
        whole[[index is not None for index in indexes]] = values
        values = whole
    values = classifier.convert(values)
    missing = ~np.isfinite(values)
    valid &= ~missing.all(axis=0)
    np.copyto(values, np.asarray(classifier.fill, np.float32)[:, None, None], where=missing)
    # Mirrored pixels may reach back before the tiles: their own start at the first of them.
    top, left = rows.start * grid.stride - y, columns.start * grid.stride - x
    own = valid[top : top + grid.span(len(rows)), left : left + grid.span(len(columns))]
    if values.shape[1:] != (len(rows_from), len(columns_from)):
        values = values[:, rows_from - y][:, :, columns_from - x]
    tiles = []
    for row in rows:
        for column in columns:
            low = (row - rows.start) * grid.stride
            right = (column - columns.start) * grid.stride
            part = np.s_[low : low + grid.tile, right : right + grid.tile]
            if count := np.count_nonzero(own[part]):
                square = values[(slice(None), *part)]
                tiles.append(Tile(row, column, square, count / grid.tile**2))
    return tiles, own
