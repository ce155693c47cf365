"""A scene and its classes as small pictures, for quick-looks and pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rsmeta.looks import look, shown_bands
from rsmeta.scenes.cell_map import CellMap
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.opening import OpenScene

_LONGEST_SIDE = 1024


@dataclass(frozen=True)
class ScenePicture:
    """A scene and its classes, at most 1024 pixels on a side.

    Attributes:
        look: Red, green, blue and opacity of the scene, (rows, columns, 4), uint8.
        classes: Values of the legend, (rows, columns); that of no class where the scene has no
            data.
        confidence: Of these classes, (rows, columns), 0..1; NaN where there is none.
        factor: Pixels of the scene along the side of one of the picture.
    """

    look: NDArray[np.uint8]
    classes: NDArray[np.unsignedinteger[Any]]
    confidence: NDArray[np.float32]
    factor: int


def scene_picture(
    scene: OpenScene,
    indexes: Sequence[int | None],
    classifier: TileClassifier,
    grid: TileGrid,
    cells: CellMap,
) -> ScenePicture:
    """Reduce a scene and take the classes at the middles of the larger pixels.

    Args:
        scene: The open scene.
        indexes: Its bands, in the classifier's order; None for one that it lacks.
        classifier: Tells what the bands are.
        grid: The tile grid.
        cells: The classes.

    Raises:
        SceneError: The scene cannot be read.
    """
    picture = scene_look(scene, indexes, classifier)
    factor = _factor(scene.shape)
    centres = np.ix_(*(
        np.minimum((np.arange(size) + 0.5) * factor // grid.cell, most - 1).astype(np.intp)
        for size, most in zip(picture.shape[:2], grid.cell_shape, strict=True)
    ))  # fmt: skip
    seen = picture[..., 3] > 0
    classes = np.where(seen, cells.classes[centres], cells.legend.no_class)
    confidence = np.where(seen, cells.confidence[centres], np.float32(np.nan))
    return ScenePicture(picture, classes.astype(cells.legend.dtype), confidence, factor)


def scene_look(
    scene: OpenScene, indexes: Sequence[int | None], classifier: TileClassifier
) -> NDArray[np.uint8]:
    """A scene as a small picture: true colours, or one band in grey; radar in decibels.

    Means of squares of pixels, stretched between the 2nd and the 98th percentile of each band.

    Returns:
        Red, green, blue and opacity, (rows, columns, 4); at most 1024 on a side.
    """
    there = [(i, name) for i, name in zip(indexes, classifier.bands, strict=True) if i is not None]
    shown = [there[place] for place in shown_bands([name for _, name in there])]
    return look(_reduced(scene, [index for index, _ in shown]), [name for _, name in shown])


def coloured(cells: CellMap, classes: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint8]:
    """Values of the legend in its colours, (rows, columns, 4); transparent without class."""
    colours = np.zeros((cells.legend.no_class + 1, 4), dtype=np.uint8)
    colours[: len(cells.legend.names), :3] = cells.legend.colours
    colours[: len(cells.legend.names), 3] = 255
    picture: NDArray[np.uint8] = colours[classes]
    return picture


def occurring(cells: CellMap) -> list[int]:
    """Values of the classes that occur, the most frequent first."""
    pixels = cells.sum_per_class(cells.valid_pixels)
    return [int(i) for i in np.argsort(-pixels, kind="stable") if pixels[i] > 0]


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
