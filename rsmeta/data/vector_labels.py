"""Labelled features from vector files, in the pixel coordinates of a scene."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import ProjError

from rsmeta.data.chip_tally import ChipTally
from rsmeta.data.scene_rasters import Grid
from rsmeta.errors import DataError
from rsmeta.rasters import reason

_READ_ERRORS = (
    DataSourceError,
    DataLayerError,
    pa.ArrowException,
    ProjError,
    shapely.errors.ShapelyError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)
"""What GDAL, Arrow, PROJ and GEOS raise for damaged files, each where it meets the damage."""


@dataclass(frozen=True)
class VectorLabels:
    """Features of one scene in pixel coordinates (column, row).

    Attributes:
        names: Class of each labelled feature.
        geometries: (features,), the labelled features, cut at the edge of the scene.
        others: (features,), features that give no chips, such as those without a class.
    """

    names: tuple[str, ...]
    geometries: NDArray[np.object_]
    others: NDArray[np.object_]


def read_labels(
    path: Path,
    layer: str | None,
    column: str,
    classes: list[str] | None,
    grid: Grid,
    tally: ChipTally,
) -> VectorLabels:
    """Read a vector file, reprojected to a scene.

    Args:
        path: GeoPackage, GeoJSON, shapefile, GeoParquet or another file that GDAL reads.
        layer: Its layer; None where it has one only.
        column: Column that holds the class.
        classes: Classes to keep; None for all.
        grid: Grid of the scene.
        tally: Takes down which features are left out.

    Raises:
        DataError: The file or its column cannot be read, it has no CRS or one that does not lead
            to the scene's, or nothing lies in the scene.
    """
    frame, names = read_named_features(path, layer, column, "data.class_column")
    geometries = shapely.force_2d(frame.geometry.to_numpy())
    unplaced = _not_finite(geometries)
    tally.leave_out("feature with coordinates that are no numbers", unplaced.sum())
    names, geometries = names[~unplaced], _repaired(geometries[~unplaced], tally)
    empty = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    tally.leave_out("feature without a geometry", empty.sum())
    names, geometries = names[~empty], geometries[~empty]
    try:
        pixels = grid.in_pixels(gpd.GeoSeries(geometries, crs=frame.crs))
    except ProjError as error:
        raise DataError(
            f"labels '{path}' have a CRS from which no way leads to the scene's: {reason(error)}; "
            "give labels in the CRS of the scene"
        ) from error
    inside = _cut(pixels, grid)
    outside = shapely.is_empty(inside)
    if outside.all():
        raise DataError(
            f"labels '{path}': none of {len(frame)} features lies in the scene; check that both "
            "show the same place and that their CRS are right"
        )
    blank = np.array([not name.strip() for name in names], dtype=np.bool_)
    known = np.isin(names, classes) if classes is not None else np.ones(len(names), dtype=np.bool_)
    tally.leave_out("feature outside of the scene", outside.sum())
    tally.leave_out("feature without a class", (blank & ~outside).sum())
    tally.leave_out("feature of a class not in data.classes", (~known & ~blank & ~outside).sum())
    usable = ~outside & ~blank & known
    return VectorLabels(
        names=tuple(str(name) for name in names[usable]),
        geometries=inside[usable],
        others=inside[~usable & ~outside],
    )


def read_named_features(
    path: Path, layer: str | None, column: str, option: str
) -> tuple[gpd.GeoDataFrame, NDArray[np.object_]]:
    """Read the features of a vector file and the class of each.

    Args:
        path: GeoPackage, GeoJSON, shapefile, GeoParquet or another file that GDAL reads.
        layer: Its layer; None where it has one only.
        column: Column that holds the class.
        option: What the user names the column by, for the message.

    Returns:
        The features, which have a CRS, and (features,) their classes, empty where there is none.

    Raises:
        DataError: The file or its column cannot be read, or it has no CRS.
    """
    frame = read_vectors(path, layer)
    if column not in frame:
        others = ", ".join(str(name) for name in frame.columns if name != frame.geometry.name)
        raise DataError(
            f"labels '{path}' have no column '{column}' ({option}); they have: {others}"
        )
    if frame.crs is None:
        raise DataError(
            f"labels '{path}' have no CRS, so that their place is unknown; set it, e.g. with "
            "ogr2ogr -a_srs"
        )
    # A column of whole numbers with gaps comes as floating point: 3.0 is the class "3".
    names = frame[column].convert_dtypes().astype("string")
    return frame, names.to_numpy(dtype=object, na_value="")


def read_vectors(path: Path, layer: str | None) -> gpd.GeoDataFrame:
    """Read the features of a vector file.

    Args:
        path: GeoPackage, GeoJSON, shapefile, GeoParquet or another file that GDAL reads.
        layer: Its layer; None where it has one only.

    Raises:
        DataError: The file or layer cannot be read or has no geometries.
    """
    if not path.exists():
        raise DataError(f"labels '{path}' do not exist (data.scenes.labels); check the path")
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            return gpd.read_parquet(path)
        # Tables without geometry, such as the styles that QGIS stores, hold no labels.
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if layer is None and len(layers) > 1:
            raise DataError(
                f"labels '{path}' have several layers: {', '.join(layers)}; set layer to one"
            )
        if layer is not None and layer not in layers:
            raise DataError(
                f"labels '{path}' have no layer '{layer}'; they have: {', '.join(layers)}"
            )
        frame = gpd.read_file(path, layer=layer or next(iter(layers), None))
    except _READ_ERRORS as error:
        raise DataError(f"labels '{path}' cannot be read: {reason(error)}") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise DataError(f"labels '{path}' have no geometries; give points, lines or polygons")
    return frame


def _not_finite(geometries: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which geometries have a coordinate that is infinite or not a number."""
    coordinates, index = shapely.get_coordinates(geometries, return_index=True)
    found = np.zeros(len(geometries), dtype=np.bool_)
    found[index[~np.isfinite(coordinates).all(axis=1)]] = True
    return found


def _repaired(geometries: NDArray[np.object_], tally: ChipTally) -> NDArray[np.object_]:
    invalid = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    tally.repaired += int(invalid.sum())
    return np.where(invalid, shapely.make_valid(geometries), geometries)


def _cut(geometries: NDArray[np.object_], grid: Grid) -> NDArray[np.object_]:
    """What of each geometry lies in the scene; nothing where it cannot be reprojected."""
    finite = np.isfinite(shapely.bounds(geometries)).all(axis=1)
    scene = shapely.box(0, 0, grid.width, grid.height)
    reached = np.where(finite, geometries, shapely.Point())
    # Reprojection can make a valid polygon touch itself.
    cut: NDArray[np.object_] = shapely.intersection(shapely.make_valid(reached), scene)
    return cut
