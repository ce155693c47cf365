"""Where the tiles of a scene lie, and the cells on which their probabilities are blended."""

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from rsmeta.errors import SceneError


@dataclass(frozen=True)
class TileGrid:
    """Square tiles at regular steps over a scene; every pixel lies in at least one tile.

    Tiles start at 0 and step by `stride`; the last start is the smallest multiple of `stride`
    whose tile reaches the scene's edge. A cell is the largest square that every tile covers
    entirely or not at all, so that each tile covers exactly (tile / cell)² cells.

    Attributes:
        height: Rows of the scene in pixels.
        width: Columns of the scene in pixels.
        tile: Side of a tile in pixels.
        stride: Step between tiles in pixels, 1 to `tile`.
    """

    height: int
    width: int
    tile: int
    stride: int

    def __post_init__(self) -> None:
        if self.tile < 1 or not 1 <= self.stride <= self.tile:
            raise SceneError(
                f"stride {self.stride} does not fit tiles of {self.tile} px; allowed: 1 to the "
                "tile size, of which half is usual"
            )

    @classmethod
    def over(cls, height: int, width: int, tile: int, stride: int | None = None) -> "TileGrid":
        """Lay tiles over a scene; a stride of None means half a tile.

        Raises:
            SceneError: The stride is not in 1..tile.
        """
        return cls(height, width, tile, max(1, tile // 2) if stride is None else stride)

    @property
    def cell(self) -> int:
        """Side of a cell in pixels."""
        return gcd(self.tile, self.stride)

    @property
    def rows(self) -> int:
        """Number of tile rows."""
        return _steps(self.height, self.tile, self.stride)

    @property
    def columns(self) -> int:
        """Number of tile columns."""
        return _steps(self.width, self.tile, self.stride)

    @property
    def cell_shape(self) -> tuple[int, int]:
        """Rows and columns of cells that hold at least one pixel of the scene."""
        return -(-self.height // self.cell), -(-self.width // self.cell)

    @property
    def cells_per_tile(self) -> int:
        """Cells along the side of a tile."""
        return self.tile // self.cell

    @property
    def cells_per_stride(self) -> int:
        """Cells along one step from tile to tile."""
        return self.stride // self.cell

    def closed_rows(self, row: int) -> range:
        """Pixel rows of the scene that no tile row after `row` covers, but `row` does."""
        top = row * self.stride
        return range(top, self.height if row == self.rows - 1 else top + self.stride)

    def span(self, tiles: int) -> int:
        """Pixels along a run of so many neighbouring tiles."""
        return (tiles - 1) * self.stride + self.tile

    def source_rows(self, rows: range) -> NDArray[np.intp]:
        """Scene rows that fill neighbouring tile rows, reflected past the edge."""
        return _reflect(rows.start * self.stride, self.span(len(rows)), self.height)

    def source_columns(self, columns: range) -> NDArray[np.intp]:
        """Scene columns that fill a run of neighbouring tiles, reflected past the edge."""
        return _reflect(columns.start * self.stride, self.span(len(columns)), self.width)


def _steps(size: int, tile: int, stride: int) -> int:
    return max(0, -(-(size - tile) // stride)) + 1


def _reflect(start: int, length: int, size: int) -> NDArray[np.intp]:
    """Indexes start..start+length into an axis that is continued by mirroring it at its ends.

    As `np.pad(mode="symmetric")` on the whole axis, for any length: also past a second mirror,
    where a scene is smaller than half a tile.
    """
    position = np.arange(start, start + length, dtype=np.intp) % (2 * size)
    return np.minimum(position, 2 * size - 1 - position)
