"""The maps of a scene: classes, confidence and probabilities, written as rows come."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsmeta.prediction_options import Resolution
from rsmeta.rasters import RASTER_ERRORS
from rsmeta.scenes.cell_map import CellMap
from rsmeta.scenes.cell_writer import CellWriter
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.legend import Legend
from rsmeta.scenes.pipeline import ClassifiedRows
from rsmeta.scenes.product_options import Product, ProductOptions
from rsmeta.scenes.products import Georeference, class_map_to_cog, to_cog

_RECORD = "RSMETA_PREDICTION"

BYTE_SCALE = 1 / 254
"""What a value of a byte map is multiplied by to give a probability; 255 is its nodata."""

_MAPS = (Product.CLASSES, Product.CONFIDENCE, Product.PROBABILITIES)


class MapWriter:
    """Writes the maps that are asked for, and keeps the scene at cell resolution.

    Args:
        folder: Folder to write to.
        name: Name of the scene.
        grid: Its tile grid.
        place: Where it lies.
        legend: The classes.
        resolution: `pixel` for the grid of the scene, `cell` for one value a cell.
        options: Which products to write, and how.

    Attributes:
        cells: The scene at cell resolution, as far as it has been added.
        legend: The classes.
        place: Where the maps lie.
        shape: Their rows and columns.
        files: The maps, complete after `to_cogs`.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        grid: TileGrid,
        place: Georeference,
        legend: Legend,
        resolution: Resolution,
        options: ProductOptions,
    ) -> None:
        self.cells = CellMap.empty(grid.cell_shape, legend)
        self.files = {
            product: folder / product.file_name(name)
            for product in _MAPS
            if product in options.products
        }
        self.place = place if resolution == "pixel" else place.coarser(grid.cell)
        self.shape = (grid.height, grid.width) if resolution == "pixel" else grid.cell_shape
        self.legend, self._grid, self._resolution = legend, grid, resolution
        self._bytes = options.confidence == "byte"
        self._writers: dict[Product, CellWriter] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for product in self.files:
                self._writers[product] = stack.enter_context(self._open(product))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def append(self, rows: ClassifiedRows) -> None:
        """Add the rows below those already there."""
        cell = self._grid.cell
        classes, confidence, pixels = self.cells.append(rows, cell)
        valid, factor = (rows.valid, cell) if self._resolution == "pixel" else (pixels > 0, 1)
        for product, writer in self._writers.items():
            values: NDArray[Any]
            if product is Product.CLASSES:
                values = classes[..., None]
            elif product is Product.CONFIDENCE:
                values = confidence[..., None]
                values = as_bytes(values) if self._bytes else values
            else:
                values = as_bytes(rows.probabilities)
            writer.append(values, valid, factor)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Put into the class map, if there is one, what `read_record` shall find in it."""
        if Product.CLASSES in self._writers:
            text = json.dumps(record, ensure_ascii=False)
            self._writers[Product.CLASSES].set_tags(**{_RECORD: text})

    def to_cogs(self) -> None:
        """Turn what has been written into Cloud Optimized GeoTIFFs; after the block."""
        for product, target in self.files.items():
            draft = _draft(target)
            if product is Product.CLASSES:
                class_map_to_cog(draft, target, self.legend, self.place)
            else:
                # Cells enlarged to pixels are runs of equal values, which differences break up.
                enlarged = self._resolution == "pixel" and self._grid.cell > 1
                smooth = self._writers[product].is_float and not enlarged
                predictor = "YES" if smooth else "NO"
                to_cog(draft, target, resampling="average", predictor=predictor)

    def _open(self, product: Product) -> CellWriter:
        draft, names = _draft(self.files[product]), self.legend.classes
        if product is Product.CLASSES:
            legend = self.legend
            writer = CellWriter(
                draft, self.shape, ["class"], legend.dtype, legend.no_class, self.place
            )
            writer.set_tags(CLASS_NAMES=json.dumps(list(legend.names), ensure_ascii=False))
            return writer
        if product is Product.CONFIDENCE and not self._bytes:
            return CellWriter(draft, self.shape, ["confidence"], "float32", np.nan, self.place)
        bands = ["confidence"] if product is Product.CONFIDENCE else list(names)
        writer = CellWriter(draft, self.shape, bands, "uint8", 255, self.place)
        writer.set_scale(BYTE_SCALE)
        return writer


def as_bytes(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities in 0..1 as 0..254, rounded; NaN as 255."""
    scaled = np.rint(probabilities / BYTE_SCALE)
    return np.where(np.isnan(scaled), 255, scaled).astype(np.uint8)


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


def _draft(target: Path) -> Path:
    return target.with_suffix(".draft.tif")
