"""A small picture of the class map over its scene, with a legend."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from rasterio.windows import Window

from rsmeta.band_names import colour, known_band
from rsmeta.scenes.cell_map import CellMap
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.opening import OpenScene
from rsmeta.scenes.products import writing

_LONGEST_SIDE = 1024
_PERCENTILES = (2, 98)
_MOST_NAMES = 24
_POLARISATIONS = frozenset({"vv", "vh", "hh", "hv"})
_INCHES, _DOTS = 8.0, 150
_MAP_OPACITY = 0.5


def write_quicklook(
    path: Path,
    scene: OpenScene,
    indexes: Sequence[int | None],
    classifier: TileClassifier,
    grid: TileGrid,
    cells: CellMap,
) -> None:
    """Draw the class map over a stretched look of the scene, with the classes that occur.

    Args:
        path: PNG to write.
        scene: The open scene.
        indexes: Its bands, in the classifier's order; None for one that it lacks.
        classifier: Tells what the bands are.
        grid: The tile grid.
        cells: The classes.

    Raises:
        SceneError: The scene cannot be read, or the picture not written.
    """
    look = scene_look(scene, indexes, classifier)
    factor = _factor(scene.shape)
    centres = [
        np.minimum((np.arange(size) + 0.5) * factor // grid.cell, cells - 1).astype(np.intp)
        for size, cells in zip(look.shape[:2], grid.cell_shape, strict=True)
    ]
    classes = cells.classes[np.ix_(*centres)]
    colours = np.zeros((cells.legend.no_class + 1, 4), dtype=np.uint8)
    colours[: len(cells.legend.names), :3] = cells.legend.colours
    colours[: len(cells.legend.names), 3] = round(255 * _MAP_OPACITY)
    long_side = max(look.shape[:2])
    size = [max(1.0, _INCHES * side / long_side) for side in look.shape[1::-1]]
    figure = Figure(figsize=(size[0], size[1]), dpi=_DOTS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(look)
    axes.imshow(np.where(look[..., 3:] > 0, colours[classes], np.uint8(0)))
    axes.set_axis_off()
    handles = _handles(cells)
    if handles:
        axes.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0,
            fontsize=9, frameon=False,
        )  # fmt: skip
    with writing(path):
        FigureCanvasAgg(figure)
        figure.savefig(path, bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})


def scene_look(
    scene: OpenScene, indexes: Sequence[int | None], classifier: TileClassifier
) -> NDArray[np.uint8]:
    """A scene as a small picture: true colours, or one band in grey; radar in decibels.

    Means of squares of pixels, stretched between the 2nd and the 98th percentile of each band.

    Returns:
        Red, green, blue and opacity, (rows, columns, 4); at most 1024 on a side.
    """
    chosen, bands = _bands(indexes, classifier)
    values = _reduced(scene, chosen)
    if bands and all(known_band(name) in _POLARISATIONS for name in bands):
        values = _decibels(values)
    seen = np.isfinite(values).all(axis=0)
    picture = np.zeros((*values.shape[1:], 4), dtype=np.uint8)
    if not seen.any():
        return picture
    for channel in range(3):
        band = values[channel % len(values)]
        low, high = np.percentile(band[seen], _PERCENTILES)
        stretched = (band - low) / max(high - low, np.finfo(np.float32).tiny)
        picture[..., channel] = np.nan_to_num(255 * np.clip(stretched, 0, 1))
    picture[..., 3] = 255 * seen
    return picture


def _bands(
    indexes: Sequence[int | None], classifier: TileClassifier
) -> tuple[list[int], list[str]]:
    """Numbers and names of the bands to show: red, green and blue, else the first there is."""
    there = [(i, name) for i, name in zip(indexes, classifier.bands, strict=True) if i is not None]
    named = {colour(name): (index, name) for index, name in there}
    tinted = [named[c] for c in ("red", "green", "blue") if c in named]
    if len(tinted) < 3 and {"B04", "B03", "B02"} <= {name for _, name in there}:
        by_name = {name: (index, name) for index, name in there}
        tinted = [by_name[name] for name in ("B04", "B03", "B02")]
    shown = tinted if len(tinted) == 3 else there[:1]
    return [index for index, _ in shown], [name for _, name in shown]


def _factor(shape: tuple[int, int]) -> int:
    return -(-max(shape) // _LONGEST_SIDE)


def _reduced(scene: OpenScene, indexes: Sequence[int]) -> NDArray[np.float32]:
    """Means of the valid pixels of squares, (bands, rows, columns); a row of squares at a time."""
    factor = _factor(scene.shape)
    starts = range(0, scene.width, factor)
    rows = []
    for top in range(0, scene.height, factor):
        window = Window(0, top, scene.width, min(factor, scene.height - top))
        values, _ = scene.read(window, indexes)
        there = np.isfinite(values)
        summed = np.where(there, values, 0).sum(axis=1, dtype=np.float64)
        summed = np.add.reduceat(summed, starts, axis=1)
        counts = np.add.reduceat(there.sum(axis=1), starts, axis=1)
        mean = np.divide(summed, counts, out=np.full_like(summed, np.nan), where=counts > 0)
        rows.append(mean.astype(np.float32))
    return np.stack(rows, axis=1)


def _decibels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decibels of linear values; what has negative values is in decibels already."""
    if not np.nanmin(values, initial=0) >= 0:
        return values
    found = np.full_like(values, np.nan)
    np.log10(values, out=found, where=values > 0)
    return 10 * found


def _handles(cells: CellMap) -> list[Patch]:
    """Legend of the classes that occur, the most frequent first."""
    pixels = cells.sum_per_class(cells.valid_pixels)
    order = [int(i) for i in np.argsort(-pixels, kind="stable") if pixels[i] > 0]
    colours, names = cells.legend.colours, cells.legend.names
    handles = [
        Patch(color=[part / 255 for part in colours[i]], label=names[i])
        for i in order[:_MOST_NAMES]
    ]
    if len(order) > _MOST_NAMES:
        handles.append(Patch(alpha=0, label=f"and {len(order) - _MOST_NAMES} more"))
    return handles
