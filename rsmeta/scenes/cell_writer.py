"""Cells into a raster that is being written: enlarged to pixels, whole blocks at a time."""

import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from rsmeta.scenes.products import Georeference, writing

_BLOCK = 256
_STRIP = 8 * _BLOCK


@dataclass(frozen=True)
class _Rows:
    """Rows of cells as rows of pixels, of which any part can be had; see `CellWriter.append`."""

    cells: NDArray[Any]
    valid: NDArray[np.bool_]
    cell: int

    def part(self, band: int, rows: slice, columns: slice, missing: Any) -> NDArray[Any]:
        """Pixels of some rows and columns of a band."""
        y = np.arange(*rows.indices(self.valid.shape[0])) // self.cell
        x = np.arange(*columns.indices(self.valid.shape[1])) // self.cell
        values = self.cells[..., band][np.ix_(y, x)]
        return np.where(self.valid[rows, columns], values, missing)


class CellWriter:
    """Writes a tiled GeoTIFF from rows of cells.

    A compressed block that is written twice stays in the file twice, so rows wait here until
    they fill blocks. They wait as cells, and one band after the other is enlarged, so that memory
    hardly grows with the number of bands.

    Args:
        path: File to write.
        shape: Rows and columns of the raster in pixels.
        names: Descriptions of the bands.
        dtype: Type of the values.
        nodata: Value of pixels without data.
        georeference: Where the raster lies.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        names: Sequence[str],
        dtype: "np.dtype[Any] | str",
        nodata: float,
        georeference: Georeference,
    ) -> None:
        self.path = path
        self._waiting: list[_Rows] = []
        self._missing = np.dtype(dtype).type(nodata)
        self._written_of_first = 0
        self._top = 0
        with writing(path), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self.dataset = rasterio.open(
                path, "w", driver="GTiff", height=shape[0], width=shape[1], count=len(names),
                dtype=dtype, nodata=nodata, tiled=True, blockxsize=_BLOCK, blockysize=_BLOCK,
                compress="deflate", zlevel=1, interleave="band", bigtiff="IF_SAFER",
            )  # fmt: skip
            georeference.write(self.dataset)
            for band, name in enumerate(names, 1):
                self.dataset.set_band_description(band, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with writing(self.path), closing(self.dataset):
            if kind is None:
                self._flush(self._rows_waiting)

    def append(self, cells: NDArray[Any], valid: NDArray[np.bool_], cell: int) -> None:
        """Add rows below those already there.

        Args:
            cells: (cell rows, cell columns, bands).
            valid: Pixels that have data, (rows, columns).
            cell: Side of a cell in pixels; the last row and column of cells may be cut.
        """
        self._waiting.append(_Rows(cells, valid, cell))
        if self._rows_waiting >= _BLOCK:
            with writing(self.path):
                self._flush(self._rows_waiting - self._rows_waiting % _BLOCK)

    @property
    def is_float(self) -> bool:
        """Whether the values are floating-point numbers."""
        return str(self.dataset.dtypes[0]).startswith("float")

    def set_tags(self, **tags: str) -> None:
        """Set tags of the raster."""
        with writing(self.path):
            self.dataset.update_tags(**tags)

    def set_scale(self, scale: float) -> None:
        """Say what the values are to be multiplied by."""
        with writing(self.path):
            self.dataset.scales = [scale] * self.dataset.count

    @property
    def _rows_waiting(self) -> int:
        return sum(len(rows.valid) for rows in self._waiting) - self._written_of_first

    def _flush(self, count: int) -> None:
        """Write so many of the rows that wait, a strip of columns and a band at a time."""
        taken = self._take(count)
        width = self.dataset.width if taken else 0
        for left in range(0, width, _STRIP):
            columns = slice(left, min(left + _STRIP, width))
            window = Window(left, self._top, columns.stop - left, count)
            for band in range(self.dataset.count):
                parts = [rows.part(band, part, columns, self._missing) for rows, part in taken]
                self.dataset.write(np.concatenate(parts), band + 1, window=window)
        self._top += count

    def _take(self, count: int) -> list[tuple[_Rows, slice]]:
        """The rows to write next, of which those that are used up no longer wait."""
        taken = []
        while count:
            rows, start = self._waiting[0], self._written_of_first
            stop = min(start + count, len(rows.valid))
            taken.append((rows, slice(start, stop)))
            count -= stop - start
            self._written_of_first = stop
            if stop == len(rows.valid):
                self._waiting.pop(0)
                self._written_of_first = 0
        return taken
