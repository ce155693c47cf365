"""Vectors out: regions of equal class as polygons, with their confidence and area."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pyogrio.errors
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio import Affine, features
from rasterio.crs import CRS
from scipy import ndimage

from rsmeta.scenes.blend import NO_CLASS
from rsmeta.scenes.pipeline import ClassifiedRows
from rsmeta.scenes.products import Georeference, writing

LAYER = "classes"


@dataclass(frozen=True)
class CellMap:
    """A whole scene at cell resolution.

    Attributes:
        classes: Class index, `NO_CLASS` where a cell has no valid pixel; (rows, columns).
        confidence: Probability of that class, NaN where there is none; (rows, columns).
        valid_pixels: Number of valid pixels in each cell; (rows, columns).
    """

    classes: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    valid_pixels: NDArray[np.uint32]

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> "CellMap":
        """A map without any class."""
        return cls(
            np.full(shape, NO_CLASS, dtype=np.uint8),
            np.full(shape, np.nan, dtype=np.float32),
            np.zeros(shape, dtype=np.uint32),
        )

    def fill(
        self, top: int, rows: ClassifiedRows, cell: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Enter classified rows from cell row `top` on.

        Returns:
            The rows as entered: without class where a cell has no valid pixel.
        """
        height, width = rows.valid.shape
        pixels = np.add.reduceat(rows.valid, range(0, height, cell), axis=0, dtype=np.uint32)
        pixels = np.add.reduceat(pixels, range(0, width, cell), axis=1)
        part = slice(top, top + len(pixels))
        self.valid_pixels[part] = pixels
        self.classes[part] = np.where(pixels > 0, rows.classes, NO_CLASS)
        self.confidence[part] = np.where(pixels > 0, rows.confidence, np.nan)
        return self.classes[part], self.confidence[part]

    def pixels_per_class(self, classes: Sequence[str]) -> dict[str, int]:
        """Number of valid pixels of each class."""
        counts = np.zeros(NO_CLASS + 1, dtype=np.int64)
        for row, weights in zip(self.classes, self.valid_pixels, strict=True):
            counts += np.bincount(row, weights, minlength=NO_CLASS + 1).astype(np.int64)
        return {name: int(counts[index]) for index, name in enumerate(classes)}


def class_polygons(
    cells: CellMap,
    cell: int,
    shape: tuple[int, int],
    classes: Sequence[str],
    georeference: Georeference,
) -> "geopandas.GeoDataFrame":
    """Outline the 4-connected regions of equal class on the cell grid.

    Args:
        cells: Classes, confidence and valid pixels of each cell.
        cell: Side of a cell in pixels.
        shape: Height and width of the scene in pixels, to which polygons are clipped.
        classes: Class names.
        georeference: Of the scene. Without a transform polygons are in pixels, y down.

    Returns:
        One row a region: `class_id`, `class`, `confidence` (mean over the valid pixels), its
        area (`area_m2`, or `area` in square CRS units; absent without a CRS), geometry.
    """
    regions, count = _regions(cells.classes)
    weights = cells.valid_pixels.ravel()
    flat = regions.ravel()
    pixels = np.bincount(flat, weights, minlength=count + 1)
    summed = np.bincount(
        flat, weights * np.nan_to_num(cells.confidence.ravel()), minlength=count + 1
    )
    class_of = np.full(count + 1, NO_CLASS, dtype=np.uint8)
    class_of[flat] = cells.classes.ravel()
    shapes = list(features.shapes(regions, mask=regions > 0, connectivity=4))
    order = np.array([int(value) for _, value in shapes], dtype=np.int64)
    outlines = np.array([shapely.geometry.shape(outline) for outline, _ in shapes], dtype=object)
    geometry = shapely.transform(outlines, lambda xy: _to_map(xy, cell, shape, georeference))
    frame = geopandas.GeoDataFrame(
        {
            "class_id": class_of[order].astype(np.int16),
            "class": [classes[index] for index in class_of[order]],
            "confidence": summed[order] / np.maximum(pixels[order], 1),
        },
        geometry=geometry,
        crs=_frame_crs(georeference),
    )
    column, area = _area(geometry, georeference)
    if column:
        frame.insert(3, column, area)
    return frame


def write_polygons(frame: "geopandas.GeoDataFrame", path: Path) -> None:
    """Write polygons as a GeoPackage with one layer, `classes`."""
    with writing(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        try:
            frame.to_file(
                path, driver="GPKG", layer=LAYER, engine="pyogrio", geometry_type="Polygon"
            )
        except pyogrio.errors.DataSourceError as cause:
            raise OSError(str(cause)) from cause


def _regions(classes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
    """Number the 4-connected regions of equal class from 1; 0 where there is no class."""
    regions = np.zeros(classes.shape, dtype=np.int32)
    count = 0
    for index in np.unique(classes):
        if index == NO_CLASS:
            continue
        # ndimage.label joins the four neighbours by default.
        labels, found = ndimage.label(classes == index, output=np.int32)
        np.add(labels, count, out=regions, where=labels > 0)
        count += int(found)
    return regions, count


def _to_map(
    xy: NDArray[np.float64], cell: int, shape: tuple[int, int], georeference: Georeference
) -> NDArray[np.float64]:
    """Cell coordinates (column, row) to map coordinates; the last cells end with the scene."""
    x = np.minimum(xy[:, 0] * cell, shape[1])
    y = np.minimum(xy[:, 1] * cell, shape[0])
    t: Affine = georeference.transform
    return np.column_stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f])


def _frame_crs(georeference: Georeference) -> pyproj.CRS | None:
    crs: CRS | None = georeference.crs if georeference.is_mapped else None
    if crs is None:
        return None
    try:
        return pyproj.CRS.from_wkt(crs.to_wkt())
    except pyproj.exceptions.CRSError:
        return None  # a CRS that PROJ cannot read, e.g. a local one


def _area(
    geometry: NDArray[np.object_], georeference: Georeference
) -> tuple[str | None, NDArray[np.float64]]:
    """Column name and areas: on the ellipsoid for geographic CRSs, planar for projected ones."""
    crs = _frame_crs(georeference)
    if crs is not None and crs.is_geographic and crs.ellipsoid is not None:
        return "area_m2", shapely.area(shapely.transform(geometry, _equal_area(crs)))
    if crs is None or not crs.is_projected:
        return None, np.zeros(len(geometry))
    unit = crs.axis_info[0].unit_name if crs.axis_info else ""
    return ("area_m2" if unit in ("metre", "meter") else "area"), shapely.area(geometry)


def _equal_area(crs: pyproj.CRS) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Cylindrical equal-area projection of longitude and latitude, in metres.

    Cell edges follow meridians and parallels, which it keeps straight, so areas are exact; those
    between geodesics are not, and are undefined for regions that reach around the globe.
    Snyder, "Map Projections: A Working Manual" (1987), equation 3-12.
    """
    ellipsoid = crs.ellipsoid
    assert ellipsoid is not None
    flattening = 1 / ellipsoid.inverse_flattening if ellipsoid.inverse_flattening else 0.0
    # A sphere is the limit; this eccentricity is one as far as float64 can tell.
    e = max(np.sqrt(flattening * (2 - flattening)), 1e-6)
    radius = ellipsoid.semi_major_metre
    unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else np.pi / 180

    def project(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        sine = np.sin(xy[:, 1] * unit)
        q = (1 - e**2) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)
        return np.column_stack([radius * xy[:, 0] * unit, radius * q / 2])

    return project
