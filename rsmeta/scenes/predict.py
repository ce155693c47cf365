"""Scene in, class map out: streams a GeoTIFF through a classifier tile row by tile row."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import rasterio

from rsmeta.errors import SceneError
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.delivery import ClassifiedScene
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.legend import Legend
from rsmeta.scenes.map_writer import MapWriter, Resolution
from rsmeta.scenes.model_description import ModelDescription
from rsmeta.scenes.opening import OpenScene, ReadOptions, open_scene
from rsmeta.scenes.pipeline import Progress, ScenePipeline
from rsmeta.scenes.product_options import Product, ProductOptions
from rsmeta.scenes.products import publish, staging
from rsmeta.scenes.reader import match_bands
from rsmeta.scenes.source import RasterSource, SceneSource

_LOGGER = logging.getLogger(__name__)

_CACHE_BYTES = (64_000_000, 256_000_000)
_MAX_CELLS = 20_000_000


@dataclass(frozen=True)
class ScenePrediction:
    """What `predict_scene` wrote.

    Attributes:
        files: The products by their kind.
        pixels: Valid pixels of each class, at either resolution.
        tiles: Tiles classified; tiles without a valid pixel are not.
        seconds: Time taken.
    """

    files: dict[Product, Path]
    pixels: dict[str, int]
    tiles: int
    seconds: float

    @property
    def classes(self) -> Path:
        """Class map: uint8 with nodata 255, or uint16 with 65535; names in `CLASS_NAMES`."""
        return self._file(Product.CLASSES)

    @property
    def confidence(self) -> Path:
        """Probability of the class: float32 in [0, 1] with nodata NaN, or uint8 with a scale."""
        return self._file(Product.CONFIDENCE)

    @property
    def polygons(self) -> Path:
        """GeoPackage with the layer `classes`."""
        return self._file(Product.GPKG)

    def _file(self, product: Product) -> Path:
        if product not in self.files:
            raise SceneError(f"the product '{product}' was not asked for; add it to the products")
        return self.files[product]


def predict_scene(
    scene: str | PathLike[str] | SceneSource,
    classifier: TileClassifier,
    out_dir: str | PathLike[str],
    *,
    stride: int | None = None,
    resolution: Resolution = "pixel",
    batch_size: int = 64,
    options: ReadOptions | None = None,
    products: ProductOptions | None = None,
    model: ModelDescription | None = None,
    progress: Progress | None = None,
) -> ScenePrediction:
    """Classify a scene tile by tile; never more than a few tile rows of it are in memory.

    The products, `<scene>_classes.tif` and so on, appear when all are complete; after an error
    there are none.

    Args:
        scene: The scene: one raster, by its path or another name that GDAL opens, or a source.
        classifier: Model that classifies tiles.
        out_dir: Folder for the products, made if missing.
        stride: Step between tiles in pixels, 1..tile; None for half a tile.
        resolution: `pixel` for the grid of the scene, `cell` for one value a cell, i.e. a
            square of gcd(tile, stride) pixels.
        batch_size: Tiles given to the classifier at once, at most.
        options: How to read the scene; None for the defaults.
        products: Which products to write, and how; None for the defaults.
        model: What the summary and the item say about the model; None for nothing.
        progress: Called with the number of tiles done and the number of tiles.

    Raises:
        SceneError: The scene cannot be read, its bands do not fit, an argument is not allowed,
            or the products cannot be written.
    """
    started = time.perf_counter()
    _check(classifier, resolution, batch_size)
    options = options or ReadOptions()
    source = scene if isinstance(scene, SceneSource) else RasterSource(str(scene))
    products = products or ProductOptions()
    legend = Legend(tuple(classifier.classes), products.minimum_confidence)
    folder = Path(out_dir)
    with (
        open_scene(source, classifier.bands, options) as opened,
        rasterio.Env(GDAL_CACHEMAX=_cache_bytes(opened)),
    ):
        indexes = match_bands(opened, classifier.bands, options.missing_bands)
        _tell_missing(opened.name, classifier.bands, indexes)
        _tell_resolution(opened, options)
        grid = TileGrid.over(opened.height, opened.width, classifier.tile_size, stride)
        _check_cells(grid)
        with staging(folder) as stage:
            pipeline = ScenePipeline(opened, indexes, grid, classifier, batch_size, progress)
            maps = MapWriter(
                stage, source.name, grid, opened.georeference, legend, resolution, products
            )
            with maps:
                for rows in pipeline.run():
                    maps.append(rows)
            maps.to_cogs()
            settings = {"tile": grid.tile, "stride": grid.stride, "resolution": resolution}
            ClassifiedScene(
                source, opened, indexes, grid, classifier, maps, products, model
            ).deliver(stage, settings)
            publish(stage, folder)
    return ScenePrediction(
        files={p: folder / p.file_name(source.name) for p in Product if p in products.products},
        pixels=maps.cells.pixels_per_class(),
        tiles=pipeline.classified,
        seconds=time.perf_counter() - started,
    )


def _tell_missing(name: str, bands: Sequence[str], indexes: Sequence[int | None]) -> None:
    missing = [band for band, index in zip(bands, indexes, strict=True) if index is None]
    if missing:
        _LOGGER.warning(
            "scene '%s' lacks %s, taken as the training mean; only a model trained with "
            "augmentation.band_dropout is used to that",
            name,
            ", ".join(missing),
        )


def _tell_resolution(scene: OpenScene, options: ReadOptions) -> None:
    if options.unfit(scene.pixel_size) and not options.match_resolution:
        _LOGGER.warning(
            "scene '%s' has pixels of %s, the model was trained on %.3g m: it may classify badly; "
            "--match-resolution resamples the scene",
            scene.name,
            scene.pixel_size,
            options.pixel_size,
        )


def _check(classifier: TileClassifier, resolution: str, batch_size: int) -> None:
    if resolution not in ("pixel", "cell"):
        raise SceneError(f"resolution '{resolution}' is unknown; allowed: pixel, cell")
    if batch_size < 1:
        raise SceneError(f"batch size {batch_size} is too small; allowed: 1 or more")


def _check_cells(grid: TileGrid) -> None:
    rows, columns = grid.cell_shape
    if rows * columns > _MAX_CELLS:
        raise SceneError(
            f"stride {grid.stride} with tiles of {grid.tile} px makes {rows * columns} cells of "
            f"{grid.cell} px; allowed are {_MAX_CELLS}: choose a stride with a larger common "
            "divisor with the tile size, such as half of it"
        )


def _cache_bytes(scene: OpenScene) -> int:
    """Block cache that holds a row of the scene's blocks, within limits.

    GDAL's default grows with the machine's memory; less than a row of blocks would decode each
    block once for every tile row it meets.
    """
    return int(np.clip(2 * scene.block_row_bytes, *_CACHE_BYTES))
