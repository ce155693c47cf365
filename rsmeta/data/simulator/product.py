"""Simulated scenes as GeoTIFFs, with the truth as a raster and as polygons beside them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.features import shapes
from rasterio.transform import Affine, from_origin
from shapely.geometry import shape

from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulator.ground import PIXEL_SIZE
from rsmeta.data.simulator.render import Radar, render
from rsmeta.data.simulator.scene import UNLABELLED, lay_out_scene
from rsmeta.data.simulator.sites import CLASSES, SITE_SIZE
from rsmeta.errors import SceneError

_CRS = "EPSG:32631"
_TRANSFORM: Affine = from_origin(500_000.0, 5_700_000.0, PIXEL_SIZE, PIXEL_SIZE)
_REFLECTANCE_SCALE = 1e-4
_RENDER_STREAM = 7
_MAX_SIZE = 16_384


@dataclass(frozen=True)
class SimulatedProduct:
    """Files of a simulated scene.

    Attributes:
        scene: The scene as its sensor sees it.
        truth: Class index of each pixel, uint8; names in the tag `CLASS_NAMES`.
        polygons: GeoPackage of the labelled areas, column `class`.
    """

    scene: Path
    truth: Path
    polygons: Path


def write_scene(
    path: Path, sensor: SimulatedSensor, size: int, seed: int, radar: Radar | None = None
) -> SimulatedProduct:
    """Simulate a scene; the ground depends on size and seed, not on the sensor.

    Args:
        path: GeoTIFF to write; the truth goes to `<stem>_truth.tif` and `<stem>_truth.gpkg`.
        sensor: optical (uint8), multispectral (uint16 with a scale to reflectance) or SAR
            (float32, dB).
        size: Side in pixels of 2 m.
        seed: Seed.
        radar: SAR settings.

    Raises:
        SceneError: The size is out of range, or the files cannot be written.
    """
    if not SITE_SIZE <= size <= _MAX_SIZE:
        raise SceneError(f"size {size} is out of range; allowed: {SITE_SIZE} to {_MAX_SIZE} pixels")
    if seed < 0:
        raise SceneError(f"seed {seed} is negative; allowed: 0 and above")
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise SceneError(f"'{path}' is not the name of a GeoTIFF; use a name that ends in .tif")
    scene = lay_out_scene(size, seed)
    values = render(scene.ground, sensor, np.random.default_rng([seed, _RENDER_STREAM]), radar)
    product = SimulatedProduct(
        path, path.with_name(f"{path.stem}_truth.tif"), path.with_name(f"{path.stem}_truth.gpkg")
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_values(path, values, sensor)
        _write_truth(product.truth, scene.truth)
        _write_polygons(product.polygons, scene.truth)
    except (OSError, RasterioError) as error:
        raise SceneError(f"'{path}' cannot be written: {error}") from error
    return product


def _profile(values: NDArray[Any]) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "count": values.shape[0],
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype.name,
        "crs": _CRS,
        "transform": _TRANSFORM,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "zlevel": 1,
    }


def _write_values(path: Path, values: NDArray[np.float32], sensor: SimulatedSensor) -> None:
    stored: NDArray[Any] = values
    if sensor is SimulatedSensor.OPTICAL:
        stored = values.astype(np.uint8)
    elif sensor is SimulatedSensor.MULTISPECTRAL:
        stored = np.rint(values / np.float32(_REFLECTANCE_SCALE)).astype(np.uint16)
    with rasterio.open(path, "w", **_profile(stored)) as target:
        target.write(stored)
        target.descriptions = [band.name for band in sensor.bands]
        target.units = [band.unit.value for band in sensor.bands]
        if sensor is SimulatedSensor.MULTISPECTRAL:
            target.scales = [_REFLECTANCE_SCALE] * target.count


def _write_truth(path: Path, truth: NDArray[np.uint8]) -> None:
    with rasterio.open(path, "w", nodata=UNLABELLED, **_profile(truth[None])) as target:
        target.write(truth, 1)
        target.update_tags(CLASS_NAMES=json.dumps(CLASSES))


def _write_polygons(path: Path, truth: NDArray[np.uint8]) -> None:
    areas = list(shapes(truth, mask=truth != UNLABELLED, transform=_TRANSFORM))
    frame = gpd.GeoDataFrame(
        {"class": [CLASSES[int(label)] for _, label in areas]},
        geometry=[shape(geometry) for geometry, _ in areas],
        crs=_CRS,
    )
    frame.to_file(path, layer="truth", driver="GPKG")
