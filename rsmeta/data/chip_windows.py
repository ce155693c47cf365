"""Where chips of a labelled feature lie: squares in pixel coordinates."""

from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Kind = Literal["point", "line", "polygon"]
_KINDS: tuple[Kind, ...] = ("point", "line", "polygon")

# Reprojection moves corners a little: a polygon as large as its chips must still hold them all.
_ROOM = 0.5  # pixels that the chips of a grid may reach beyond the polygon's box
_SLACK = 1e-3  # share of a chip


def kind_of(geometry: BaseGeometry) -> Kind:
    """What a geometry is; of a collection, what its parts of the highest dimension are."""
    return _KINDS[int(shapely.get_dimensions(geometry))]


def chip_corners(
    geometry: BaseGeometry, chip: int, stride: float, minimum_cover: float
) -> NDArray[np.int64]:
    """Squares for a feature: points in the middle, lines at steps, polygons on a grid.

    The grid of a polygon is centred in its bounding box; where no square of it is covered enough,
    the square around a point inside the polygon is tried.

    Args:
        geometry: Feature in pixel coordinates (column, row), not empty.
        chip: Side of a square in pixels.
        stride: Step between squares in pixels.
        minimum_cover: Share of a square that a polygon covers at least, (0, 1].

    Returns:
        (squares, 2), column and row of the upper left pixels, sorted, each square once.
    """
    kind = kind_of(geometry)
    flat = shapely.get_parts(shapely.get_parts([geometry]))
    parts = flat[shapely.get_dimensions(flat) == _KINDS.index(kind)]
    if kind == "point":
        return _around(parts, chip)
    if kind == "line":
        return _around(np.concatenate([_along(part, stride) for part in parts]), chip)
    on_grid = np.concatenate([_grid(part, chip, stride) for part in parts])
    least = minimum_cover - _SLACK
    enough = on_grid[polygon_cover(geometry, on_grid, chip) >= least]
    if len(enough) == 0:
        inside = _around(shapely.point_on_surface(parts), chip)
        enough = inside[polygon_cover(geometry, inside, chip) >= least]
    return np.unique(enough, axis=0)


def polygon_cover(
    geometry: BaseGeometry, corners: NDArray[np.int64], chip: int
) -> NDArray[np.float64]:
    """Share of the area of each square that a polygon covers, (squares,)."""
    boxes = squares(corners, chip)
    shapely.prepare(geometry)
    cover: NDArray[np.float64] = np.where(shapely.contains_properly(geometry, boxes), 1.0, 0.0)
    cut = (cover == 0) & shapely.intersects(geometry, boxes)
    cover[cut] = shapely.area(shapely.intersection(geometry, boxes[cut])) / chip**2
    return cover


def squares(
    corners: NDArray[np.int64], chip: int | NDArray[np.int64], margin: float = 0.0
) -> NDArray[np.object_]:
    """Squares as polygons in pixel coordinates, (squares,).

    Args:
        corners: (squares, 2), column and row of the upper left pixels.
        chip: Side in pixels, of all or of each, (squares, 1).
        margin: Pixels by which each side is moved inwards.
    """
    low, high = corners + margin, corners + chip - margin
    polygons: NDArray[np.object_] = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    return polygons


def _around(points: NDArray[np.object_], chip: int) -> NDArray[np.int64]:
    middle = np.stack([shapely.get_x(points), shapely.get_y(points)], axis=1)
    return np.unique(_nearest(middle - chip / 2), axis=0)


def _nearest(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(positions + 0.5).astype(np.int64)


def _along(line: BaseGeometry, stride: float) -> NDArray[np.object_]:
    points: NDArray[np.object_] = shapely.line_interpolate_point(
        line, _centred(0.0, line.length, 0.0, stride)
    )
    return points


def _grid(polygon: BaseGeometry, chip: int, stride: float) -> NDArray[np.int64]:
    left, top, right, bottom = polygon.bounds
    columns, rows = _centred(left, right, chip, stride), _centred(top, bottom, chip, stride)
    corners = np.stack(np.meshgrid(columns, rows, indexing="ij"), axis=-1).reshape(-1, 2)
    return _nearest(corners)


def _centred(start: float, stop: float, length: float, stride: float) -> NDArray[np.float64]:
    """Starts of as many stretches as fit, one at least, with as much room before as after."""
    steps = max(0, int((stop - start - length + _ROOM) // stride))
    first = (start + stop - length - steps * stride) / 2
    starts: NDArray[np.float64] = first + stride * np.arange(steps + 1, dtype=np.float64)
    return starts
