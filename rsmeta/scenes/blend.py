"""Blending of overlapping tiles into cells, with only the cell rows still open in memory."""

import numpy as np
from numpy.typing import NDArray

from rsmeta.scenes.grid import TileGrid

NO_CLASS = 255
"""Nodata value of class maps of 8 bits."""

UNCLASSIFIED = 65_535
"""Class index of a cell that no tile covers."""

_MIN_WEIGHT = 1e-6


class CellBlender:
    """Weighted mean of the probabilities of the tiles that cover each cell.

    Tiles come tile row by tile row: `add` all tiles of row 0, `close` row 0, and so on. The sums
    are kept in float64, for the `tile / cell` cell rows that later tiles can still reach.

    Args:
        grid: The tile grid.
        classes: Number of classes.
    """

    def __init__(self, grid: TileGrid, classes: int) -> None:
        self._grid = grid
        span = grid.cells_per_tile
        columns = (grid.columns - 1) * grid.cells_per_stride + span
        self._sums = np.zeros((span, columns, classes), dtype=np.float64)
        self._weights = np.zeros((span, columns), dtype=np.float64)

    def add(self, column: int, probabilities: NDArray[np.float32], valid_fraction: float) -> None:
        """Add one tile of the tile row that is open.

        Args:
            column: Tile column.
            probabilities: Of the tile, (classes,).
            valid_fraction: Share of the tile's pixels that are valid, its weight.
        """
        weight = max(valid_fraction, _MIN_WEIGHT)
        left = column * self._grid.cells_per_stride
        cells = slice(left, left + self._grid.cells_per_tile)
        self._sums[:, cells] += weight * probabilities.astype(np.float64)
        self._weights[:, cells] += weight

    def close(
        self, row: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.float32], NDArray[np.float32]]:
        """Finish a tile row: return the cell rows that no later tile reaches.

        Returns:
            Class index, uint16, and its probability, float32, both (cell rows, cell columns), and
            the probabilities of all classes, float32, (cell rows, cell columns, classes);
            `UNCLASSIFIED` and NaN where no tile was added.
        """
        rows = self._grid.closed_rows(row)
        count = -(-len(rows) // self._grid.cell)
        width = self._grid.cell_shape[1]
        weights = self._weights[:count, :width]
        covered = weights > 0
        mean = self._sums[:count, :width] / np.where(covered, weights, 1.0)[..., None]
        classes = np.where(covered, mean.argmax(axis=-1), UNCLASSIFIED).astype(np.uint16)
        np.clip(mean, 0.0, 1.0, out=mean)
        mean[~covered] = np.nan
        probabilities = mean.astype(np.float32)
        for buffer in (self._sums, self._weights):
            buffer[: len(buffer) - count] = buffer[count:].copy()
            buffer[len(buffer) - count :] = 0.0
        return classes, probabilities.max(axis=-1), probabilities
