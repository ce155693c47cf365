"""Scene in, class map out: streams a GeoTIFF through a classifier tile row by tile row."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsmeta.errors import SceneError
from rsmeta.scenes.blend import NO_CLASS
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.opening import OpenScene, ReadOptions, open_scene
from rsmeta.scenes.pipeline import Progress, ScenePipeline
from rsmeta.scenes.polygons import CellMap, class_polygons, write_polygons
from rsmeta.scenes.products import (
    RowWriter,
    describe_classes,
    publish,
    staging,
    to_cog,
    write_category_names,
)
from rsmeta.scenes.reader import match_bands
from rsmeta.scenes.source import RasterSource, SceneSource

_LOGGER = logging.getLogger(__name__)

Resolution = Literal["pixel", "cell"]

_CACHE_BYTES = (64_000_000, 256_000_000)
_MAX_CELLS = 20_000_000


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
    stride: int | None = None,
    resolution: Resolution = "pixel",
    batch_size: int = 64,
    options: ReadOptions | None = None,
    progress: Progress | None = None,
) -> ScenePrediction:
    """Classify a scene tile by tile; never more than a few tile rows of it are in memory.

    Writes `<scene>_classes.tif`, `<scene>_confidence.tif` (both Cloud Optimized GeoTIFFs) and
    `<scene>_polygons.gpkg`. They appear when all are complete; after an error there are none.

    Args:
        scene: The scene: one raster, by its path or another name that GDAL opens, or a source.
        classifier: Model that classifies tiles.
        out_dir: Folder for the products, made if missing.
        stride: Step between tiles in pixels, 1..tile; None for half a tile.
        resolution: `pixel` for the grid of the scene, `cell` for one value a cell, i.e. a
            square of gcd(tile, stride) pixels.
        batch_size: Tiles given to the classifier at once, at most.
        options: How to read the scene; None for the defaults.
        progress: Called with the number of tiles done and the number of tiles.

    Raises:
        SceneError: The scene cannot be read, its bands do not fit, an argument is not allowed,
            or the products cannot be written.
    """
    started = time.perf_counter()
    _check(classifier, resolution, batch_size)
    options = options or ReadOptions()
    source = scene if isinstance(scene, SceneSource) else RasterSource(str(scene))
    folder, stem = Path(out_dir), source.name
    classes, confidence = f"{stem}_classes.tif", f"{stem}_confidence.tif"
    polygons = f"{stem}_polygons.gpkg"
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
            cells = _write_rasters(pipeline, resolution, stage / classes, stage / confidence)
            frame = class_polygons(
                cells, grid.cell, opened.shape, classifier.classes, opened.georeference
            )
            write_polygons(frame, stage / polygons)
            publish(stage, folder)
    return ScenePrediction(
        classes=folder / classes,
        confidence=folder / confidence,
        polygons=folder / polygons,
        pixels=cells.pixels_per_class(classifier.classes),
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
    if len(classifier.classes) >= NO_CLASS:
        raise SceneError(
            f"the model has {len(classifier.classes)} classes; a class map of 8 bits holds at "
            f"most {NO_CLASS - 1}: merge classes"
        )


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


def _write_rasters(
    pipeline: ScenePipeline, resolution: Resolution, classes: Path, confidence: Path
) -> CellMap:
    """Run the pipeline into both rasters; returns the scene at cell resolution."""
    grid, names = pipeline.grid, pipeline.classifier.classes
    place, shape = pipeline.scene.georeference, pipeline.scene.shape
    if resolution == "cell":
        place, shape = place.coarser(grid.cell), grid.cell_shape
    cells = CellMap.empty(grid.cell_shape)
    drafts = classes.with_suffix(".draft.tif"), confidence.with_suffix(".draft.tif")
    with (
        RowWriter(drafts[0], shape, "uint8", NO_CLASS, place) as class_rows,
        RowWriter(drafts[1], shape, "float32", np.nan, place) as confidence_rows,
    ):
        describe_classes(class_rows.dataset, names)
        confidence_rows.dataset.set_band_description(1, "confidence")
        top = 0
        for rows in pipeline.run():
            labels, certainty = cells.fill(top, rows, grid.cell)
            top += len(labels)
            if resolution == "pixel":
                labels = np.where(rows.valid, _enlarge(labels, grid.cell, rows.valid), NO_CLASS)
                certainty = np.where(
                    rows.valid, _enlarge(certainty, grid.cell, rows.valid), np.float32(np.nan)
                )
            class_rows.append(labels.astype(np.uint8, copy=False))
            confidence_rows.append(certainty)
    to_cog(drafts[0], classes, resampling="mode")
    write_category_names(classes, names)
    to_cog(drafts[1], confidence, resampling="average", predictor="YES")
    return cells


def _enlarge(cells: NDArray[Any], cell: int, pixels: NDArray[np.bool_]) -> NDArray[Any]:
    """Repeat cells into the pixels they consist of, cut to the shape of `pixels`."""
    height, width = pixels.shape
    large = cells.repeat(cell, axis=0)[:height].repeat(cell, axis=1)[:, :width]
    return large
