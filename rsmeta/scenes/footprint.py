"""Outlines of scenes as GeoJSON asks for them: WGS 84, split at the antimeridian."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from shapely.affinity import translate

from rsmeta.scenes.ground import Ground

_POINTS_A_SIDE = 16
_EARTH = shapely.box(-180, -90, 180, 90)
_TOUCHING = 1e-9


@dataclass(frozen=True)
class Footprint:
    """Outline of a scene in longitude and latitude (RFC 7946).

    Attributes:
        geometry: GeoJSON; split where it crosses the antimeridian.
        bbox: West, south, east, north; west is larger than east across the antimeridian.
    """

    geometry: dict[str, Any]
    bbox: list[float]


def footprint(ground: Ground, shape: tuple[int, int]) -> Footprint | None:
    """Outline a scene of so many rows and columns.

    Returns:
        The outline; None where the scene does not tell where on the earth it lies, or reaches
        beyond it.
    """
    ring = _ring(ground, shape)
    if ring is None:
        return None
    around_pole = abs(ring[-1, 0] - ring[0, 0]) > 180
    if around_pole:
        pole = math.copysign(90, ring[:, 1].mean())
        ring = np.vstack([ring, [ring[-1, 0], pole], [ring[0, 0], pole]])
    outline = shapely.Polygon(ring)
    if not outline.is_valid:
        outline = outline.convex_hull  # of a ground so bent that the sides cross
    west, south, east, north = outline.bounds
    first = math.floor((west + 180 + _TOUCHING) / 360)
    last = math.ceil((east - 180 - _TOUCHING) / 360)
    turns = [translate(outline, -360 * turn) for turn in range(first, last + 1)]
    geometry = shapely.orient_polygons(shapely.union_all(turns).intersection(_EARTH))
    if around_pole or east - west >= 360:
        west, east = -180.0, 180.0
    else:
        west, east = west - 360 * first, east - 360 * last
    return Footprint(shapely.geometry.mapping(geometry), [west, south, east, north])


def _ring(ground: Ground, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    """Closed outline, (points, 2), longitudes without jumps: around a pole it ends a turn off."""
    height, width = shape
    share = np.linspace(0, 1, _POINTS_A_SIDE + 1)[:-1]
    zero, one = np.zeros_like(share), np.ones_like(share)
    columns = np.concatenate([share, one, 1 - share, zero, [0]]) * width
    rows = np.concatenate([zero, share, one, 1 - share, [0]]) * height
    degrees = ground.to_longitude_latitude(columns, rows)
    geodetic = None if ground.crs is None else ground.crs.geodetic_crs
    if degrees is None or geodetic is None:
        return None
    try:
        to_wgs84 = pyproj.Transformer.from_crs(geodetic.to_2d(), "OGC:CRS84", always_xy=True)
    except ProjError:
        return None  # on another planet
    unit = np.degrees(geodetic.axis_info[0].unit_conversion_factor)
    longitude, latitude = to_wgs84.transform(*(degrees / unit))
    ring = np.column_stack([np.unwrap(longitude, period=360), latitude])
    return ring if np.isfinite(ring).all() else None
