"""Vectors out: regions of equal class as polygons, with their confidence and area."""

import math
import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio.errors
import shapely
from numpy.typing import NDArray
from rasterio import features
from scipy import ndimage

from rsmeta.errors import SceneError
from rsmeta.scenes.areas import pixels_per_cell
from rsmeta.scenes.cell_map import CellMap
from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.ground import Ground
from rsmeta.scenes.products import writing
from rsmeta.scenes.qgis_style import style_table, write_styled

LAYER = "classes"


def class_polygons(
    cells: CellMap,
    grid: TileGrid,
    ground: Ground,
    pixel_area: NDArray[np.float32] | None,
    minimum_area: float = 0.0,
) -> "geopandas.GeoDataFrame":
    """Outline the 4-connected regions of equal class on the cell grid.

    Args:
        cells: The scene at cell resolution.
        grid: Its tile grid; polygons are clipped to the scene.
        ground: Where it lies. Without georeferencing polygons are in pixels, y down.
        pixel_area: See `rsmeta.scenes.areas.pixel_areas`.
        minimum_area: In square metres. A smaller region, by the median area of a cell, is merged
            into its largest neighbour (GDAL's sieve filter); one without neighbour stays.

    Returns:
        One row a region: `class_id`, `class`, `confidence` (mean over the valid pixels), `area_m2`
        (on the ellipsoid; absent where the scene does not tell where it lies), geometry.

    Raises:
        SceneError: There is a minimum area, but areas are not known.
    """
    classes, names = cells.classes, cells.legend.names
    if minimum_area > 0:
        classes = _sieved(cells, _smallest(minimum_area, pixel_area, grid))
    regions, count = _regions(classes, cells.legend.no_class)
    flat = regions.ravel()
    weights = cells.valid_pixels.ravel()
    pixels = np.bincount(flat, weights, minlength=count + 1)
    summed = np.bincount(
        flat, weights * np.nan_to_num(cells.confidence.ravel()), minlength=count + 1
    )
    class_of = np.full(count + 1, cells.legend.no_class, dtype=np.int32)
    class_of[flat] = classes.ravel()
    shapes = list(features.shapes(regions, mask=regions > 0, connectivity=4))
    order = np.array([int(value) for _, value in shapes], dtype=np.int64)
    outlines = np.array([shapely.geometry.shape(outline) for outline, _ in shapes], dtype=object)
    columns = {
        "class_id": class_of[order],
        "class": [names[index] for index in class_of[order]],
        "confidence": summed[order] / np.maximum(pixels[order], 1),
    }
    if pixel_area is not None:
        area = (pixel_area * pixels_per_cell(grid)).ravel()
        columns["area_m2"] = np.bincount(flat, area, minlength=count + 1)[order]
    geometry = _on_ground(outlines, grid, ground)
    return geopandas.GeoDataFrame(columns, geometry=geometry, crs=ground.crs)


def write_geopackage(frame: "geopandas.GeoDataFrame", cells: CellMap, path: Path) -> None:
    """Write polygons as a GeoPackage: the layer `classes`, and its style for QGIS."""
    with writing(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        write_styled(frame, path, LAYER, style_table(LAYER, cells.legend))


def write_geoparquet(frame: "geopandas.GeoDataFrame", path: Path) -> None:
    """Write polygons as GeoParquet 1.1, with the bounding box of each for fast selection."""
    with writing(path):
        frame.to_parquet(path, index=False, schema_version="1.1.0", write_covering_bbox=True)


def write_geojson(frame: "geopandas.GeoDataFrame", path: Path) -> None:
    """Write polygons as GeoJSON (RFC 7946): WGS 84 in degrees, 7 digits, for maps in browsers.

    Raises:
        SceneError: It is not known where the scene lies, or not on the earth, or the file cannot be
            written.
    """
    if frame.crs is None:
        raise SceneError(
            "the scene does not tell where it lies, so that geojson has no degrees to write; "
            "leave that product out or georeference the scene"
        )
    with writing(path):
        try:
            frame.to_crs("EPSG:4326").to_file(
                path, driver="GeoJSON", engine="pyogrio", RFC7946="YES"
            )
        except pyogrio.errors.FeatureError as cause:
            raise SceneError(
                f"the scene does not lie on the earth, so that geojson has no degrees to write "
                f"({cause}); leave that product out or mend the scene's georeferencing"
            ) from cause


def _smallest(minimum_area: float, pixel_area: NDArray[np.float32] | None, grid: TileGrid) -> int:
    """Number of cells of a minimum area."""
    if pixel_area is None:
        raise SceneError(
            "the scene does not tell where it lies, so that --minimum-area has no square metres "
            "to compare with; leave that out or georeference the scene"
        )
    cell = float(np.median(pixel_area)) * grid.cell**2
    # Float32 areas of whole cells must not ask for one cell more.
    return math.ceil(minimum_area / cell - 1e-6) if cell > 0 else 1


def _sieved(cells: CellMap, smallest: int) -> NDArray[np.unsignedinteger[Any]]:
    mask = cells.classes != cells.legend.no_class
    if smallest <= 1 or not mask.any():
        return cells.classes
    sieved: NDArray[np.unsignedinteger[Any]] = features.sieve(
        cells.classes, min(smallest, cells.classes.size), mask=mask, connectivity=4
    )
    return np.where(mask, sieved, cells.classes)


def _regions(
    classes: NDArray[np.unsignedinteger[Any]], no_class: int
) -> tuple[NDArray[np.int32], int]:
    """Number the 4-connected regions of equal class from 1; 0 where there is no class."""
    regions = np.zeros(classes.shape, dtype=np.int32)
    count = 0
    for index in np.unique(classes):
        if index == no_class:
            continue
        # ndimage.label joins the four neighbours by default.
        labels, found = ndimage.label(classes == index, output=np.int32)
        np.add(labels, count, out=regions, where=labels > 0)
        count += int(found)
    return regions, count


def _on_ground(
    outlines: NDArray[np.object_], grid: TileGrid, ground: Ground
) -> NDArray[np.object_]:
    """Outlines in cells to coordinates; the last cells end with the scene."""
    if not ground.is_straight:
        # A vertex at each corner of a cell, so that neighbours bend alike.
        outlines = shapely.segmentize(outlines, 1.0)

    def to_map(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x = np.minimum(xy[:, 0] * grid.cell, grid.width)
        y = np.minimum(xy[:, 1] * grid.cell, grid.height)
        found = np.column_stack(ground.to_map(x, y))
        if not np.isfinite(found).all():
            raise SceneError(
                "some pixels of the scene have no coordinates that are numbers, so that there are "
                "no polygons of them; mend the scene's georeferencing, or leave out gpkg, parquet "
                "and geojson"
            )
        return found

    mapped: NDArray[np.object_] = shapely.transform(outlines, to_map)
    return mapped
