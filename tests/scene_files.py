"""Small scenes and their labels, for tests."""

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

CRS = "EPSG:32631"
TRANSFORM = from_origin(500_000, 5_700_000, 10, 10)
LABELLED_SCENE = {
    "source": "labelled_scene",
    "class_column": "class",
    "sensor": "sentinel1",
    "bands": ["VV", "VH"],
    "chip": 8,
    "block_metres": 320,
}
"""The least that a section of a labelled scene needs, but for its scenes."""


def ramp(bands, height, width):
    """Values that tell band, row and column: band * 10^6 + row * 10^3 + column."""
    band, row, column = np.indices((bands, height, width))
    return (band * 1e6 + row * 1e3 + column).astype(np.float32)


def write_raster(path, values, *, crs=CRS, transform=TRANSFORM, names=None, scale=None, **options):
    """Write (bands, height, width) as a GeoTIFF."""
    bands, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=values.dtype,
        crs=crs, transform=transform, **options,
    ) as target:  # fmt: skip
        target.write(values)
        if names:
            target.descriptions = names
        if scale:
            target.scales = [scale] * bands
    return path


def labels_of(pairs, *, transform=TRANSFORM, crs=CRS, column="class"):
    """A frame of (class, geometry in pixels) pairs, placed on the ground."""
    names, geometries = zip(*pairs, strict=True)
    placed = gpd.GeoSeries(list(geometries)).affine_transform(transform.to_shapely())
    return gpd.GeoDataFrame({column: list(names)}, geometry=placed.to_numpy(), crs=crs)


def checkerboard(side, squares):
    """Square polygons of classes a and b in turns that tile a scene of side * squares pixels."""
    return [
        ("ab"[(row + column) % 2], shapely.box(x, y, x + side, y + side))
        for row, y in enumerate(range(0, side * squares, side))
        for column, x in enumerate(range(0, side * squares, side))
    ]
