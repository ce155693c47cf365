"""Where the pixels of a scene lie on the ground."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer, RPCTransformer

from rsmeta.scenes.products import Georeference

Coordinates = NDArray[np.float64]
ToMap = Callable[[Coordinates, Coordinates], tuple[Coordinates, Coordinates]]

_SMALLEST_GCPS = 3
_PIXELS_A_CALL = 100_000


@dataclass(frozen=True)
class Ground:
    """Maps pixels of a scene to coordinates.

    Attributes:
        crs: Coordinate reference system of the coordinates; None where it is not known or PROJ
            cannot read it.
        to_map: Maps columns and rows (0, 0 is the outer corner of the first pixel) to x and y; in
            a geographic system longitude and latitude. Pixels as they are where a scene has no
            georeferencing.
        is_straight: Whether straight lines of pixels stay straight.
    """

    crs: pyproj.CRS | None
    to_map: ToMap
    is_straight: bool

    @classmethod
    def of(cls, place: Georeference) -> "Ground":
        """The ground under a scene.

        A scene without a transform has geographic coordinates: of its GCPs, by the polynomial that
        GDAL fits to them, or else of its RPCs, at their mean height.
        """
        if place.has_transform or not _has_points(place):
            return cls(_readable(place.crs if place.is_mapped else None), _affine(place), True)
        if len(place.gcps) >= _SMALLEST_GCPS and place.gcp_crs is not None:
            return _by_gcps(place)
        assert place.rpcs is not None
        return cls(pyproj.CRS.from_epsg(4326), _by_rpcs(place.rpcs), False)

    def to_longitude_latitude(self, columns: Coordinates, rows: Coordinates) -> Coordinates | None:
        """Map columns and rows to degrees on the ellipsoid of the CRS.

        Returns:
            Longitude and latitude, (2, points), not finite off the ground; None where the CRS is
            unknown or lies nowhere on the earth.
        """
        geodetic = None if self.crs is None else self.crs.geodetic_crs
        if self.crs is None or geodetic is None:
            return None
        x, y = self.to_map(columns, rows)
        if not self.crs.is_geographic:
            transformer = pyproj.Transformer.from_crs(self.crs, geodetic, always_xy=True)
            x, y = transformer.transform(x, y)
        unit = geodetic.axis_info[0].unit_conversion_factor
        return np.degrees(np.stack([x, y]) * unit)


def _has_points(place: Georeference) -> bool:
    gcps = len(place.gcps) >= _SMALLEST_GCPS and place.gcp_crs is not None
    return gcps or place.rpcs is not None


def _readable(crs: CRS | None) -> pyproj.CRS | None:
    if crs is None:
        return None
    try:
        return pyproj.CRS.from_wkt(crs.to_wkt())
    except CRSError:
        return None  # a CRS that PROJ cannot read, e.g. a local one


def _affine(place: Georeference) -> ToMap:
    t = place.transform
    return lambda x, y: (t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f)


def _by_gcps(place: Georeference) -> Ground:
    own = _readable(place.gcp_crs)
    geodetic = None if own is None else own.geodetic_crs
    to_geodetic = None
    if own is not None and geodetic is not None and not own.is_geographic:
        try:
            to_geodetic = pyproj.Transformer.from_crs(own, geodetic, always_xy=True)
        except ProjError:
            geodetic = own

    def to_map(columns: Coordinates, rows: Coordinates) -> tuple[Coordinates, Coordinates]:
        with GCPTransformer(list(place.gcps)) as gcps:
            x, y = _in_calls(gcps, columns, rows)
        return (x, y) if to_geodetic is None else to_geodetic.transform(x, y)

    return Ground(geodetic, to_map, False)


def _by_rpcs(rpcs: RPC) -> ToMap:
    def to_map(columns: Coordinates, rows: Coordinates) -> tuple[Coordinates, Coordinates]:
        with RPCTransformer(rpcs, rpc_height=rpcs.height_off) as transformer:
            return _in_calls(transformer, columns, rows)

    return to_map


def _in_calls(
    transformer: GCPTransformer | RPCTransformer, columns: Coordinates, rows: Coordinates
) -> tuple[Coordinates, Coordinates]:
    """Transform in pieces: rasterio keeps several Python objects a point meanwhile."""
    pieces = [
        np.array(
            transformer.xy(
                rows[first : first + _PIXELS_A_CALL],
                columns[first : first + _PIXELS_A_CALL],
                offset="ul",
            )
        )
        for first in range(0, len(columns), _PIXELS_A_CALL)
    ]
    x, y = np.concatenate(pieces, axis=1) if pieces else np.empty((2, 0))
    return x, y
