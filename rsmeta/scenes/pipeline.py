"""From the probabilities of tiles to classified rows of cells, in the order of the scene."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmeta.scenes.blend import CellBlender
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.work import UnitResult


@dataclass(frozen=True)
class ClassifiedRows:
    """The part of a scene that one tile row completes.

    Attributes:
        classes: Class index, `UNCLASSIFIED` for none, (cell rows, cell columns).
        confidence: Its probability, NaN for none, (cell rows, cell columns).
        probabilities: Of all classes, (cell rows, cell columns, classes).
        valid: Which pixels under these cells are valid, (pixel rows, width).
    """

    classes: NDArray[np.uint16]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]


def classified_rows(
    grid: TileGrid, classes: int, units: Iterable[tuple[range, UnitResult]]
) -> Iterator[ClassifiedRows]:
    """Blend overlapping tiles, always in the same order.

    Args:
        grid: The tile grid.
        classes: Number of classes.
        units: Tile rows and result of all units of the scene, from top to bottom.

    Yields:
        The scene's cell rows in order, without gaps, one tile row's at a time.
    """
    blender = CellBlender(grid, classes)
    for rows, unit in units:
        first = rows.start * grid.stride
        for row in rows:
            low, high = np.searchsorted(unit.row, (row, row + 1))
            for tile in range(low, high):
                blender.add(
                    int(unit.column[tile]), unit.probabilities[tile], unit.valid_fraction[tile]
                )
            closed = grid.closed_rows(row)
            packed = unit.valid[closed.start - first : closed.stop - first]
            valid = np.unpackbits(packed, axis=1, count=grid.width).astype(np.bool_)
            yield ClassifiedRows(*blender.close(row), valid)
