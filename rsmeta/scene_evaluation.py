"""Evaluation of a finished run on a scene whose true classes are known in places."""

import json
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.features import rasterize
from rasterio.windows import Window

from rsmeta.data.vector_labels import read_vectors
from rsmeta.errors import SceneError
from rsmeta.prediction import predict, single_scene
from rsmeta.prediction_options import PredictionOptions
from rsmeta.raster_names import exists, is_gdal_name
from rsmeta.rasters import open_raster
from rsmeta.scenes import Agreement, SceneSource, agreement
from rsmeta.scenes.blend import NO_CLASS

_VECTORS = frozenset({".gpkg", ".geojson", ".json", ".shp", ".parquet", ".geoparquet", ".fgb"})
_CLASS_COLUMN = "class"
_ROWS = 1024
_OPTIONS = PredictionOptions(resolution="pixel", products="classes")


def evaluate_scene(
    run: Path, scene: str | SceneSource, truth: Path, class_column: str | None = None
) -> Agreement:
    """Classify a scene and compare its class map with the truth where that has a class.

    Args:
        run: Run folder.
        scene: The scene, see `rsmeta.scenes.scene_sources`.
        truth: Raster of classes, see `rsmeta.scenes.agreement`; or polygons in any CRS.
        class_column: Column of the polygons that holds the class; None for `class`.

    Raises:
        RunError: The run cannot be loaded.
        SceneError: The scene cannot be classified, or it is not one alone, or the truth does not
            fit it.
        DataError: The polygons cannot be read.
    """
    require_truth(truth)
    is_raster = truth.suffix.lower() not in _VECTORS
    if is_raster and class_column is not None:
        raise SceneError(
            f"truth '{truth}' is a raster, which names its classes itself; leave --class-column out"
        )
    source = single_scene(scene)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (prediction,) = predict([source], run, folder, _OPTIONS)
        if is_raster:
            return agreement(prediction.classes, truth)
        drawn = folder / "truth.tif"
        draw_truth(truth, class_column or _CLASS_COLUMN, prediction.classes, drawn)
        return agreement(prediction.classes, drawn)


def require_truth(truth: Path) -> None:
    """Check that there is a truth, before a scene is classified to be compared with it.

    Raises:
        SceneError: The file is missing.
    """
    if not (exists(truth) or is_gdal_name(str(truth))):
        raise SceneError(f"truth '{truth}' does not exist; check the path")


def draw_truth(labels: Path, class_column: str, like: Path, out: Path) -> None:
    """Draw polygons as a truth raster on the grid of another raster, window by window.

    A pixel has the class of the polygon that its centre lies in; of several, of the last one.

    Args:
        labels: Vector file with one layer.
        class_column: Column that holds the class; features without a class are left out.
        like: Raster whose grid to take.
        out: uint8 GeoTIFF to write, 255 unlabelled, names in the tag `CLASS_NAMES`.

    Raises:
        SceneError: The column is missing, the polygons or the raster have no CRS, or there are
            more classes than 255.
        DataError: The file cannot be read.
    """
    frame = read_vectors(labels, None)
    if class_column not in frame:
        others = ", ".join(str(name) for name in frame.columns if name != frame.geometry.name)
        raise SceneError(
            f"truth '{labels}' has no column '{class_column}' (--class-column); it has: {others}"
        )
    frame = frame[frame[class_column].notna() & ~frame.geometry.is_empty & frame.geometry.notna()]
    names = sorted(set(frame[class_column].astype(str)))
    if len(names) > NO_CLASS:
        raise SceneError(f"truth '{labels}' has {len(names)} classes; allowed: up to {NO_CLASS}")
    with open_raster(like) as grid:
        if frame.crs is None or grid.crs is None:
            lacking = labels if frame.crs is None else like
            raise SceneError(f"'{lacking}' has no CRS, so that polygons cannot be laid over it")
        placed = frame.to_crs(grid.crs.to_wkt())
        values = [names.index(name) for name in placed[class_column].astype(str)]
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "compress": "deflate"}
        profile |= {"height": grid.height, "width": grid.width, "nodata": NO_CLASS}
        profile |= {"crs": grid.crs, "transform": grid.transform}
        with rasterio.open(out, "w", **profile) as target:
            target.update_tags(CLASS_NAMES=json.dumps(names))
            for top in range(0, grid.height, _ROWS):
                window = Window(0, top, grid.width, min(_ROWS, grid.height - top))
                shape = int(window.height), int(window.width)
                drawn = np.full(shape, NO_CLASS, dtype=np.uint8)
                if values:
                    place = grid.window_transform(window)
                    pairs = zip(placed.geometry, values, strict=True)
                    rasterize(pairs, out=drawn, transform=place)
                target.write(drawn, 1, window=window)
