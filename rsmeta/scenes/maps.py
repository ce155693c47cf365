"""Raster products: class map and confidence from classified rows, and what tells they are done."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsmeta.rasters import RASTER_ERRORS
from rsmeta.scenes.blend import NO_CLASS
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.pipeline import ClassifiedRows
from rsmeta.scenes.polygons import CellMap
from rsmeta.scenes.products import (
    ArrayRows,
    Georeference,
    RowWriter,
    describe_classes,
    to_cog,
    write_category_names,
)

Resolution = Literal["pixel", "cell"]

_RECORD = "RSMETA_PREDICTION"


@dataclass(frozen=True)
class PixelRows:
    """Rows of cells as rows of pixels, of which any part can be had.

    Attributes:
        cells: (cell rows, cell columns).
        cell: Side of a cell in pixels.
        valid: Which pixels are valid, (pixel rows, width).
        nodata: Value of the others.
    """

    cells: NDArray[Any]
    cell: int
    valid: NDArray[np.bool_]
    nodata: float

    def __len__(self) -> int:
        """Number of pixel rows."""
        return len(self.valid)

    def part(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Pixels of some rows and columns."""
        y = np.arange(*rows.indices(self.valid.shape[0])) // self.cell
        x = np.arange(*columns.indices(self.valid.shape[1])) // self.cell
        nodata = self.cells.dtype.type(self.nodata)
        return np.where(self.valid[rows, columns], self.cells[np.ix_(y, x)], nodata)


class MapWriter:
    """Writes class map and confidence of a scene from top to bottom; a context manager.

    Args:
        classes: Class map to write.
        confidence: Confidence map to write.
        grid: The tile grid.
        georeference: Of the scene.
        names: Class names.
        resolution: `pixel` or `cell`.
    """

    def __init__(
        self,
        classes: Path,
        confidence: Path,
        grid: TileGrid,
        georeference: Georeference,
        names: Sequence[str],
        resolution: Resolution,
    ) -> None:
        self.cells = CellMap.empty(grid.cell_shape)
        """The scene at cell resolution, as far as it was written."""
        self._targets = classes, confidence
        self._drafts = [path.with_suffix(".draft.tif") for path in self._targets]
        self._names = names
        self._cell = grid.cell
        self._resolution = resolution
        self._top = 0
        place, shape = georeference, (grid.height, grid.width)
        if resolution == "cell":
            place, shape = place.coarser(grid.cell), grid.cell_shape
        kinds = (("uint8", NO_CLASS), ("float32", np.nan))
        with ExitStack() as stack:
            self._writers = [
                stack.enter_context(RowWriter(path, shape, dtype, nodata, place))
                for path, (dtype, nodata) in zip(self._drafts, kinds, strict=True)
            ]
            describe_classes(self._writers[0].dataset, names)
            self._writers[1].dataset.set_band_description(1, "confidence")
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def append(self, rows: ClassifiedRows) -> None:
        """Add the rows below those already there."""
        layers = self.cells.fill(self._top, rows, self._cell)
        self._top += len(layers[0])
        for writer, layer, nodata in zip(self._writers, layers, (NO_CLASS, np.nan), strict=True):
            cells: NDArray[Any] = np.asarray(layer)
            if self._resolution == "pixel":
                writer.append(PixelRows(cells, self._cell, rows.valid, nodata))
            else:
                writer.append(ArrayRows(cells))

    def finish(self, record: Mapping[str, Any]) -> None:
        """Turn both into COGs, once all rows are there.

        Args:
            record: What `read_record` shall find in the class map.
        """
        self._writers[0].dataset.update_tags(**{_RECORD: json.dumps(record, ensure_ascii=False)})
        self._open.close()
        classes, confidence = self._targets
        to_cog(self._drafts[0], classes, resampling="mode")
        write_category_names(classes, self._names)
        to_cog(self._drafts[1], confidence, resampling="average", predictor="YES")


def read_record(classes: Path) -> dict[str, Any]:
    """What a finished class map says of its making; empty where there is none."""
    if not classes.is_file():
        return {}
    try:
        with rasterio.open(classes) as dataset:
            found: dict[str, Any] = json.loads(dataset.tags().get(_RECORD, "{}"))
    except (*RASTER_ERRORS, ValueError):
        return {}
    return found
