"""Areas of cells on the ellipsoid."""

import numpy as np
import pyproj
from numpy.typing import NDArray

from rsmeta.scenes.grid import TileGrid
from rsmeta.scenes.ground import Ground

_MOST_NODES = (1025, 65)
"""Rows and columns of cells whose area is computed; those between them are interpolated."""

_WIDE = np.radians(0.25)


def pixel_areas(ground: Ground, grid: TileGrid) -> NDArray[np.float32] | None:
    """Mean area in square metres of the pixels of each cell, on the ellipsoid of the CRS.

    The edges of a cell are taken as straight in a cylindrical equal-area projection, which is
    exact for meridians and parallels and good to 1e-6 for other edges of a quarter of a degree;
    longer ones, i.e. those near the poles and of huge cells, as geodesics.

    Args:
        ground: Where the scene lies.
        grid: Its tile grid.

    Returns:
        (cell rows, cell columns), 0 where a cell is not on the ground; None where the scene does
        not tell where it lies.
    """
    rows, columns = (_nodes(size, most) for size, most in zip(grid.cell_shape, _MOST_NODES,
                                                              strict=True))  # fmt: skip
    top, bottom = _edges(rows, grid.cell, grid.height)
    left, right = _edges(columns, grid.cell, grid.width)
    ys = np.stack([top, top, bottom, bottom])[:, :, None]
    xs = np.stack([left, right, right, left])[:, None, :]
    shape = (4, len(rows), len(columns))
    y, x = np.broadcast_to(ys, shape), np.broadcast_to(xs, shape)
    degrees = ground.to_longitude_latitude(x.ravel(), y.ravel())
    if degrees is None or ground.crs is None:
        return None
    geod = ground.crs.get_geod()
    if geod is None:
        return None
    parallel = ground.crs.is_geographic and ground.is_straight
    cells = _quadrangle_areas(degrees.reshape(2, 4, -1), geod, parallel).reshape(shape[1:])
    pixels = (bottom - top)[:, None] * (right - left)
    return _interpolated(cells / pixels, rows, columns, grid.cell_shape)


def pixels_per_cell(grid: TileGrid) -> NDArray[np.int64]:
    """Pixels of the scene in each cell, valid or not, (cell rows, cell columns)."""
    top, bottom = _edges(np.arange(grid.cell_shape[0]), grid.cell, grid.height)
    left, right = _edges(np.arange(grid.cell_shape[1]), grid.cell, grid.width)
    return ((bottom - top)[:, None] * (right - left)).astype(np.int64)


def _nodes(size: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def _edges(
    cells: NDArray[np.int64], cell: int, size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and last pixel edge of cells; the last cell ends with the scene."""
    return (cells * cell).astype(np.float64), np.minimum((cells + 1) * cell, size).astype(float)


def _quadrangle_areas(
    degrees: NDArray[np.float64], geod: pyproj.Geod, parallel: bool
) -> NDArray[np.float64]:
    """Areas of quadrangles.

    Args:
        degrees: Longitude and latitude of their corners, (2, 4, quadrangles).
        geod: The ellipsoid.
        parallel: Whether their edges are straight in longitude and latitude, however long.
    """
    longitude, latitude = np.radians(np.where(np.isfinite(degrees), degrees, np.nan))
    steps = (np.roll(longitude, -1, axis=0) - longitude + np.pi) % (2 * np.pi) - np.pi
    x = geod.a * (np.cumsum(steps, axis=0) - steps)  # from the first corner on, over 180° too
    y = geod.a * _authalic(latitude, geod) / 2
    area = np.abs((x * np.roll(y, -1, axis=0) - np.roll(x, -1, axis=0) * y).sum(axis=0)) / 2
    wide = (np.abs(steps).max(axis=0) > _WIDE) & (not parallel)
    for index in np.flatnonzero(wide):
        area[index] = abs(geod.polygon_area_perimeter(*degrees[:, :, index])[0])
    return np.where(np.isfinite(area), area, 0.0)


def _authalic(latitude: NDArray[np.float64], geod: pyproj.Geod) -> NDArray[np.float64]:
    """Snyder, "Map Projections: A Working Manual" (1987), equation 3-12: q."""
    # A sphere is the limit; this eccentricity is one as far as float64 can tell.
    e = max(np.sqrt(geod.es), 1e-6)
    sine = np.sin(latitude)
    return np.asarray((1 - e**2) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e))


def _interpolated(
    values: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Bilinear interpolation of values at nodes to all cells."""
    found = np.empty(shape, dtype=np.float32)
    every_row, every_column = np.arange(shape[0]), np.arange(shape[1])
    down = np.stack([np.interp(every_row, rows, column) for column in values.T], axis=1)
    for row in every_row:
        found[row] = np.interp(every_column, columns, down[row])
    return found
