"""Cells into a raster that is being written: enlarged to pixels, whole blocks at a time."""

import warnings
from collections.abc import Sequence
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
        self._waiting: list[tuple[NDArray[Any], NDArray[np.bool_], int]] = []
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
        with writing(self.path):
            if kind is None:
                self._flush(self._rows_waiting)
            self.dataset.close()

    def append(self, cells: NDArray[Any], valid: NDArray[np.bool_], cell: int) -> None:
        """Add rows below those already there.

        Args:
            cells: (cell rows, cell columns, bands).
            valid: Pixels that have data, (rows, columns).
            cell: Side of a cell in pixels; the last row and column of cells may be cut.
        """
        self._waiting.append((cells, valid, cell))
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
        return sum(len(valid) for _, valid, _ in self._waiting) - self._written_of_first

    def _flush(self, count: int) -> None:
        if not count:
            return
        window = Window(0, self._top, self.dataset.width, count)
        part = slice(self._written_of_first, self._written_of_first + count)
        for band in range(self.dataset.count):
            rows = [self._enlarged(cells[..., band], v, c) for cells, v, c in self._waiting]
            self.dataset.write(np.concatenate(rows)[part], band + 1, window=window)
        self._top += count
        self._written_of_first += count
        while self._waiting and self._written_of_first >= len(self._waiting[0][1]):
            self._written_of_first -= len(self._waiting.pop(0)[1])

    def _enlarged(self, cells: NDArray[Any], valid: NDArray[np.bool_], cell: int) -> NDArray[Any]:
        """Repeat cells into the pixels they consist of; nodata where these are not valid."""
        height, width = valid.shape
        large = cells.repeat(cell, axis=0)[:height].repeat(cell, axis=1)[:, :width]
        missing = np.array(self.dataset.nodata, dtype=large.dtype)
        return np.where(valid, large, missing)
