"""Ground sampling distance: how many metres of ground a pixel spans."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.exceptions import CRSError, ProjError
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.transform import RPCTransformer, from_gcps

Points = NDArray[np.float64]
ToGround = Callable[[Points, Points], tuple[Points, Points]]


class PixelSize(NamedTuple):
    """Side lengths of a pixel on the ground.

    Attributes:
        x: Along a row, in metres.
        y: Along a column, in metres.
    """

    x: float
    y: float

    def __str__(self) -> str:
        """In metres, one number where the pixel is a square."""
        x, y = (f"{side:.3g}" if side < 100 else f"{side:.0f}" for side in self)
        return f"{x} m" if abs(self.x - self.y) < 0.01 * self.x else f"{x} × {y} m"


def pixel_size(dataset: DatasetReader) -> PixelSize | None:
    """Ground size of the pixel at a raster's centre, along the geodesics of its ellipsoid.

    That is the true size also where the CRS is geographic or stretches the ground, as Web
    Mercator does. GCPs count by their best affine transform, RPCs at their mean height.

    Returns:
        The size; None where the raster has no georeferencing or its centre is not on the ground.
    """
    middle = np.array([dataset.width / 2, dataset.height / 2])[:, None]
    columns, rows = middle + np.array([[-0.5, 0.5, 0.0, 0.0], [0.0, 0.0, -0.5, 0.5]])
    gcps, gcp_crs = dataset.gcps
    if dataset.crs is not None and not dataset.transform.is_identity:
        ground = _by_affine(dataset.transform, dataset.crs, columns, rows)
    elif len(gcps) >= 3 and gcp_crs is not None:
        ground = _by_affine(from_gcps(gcps), gcp_crs, columns, rows)
    elif dataset.rpcs is not None:
        with RPCTransformer(dataset.rpcs, rpc_height=dataset.rpcs.height_off) as rpcs:
            x, y = rpcs.xy(rows, columns, offset="ul")
        ground = np.radians(x), np.radians(y), pyproj.Geod(ellps="WGS84")
    else:
        return None
    if ground is None or not np.isfinite(ground[:2]).all():
        return None
    longitude, latitude, ellipsoid = ground
    _, _, metres = ellipsoid.inv(
        longitude[::2], latitude[::2], longitude[1::2], latitude[1::2], radians=True
    )
    size = PixelSize(float(metres[0]), float(metres[1]))
    return size if np.isfinite(size).all() and min(size) > 0 else None


def _by_affine(
    transform: Affine, crs: CRS, columns: Points, rows: Points
) -> tuple[Points, Points, pyproj.Geod] | None:
    x = transform.a * columns + transform.b * rows + transform.c
    y = transform.d * columns + transform.e * rows + transform.f
    found = _to_ground(crs.to_wkt())
    if found is None:
        return None
    to_ground, ellipsoid = found
    return *to_ground(x, y), ellipsoid


@lru_cache(maxsize=64)
def _to_ground(wkt: str) -> tuple[ToGround, pyproj.Geod] | None:
    """Map coordinates to longitude and latitude in radians, and their ellipsoid."""
    try:
        crs = pyproj.CRS.from_wkt(wkt)
        geodetic, ellipsoid = crs.geodetic_crs, crs.get_geod()
        if geodetic is None or ellipsoid is None:
            return None
        transformer = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True)
    except (CRSError, ProjError):
        return None  # a local CRS, which lies nowhere on the ground
    unit = geodetic.axis_info[0].unit_conversion_factor

    def to_ground(x: Points, y: Points) -> tuple[Points, Points]:
        longitude, latitude = transformer.transform(x, y)
        return np.asarray(longitude) * unit, np.asarray(latitude) * unit

    return to_ground, ellipsoid
