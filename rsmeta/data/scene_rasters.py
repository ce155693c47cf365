"""Rasters of labelled scenes: one grid for all bands, read window by window."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from rsmeta.errors import DataError
from rsmeta.rasters import data_indexes, open_raster, read_masked, reading, reason

EQUAL_AREA = "EPSG:6933"
"""Where degrees are turned into metres: EASE-Grid 2.0, squares keep their area everywhere."""


@dataclass(frozen=True)
class Grid:
    """Pixels of a scene on the ground.

    Attributes:
        crs: Coordinate reference system.
        transform: From (column, row) to coordinates of `crs`.
        height: Rows.
        width: Columns.
    """

    crs: CRS
    transform: Affine
    height: int
    width: int

    @cached_property
    def pixel_metres(self) -> float:
        """Side of a square as large as the pixel in the middle of the scene, in metres."""
        x, y = self.width / 2, self.height / 2
        pixel = self.place(shapely.box([x - 0.5], [y - 0.5], [x + 0.5], [y + 0.5]))
        return sqrt(float(in_metres(pixel).area.iloc[0]))

    def place(self, geometries: NDArray[np.object_]) -> gpd.GeoSeries:
        """Geometries in pixel coordinates (column, row) as geometries on the ground."""
        placed = gpd.GeoSeries(geometries).affine_transform(self.transform.to_shapely())
        return placed.set_crs(self.crs.to_wkt())

    def in_pixels(self, geometries: gpd.GeoSeries) -> NDArray[np.object_]:
        """Geometries of any CRS in pixel coordinates (column, row)."""
        placed = geometries.to_crs(self.crs.to_wkt())
        pixels: NDArray[np.object_] = placed.affine_transform(
            (~self.transform).to_shapely()
        ).to_numpy()
        return pixels


def in_metres(geometries: gpd.GeoSeries) -> gpd.GeoSeries:
    """Geometries in the metres of their own CRS, or of `EQUAL_AREA` where that has degrees."""
    if not geometries.crs.is_projected:
        return geometries.to_crs(EQUAL_AREA)
    factor = geometries.crs.axis_info[0].unit_conversion_factor
    return geometries.scale(factor, factor, origin=(0, 0))


@dataclass(frozen=True)
class SceneRaster:
    """A scene of one or several files.

    Attributes:
        files: Each file with the indexes of its bands, from 1, in the order of the chip's bands.
        grid: Grid that all files are read on.
    """

    files: tuple[tuple[Path, tuple[int, ...]], ...]
    grid: Grid

    @contextmanager
    def open(self) -> Iterator["SceneReader"]:
        """Open all files for reading.

        Raises:
            DataError: A file cannot be opened.
        """
        with ExitStack() as stack:
            views = []
            for path, indexes in self.files:
                raster = stack.enter_context(open_raster(path, DataError))
                view = stack.enter_context(_on_grid(raster, self.grid))
                views.append((str(path), view, indexes))
            yield SceneReader(views)


class SceneReader:
    """The open files of a scene.

    Args:
        views: Name, raster on the scene's grid, and indexes of the bands, of each file.
    """

    def __init__(self, views: Sequence[tuple[str, DatasetReader, tuple[int, ...]]]) -> None:
        self._views = views

    def read(self, column: int, row: int, size: int) -> NDArray[np.float32]:
        """A square of the scene, which must lie inside it.

        Bands of other grids are resampled bilinearly.

        Args:
            column: Left-most column.
            row: Upper-most row.
            size: Side in pixels.

        Returns:
            (bands, size, size) in physical units, NaN in all bands where one has no data.

        Raises:
            DataError: A file cannot be read.
        """
        window = Window(column, row, size, size)
        parts = []
        for name, view, indexes in self._views:
            with reading(name, DataError):
                parts.append(read_masked(view, window, indexes)[0])
        values = np.concatenate(parts)
        values[:, ~np.isfinite(values).all(axis=0)] = np.nan
        return values


@contextmanager
def _on_grid(raster: DatasetReader, grid: Grid) -> Iterator[DatasetReader]:
    """The raster itself where it has the grid, else a view of it that has."""
    if _grid(raster) == grid:
        yield raster
        return
    # Without a nodata value only an alpha band tells pixels beyond the raster from zeros.
    masked = raster.nodata is not None or len(data_indexes(raster)) < raster.count
    with WarpedVRT(
        raster,
        crs=grid.crs,
        transform=grid.transform,
        height=grid.height,
        width=grid.width,
        resampling=Resampling.bilinear,
        add_alpha=not masked,
    ) as view:
        yield view


def describe_scene(raster: Path | Mapping[str, Path], bands: Sequence[str]) -> SceneRaster:
    """Look a scene's files up without reading pixels.

    Args:
        raster: One file with all bands, or one of a single band for each band name.
        bands: Names of the bands of the chips.

    Raises:
        DataError: A file cannot be opened, has no CRS, has not the bands, or lies elsewhere.
    """
    if isinstance(raster, Path):
        with open_raster(raster, DataError) as dataset:
            return SceneRaster(((raster, _band_indexes(dataset, bands)),), _located(dataset))
    files, grids = [], []
    for name in bands:
        with open_raster(raster[name], DataError) as dataset:
            grids.append(_located(dataset))
            indexes = data_indexes(dataset)
        if len(indexes) != 1:
            raise DataError(
                f"raster '{raster[name]}' of band '{name}' has {len(indexes)} bands; give a "
                "raster of one band, or one raster with all bands"
            )
        files.append((raster[name], indexes))
    finest = min(grids, key=lambda grid: grid.pixel_metres)  # the first of equally fine ones
    for (path, _), grid in zip(files, grids, strict=True):
        _require_common_ground(path, grid, finest)
    return SceneRaster(tuple(files), finest)


def _located(dataset: DatasetReader) -> Grid:
    if dataset.crs is None or dataset.transform.is_identity:
        raise DataError(
            f"scene '{dataset.name}' has no CRS or no geotransform, so that labels have no place "
            "in it; georeference it, e.g. with gdal_translate -a_srs and -a_ullr, or gdalwarp"
        )
    grid = _grid(dataset)
    try:
        grid.pixel_metres  # noqa: B018
    except ProjError as error:
        raise DataError(
            f"scene '{dataset.name}' has a CRS without a way to metres: {reason(error)}; "
            "reproject it with gdalwarp -t_srs"
        ) from error
    return grid


def _grid(dataset: DatasetReader) -> Grid:
    return Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)


def _band_indexes(dataset: DatasetReader, bands: Sequence[str]) -> tuple[int, ...]:
    """By description where the raster's say all names, else in file order."""
    indexes = data_indexes(dataset)
    described = {(dataset.descriptions[i - 1] or "").casefold(): i for i in indexes}
    if all(name.casefold() in described for name in bands):
        return tuple(described[name.casefold()] for name in bands)
    if len(indexes) != len(bands):
        raise DataError(
            f"scene '{dataset.name}' has {len(indexes)} bands and not all the names "
            f"{', '.join(bands)} as descriptions; set data.bands to its bands, in file order, "
            "or describe the bands"
        )
    return indexes


def _require_common_ground(path: Path, grid: Grid, finest: Grid) -> None:
    whole = np.array([shapely.box(0, 0, grid.width, grid.height)])
    [inside] = finest.in_pixels(grid.place(whole))
    if not inside.intersects(shapely.box(0, 0, finest.width, finest.height)):
        raise DataError(
            f"raster '{path}' lies beside the other bands of its scene; all bands of a scene must "
            "show the same ground"
        )
