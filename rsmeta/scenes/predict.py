"""Scene in, products out: resumes where a killed prediction of the same stopped."""

import hashlib
import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import rasterio

from rsmeta.errors import EngineError, SceneError
from rsmeta.prediction_options import Resolution, TestTimeAugmentation
from rsmeta.scenes.ahead import ahead
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.delivery import ClassifiedScene
from rsmeta.scenes.engines import Engine, ThisProcess
from rsmeta.scenes.fingerprints import Keys
from rsmeta.scenes.journal import Journal
from rsmeta.scenes.legend import Legend
from rsmeta.scenes.map_writer import MapWriter, read_record
from rsmeta.scenes.model_description import ModelDescription
from rsmeta.scenes.opening import ReadOptions, open_scene
from rsmeta.scenes.pipeline import ClassifiedRows, classified_rows
from rsmeta.scenes.planning import ScenePlan, plan_scene
from rsmeta.scenes.product_options import Product, ProductOptions
from rsmeta.scenes.products import publish
from rsmeta.scenes.reader import match_bands
from rsmeta.scenes.source import RasterSource, SceneSource
from rsmeta.scenes.work import GridOptions, SceneWork, UnitResult

_LOGGER = logging.getLogger(__name__)

_AHEAD = 2
_CACHE_BYTES = 32_000_000

Progress = Callable[[int, int], None]


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
    tile: int | None = None,
    stride: int | None = None,
    augmentation: TestTimeAugmentation = "none",
    resolution: Resolution = "pixel",
    batch_size: int | None = None,
    options: ReadOptions | None = None,
    products: ProductOptions | None = None,
    description: ModelDescription | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ScenePrediction:
    """Classify a scene tile by tile; never more than a few tile rows of it are in memory.

    The products, `<scene>_classes.tif` and so on, appear when all are complete; after an error
    there are none.

    When the process is killed, the results so far stay in a hidden folder in `out_dir`, and the
    same call continues from there to the same products. A scene whose products are there, a class
    map among them, made from the same file by the same model and options, is not classified again.

    Args:
        scene: The scene: one raster, by its path or another name that GDAL opens, or a source.
        classifier: Model that classifies tiles.
        out_dir: Folder for the products, made if missing.
        tile: Side of a tile in pixels; None for that of the training chips.
        stride: Step between tiles in pixels, 1..tile; None for half a tile.
        augmentation: `none`, or `d4` for the mean over the eight orientations of each tile.
        resolution: `pixel` for the grid of the scene, `cell` for one value a cell, i.e. a
            square of gcd(tile, stride) pixels.
        batch_size: Tiles given to the classifier at once, at most; None to choose by their size.
        options: How to read the scene; None for the defaults.
        products: Which products to write, and how; None for the defaults.
        description: What summary and item say about the model; None for nothing.
        engine: Who classifies; None for this process.
        progress: Called with the number of tiles done and the number of tiles.

    Raises:
        SceneError: The scene cannot be read, its bands do not fit, an argument is not allowed,
            or the products cannot be written.
    """
    started = time.perf_counter()
    if resolution not in ("pixel", "cell"):
        raise SceneError(f"resolution '{resolution}' is unknown; allowed: pixel, cell")
    products = products or ProductOptions()
    legend = Legend(tuple(classifier.classes), products.minimum_confidence)
    grid = GridOptions(tile, stride, augmentation, batch_size)
    source = _source(scene)
    plan = plan_scene(source, classifier, options or ReadOptions(), grid)
    wanted = _Wanted(
        Path(out_dir), source.name, plan.keys.content, resolution, products, description
    )
    journal = Journal(wanted.folder, source.name, plan.keys.work)
    finished = wanted.finished()
    if finished is not None:
        journal.remove_leftover()
        _LOGGER.info("scene '%s' is finished; skipped", source.origin)
        return finished
    with rasterio.Env(), journal:
        maps, tiles = _write_maps(
            plan, legend, engine or ThisProcess(classifier), journal, wanted, progress
        )
        _deliver(plan, classifier, maps, wanted, journal.stage)
        publish(journal.stage, wanted.folder, Product.CLASSES.file_name(source.name))
        journal.remove()
    return wanted.prediction(maps.cells.pixels_per_class(), tiles, time.perf_counter() - started)


def predict_rows(
    scene: str | PathLike[str] | SceneSource,
    classifier: TileClassifier,
    *,
    tile: int | None = None,
    stride: int | None = None,
    augmentation: TestTimeAugmentation = "none",
    batch_size: int | None = None,
    options: ReadOptions | None = None,
    engine: Engine | None = None,
) -> Iterator[ClassifiedRows]:
    """Classify a scene and hand over its rows of cells as soon as they are final.

    Args:
        scene: See `predict_scene`, as the other arguments.
        classifier: Model that classifies tiles.
        tile: Side of a tile in pixels.
        stride: Step between tiles in pixels.
        augmentation: `none` or `d4`.
        batch_size: Tiles given to the classifier at once, at most.
        options: How to read the scene.
        engine: Who classifies.

    Yields:
        The rows from top to bottom, without gaps.

    Raises:
        SceneError: See `predict_scene`.
    """
    grid = GridOptions(tile, stride, augmentation, batch_size)
    work = plan_scene(_source(scene), classifier, options or ReadOptions(), grid).work
    results = (engine or ThisProcess(classifier)).run(work, work.units)
    with ahead(results, _AHEAD) as units:
        yield from classified_rows(
            work.grid, len(classifier.classes), zip(work.units, units, strict=True)
        )


@dataclass(frozen=True)
class _Wanted:
    """The products that are wanted, and the record in the class map that tells they are done."""

    folder: Path
    name: str
    key: str
    resolution: Resolution
    options: ProductOptions
    model: ModelDescription | None

    def record(self, pixels: dict[str, int], tiles: int) -> dict[str, Any]:
        meaning = self.resolution, self.options.settings(), self.model
        return {
            "key": f"{self.key}-{hashlib.sha256(repr(meaning).encode()).hexdigest()[:16]}",
            "pixels": pixels,
            "tiles": tiles,
        }

    def finished(self) -> ScenePrediction | None:
        """The products that are there, if they are those wanted."""
        files = self.prediction({}, 0, 0.0).files
        if Product.CLASSES not in files or not all(path.is_file() for path in files.values()):
            return None
        found = read_record(files[Product.CLASSES])
        if found.get("key") != self.record({}, 0)["key"]:
            return None
        return self.prediction(found["pixels"], found["tiles"], 0.0)

    def prediction(self, pixels: dict[str, int], tiles: int, seconds: float) -> ScenePrediction:
        files = {
            product: self.folder / product.file_name(self.name)
            for product in Product
            if product in self.options.products
        }
        return ScenePrediction(files, pixels, tiles, seconds)


def _source(scene: str | PathLike[str] | SceneSource) -> SceneSource:
    return scene if isinstance(scene, SceneSource) else RasterSource(str(scene))


def _write_maps(
    plan: ScenePlan,
    legend: Legend,
    engine: Engine,
    journal: Journal,
    wanted: _Wanted,
    progress: Progress | None,
) -> tuple[MapWriter, int]:
    """Write the maps to the journal's stage; returns them, and the number of tiles."""
    grid = plan.work.grid
    counted = _Counted(plan.work, progress)
    maps = MapWriter(
        journal.stage, wanted.name, grid, plan.georeference, legend, wanted.resolution,
        wanted.options,
    )  # fmt: skip
    with closing(journalled_units(plan, engine, journal)) as units, maps:
        for rows in classified_rows(grid, len(legend.classes), counted.through(units)):
            maps.append(rows)
        maps.write_record(wanted.record(maps.cells.pixels_per_class(), counted.tiles))
    # The scene has been read: its blocks leave the cache.
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        maps.to_cogs()
    return maps, counted.tiles


def _deliver(
    plan: ScenePlan, classifier: TileClassifier, maps: MapWriter, wanted: _Wanted, stage: Path
) -> None:
    """Write the products that follow from the maps."""
    work = plan.work
    settings = {
        "tile": work.grid.tile,
        "stride": work.grid.stride,
        "augmentation": work.augmentation,
        "resolution": wanted.resolution,
    }
    with (
        rasterio.Env(GDAL_CACHEMAX=work.cache_bytes),
        open_scene(work.source, classifier.bands, work.options) as opened,
    ):
        indexes = match_bands(opened, classifier.bands, work.options.missing_bands)
        ClassifiedScene(
            work.source, opened, indexes, work.grid, classifier, maps, wanted.options, wanted.model
        ).deliver(stage, settings)


def journalled_units(
    plan: ScenePlan, engine: Engine, journal: Journal
) -> Generator[tuple[range, UnitResult]]:
    """All units of a scene in order: from its journal, and new ones, which are added to it.

    Args:
        plan: The scene.
        engine: Who classifies.
        journal: Its journal, entered.

    Yields:
        Tile rows and result of each unit.

    Raises:
        SceneError: The scene cannot be read, or the model failed.
    """
    missing = [rows for rows in plan.work.units if rows not in journal]
    with ahead(engine.run(plan.work, missing), _AHEAD) as results:
        yield from _all_units(plan.work, plan.keys, journal, results)


def _all_units(
    work: SceneWork, keys: Keys, journal: Journal, results: Iterator[UnitResult]
) -> Iterator[tuple[range, UnitResult]]:
    for rows in work.units:
        if rows in journal:
            yield rows, journal.load(rows)
            continue
        try:
            result = next(results)
        except SceneError as error:
            # The same would come of it again.
            if keys.local and not isinstance(error, EngineError):
                journal.remove()
            raise
        journal.store(rows, result)
        yield rows, result


class _Counted:
    """Counts what passes, and tells the progress."""

    def __init__(self, work: SceneWork, progress: Progress | None) -> None:
        self.tiles = 0
        self._grid = work.grid
        self._progress = progress

    def through(
        self, units: Iterator[tuple[range, UnitResult]]
    ) -> Iterator[tuple[range, UnitResult]]:
        """The same units."""
        for rows, unit in units:
            self.tiles += len(unit.row)
            if self._progress is not None:
                columns = self._grid.columns
                self._progress(rows.stop * columns, self._grid.rows * columns)
            yield rows, unit
