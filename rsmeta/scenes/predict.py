"""Scene in, products out: resumes where a killed prediction of the same stopped."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import rasterio

from rsmeta.errors import SceneError
from rsmeta.scenes.ahead import ahead
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.engines import Engine, ThisProcess
from rsmeta.scenes.fingerprints import Keys
from rsmeta.scenes.journal import Journal
from rsmeta.scenes.maps import MapWriter, Resolution, read_record
from rsmeta.scenes.opening import ReadOptions
from rsmeta.scenes.pipeline import ClassifiedRows, classified_rows
from rsmeta.scenes.planning import ScenePlan, plan_scene
from rsmeta.scenes.polygons import class_polygons, write_polygons
from rsmeta.scenes.products import publish
from rsmeta.scenes.source import RasterSource, SceneSource
from rsmeta.scenes.symmetries import TestTimeAugmentation
from rsmeta.scenes.work import GridOptions, SceneWork, UnitResult

_LOGGER = logging.getLogger(__name__)

_AHEAD = 2
_CACHE_BYTES = 32_000_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ScenePrediction:
    """What `predict_scene` wrote.

    Attributes:
        classes: Class map: uint8, nodata 255, names in the tag `CLASS_NAMES`.
        confidence: Probability of the class: float32 in [0, 1], nodata NaN.
        polygons: GeoPackage with the layer `classes`.
        pixels: Valid pixels of each class, at either resolution.
        tiles: Tiles classified; tiles without a valid pixel are not.
        seconds: Time taken.
    """

    classes: Path
    confidence: Path
    polygons: Path
    pixels: dict[str, int]
    tiles: int
    seconds: float


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
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ScenePrediction:
    """Classify a scene tile by tile; never more than a few tile rows of it are in memory.

    Writes `<scene>_classes.tif`, `<scene>_confidence.tif` (both Cloud Optimized GeoTIFFs) and
    `<scene>_polygons.gpkg`. They appear when all are complete; after an error there are none.

    When the process is killed, the results so far stay in a hidden folder in `out_dir`, and the
    same call continues from there to the same products. A scene whose products are there, made
    from the same file by the same model and options, is not classified again.

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
        engine: Who classifies; None for this process.
        progress: Called with the number of tiles done and the number of tiles.

    Raises:
        SceneError: The scene cannot be read, its bands do not fit, an argument is not allowed,
            or the products cannot be written.
    """
    started = time.perf_counter()
    if resolution not in ("pixel", "cell"):
        raise SceneError(f"resolution '{resolution}' is unknown; allowed: pixel, cell")
    grid = GridOptions(tile, stride, augmentation, batch_size)
    source = _source(scene)
    plan = plan_scene(source, classifier, options or ReadOptions(), grid)
    products = _Products(Path(out_dir), source.name, plan.keys.content, resolution)
    journal = Journal(products.folder, source.name, plan.keys.work)
    finished = products.finished()
    if finished is not None:
        journal.remove_leftover()
        _LOGGER.info("scene '%s' is finished; skipped", source.origin)
        return finished
    with rasterio.Env(), journal:
        pixels, tiles = _write(
            plan, classifier, engine or ThisProcess(classifier), journal, products, progress
        )
        publish(journal.stage, products.folder, products.classes)
        journal.remove()
    return products.prediction(pixels, tiles, time.perf_counter() - started)


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
class _Products:
    """The products of a scene: names, and the record in the class map that tells they are done."""

    folder: Path
    stem: str
    key: str
    resolution: Resolution

    @property
    def classes(self) -> str:
        return f"{self.stem}_classes.tif"

    @property
    def confidence(self) -> str:
        return f"{self.stem}_confidence.tif"

    @property
    def polygons(self) -> str:
        return f"{self.stem}_polygons.gpkg"

    def record(self, pixels: dict[str, int], tiles: int) -> dict[str, Any]:
        return {"key": f"{self.key}-{self.resolution}", "pixels": pixels, "tiles": tiles}

    def finished(self) -> ScenePrediction | None:
        """The products that are there, if they are those wanted."""
        names = (self.classes, self.confidence, self.polygons)
        found = read_record(self.folder / self.classes)
        if found.get("key") != self.record({}, 0)["key"]:
            return None
        if not all((self.folder / name).is_file() for name in names):
            return None
        return self.prediction(found["pixels"], found["tiles"], 0.0)

    def prediction(self, pixels: dict[str, int], tiles: int, seconds: float) -> ScenePrediction:
        return ScenePrediction(
            classes=self.folder / self.classes,
            confidence=self.folder / self.confidence,
            polygons=self.folder / self.polygons,
            pixels=pixels,
            tiles=tiles,
            seconds=seconds,
        )


def _source(scene: str | PathLike[str] | SceneSource) -> SceneSource:
    return scene if isinstance(scene, SceneSource) else RasterSource(str(scene))


def _write(
    plan: ScenePlan,
    classifier: TileClassifier,
    engine: Engine,
    journal: Journal,
    products: _Products,
    progress: Progress | None,
) -> tuple[dict[str, int], int]:
    """Write all products to the journal's stage; returns pixels of each class, and tiles."""
    grid, names, stage = plan.work.grid, classifier.classes, journal.stage
    missing = [rows for rows in plan.work.units if rows not in journal]
    counted = _Counted(plan.work, progress)
    with (
        ahead(engine.run(plan.work, missing), _AHEAD) as results,
        MapWriter(
            stage / products.classes, stage / products.confidence,
            grid, plan.georeference, names, products.resolution,
        ) as maps,
    ):  # fmt: skip
        units = counted.through(_all_units(plan.work, plan.keys, journal, results))
        for rows in classified_rows(grid, len(names), units):
            maps.append(rows)
        pixels = maps.cells.pixels_per_class(names)
        # The scene has been read: its blocks leave the cache.
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
            maps.finish(products.record(pixels, counted.tiles))
    shape = grid.height, grid.width
    frame = class_polygons(maps.cells, grid.cell, shape, names, plan.georeference)
    write_polygons(frame, stage / products.polygons)
    return pixels, counted.tiles


def _all_units(
    work: SceneWork, keys: Keys, journal: Journal, results: Iterator[UnitResult]
) -> Iterator[tuple[range, UnitResult]]:
    """All units of the scene in order: from the journal, and new ones, which are added to it."""
    for rows in work.units:
        if rows in journal:
            yield rows, journal.load(rows)
            continue
        try:
            result = next(results)
        except SceneError:
            if keys.local:  # the same would come of it again
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
