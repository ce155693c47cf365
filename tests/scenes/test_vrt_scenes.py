"""Scenes that are VRTs: of other VRTs, and with more than one way to the ground."""

import os

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin
from tile_classifiers import Mixing

from rsmeta.scenes import Product, ProductOptions, predict_scene
from rsmeta.scenes.fingerprints import scene_fingerprint
from rsmeta.scenes.opening import open_scene
from rsmeta.scenes.source import RasterSource

TRANSFORM = from_origin(500_000, 5_000_000, 10, 10)


@pytest.fixture
def inner(tmp_path):
    """A VRT of a GeoTIFF, `inner.vrt` and `tile.tif`."""
    values = np.random.default_rng(0).integers(0, 255, (1, 40, 40)).astype(np.uint8)
    with rasterio.open(
        tmp_path / "tile.tif", "w", driver="GTiff", width=40, height=40, count=1, dtype="uint8",
        crs="EPSG:32632", transform=TRANSFORM,
    ) as target:  # fmt: skip
        target.write(values)
    rasterio.shutil.copy(tmp_path / "tile.tif", tmp_path / "inner.vrt", driver="VRT")
    return tmp_path / "inner.vrt"


def fingerprint(path):
    with open_scene(RasterSource(str(path)), ["VV"]) as scene:
        return scene_fingerprint(scene)


def test_a_change_below_a_vrt_of_vrts_is_seen(inner, tmp_path):
    """GDAL names `middle.vrt` alone as a file of `outer.vrt`."""
    for name, below in (("middle.vrt", "inner.vrt"), ("outer.vrt", "middle.vrt")):
        text = inner.read_text().replace("tile.tif", below)
        (tmp_path / name).write_text(text)
    before = fingerprint(tmp_path / "outer.vrt")
    assert fingerprint(tmp_path / "outer.vrt") == before
    status = (tmp_path / "tile.tif").stat()
    os.utime(tmp_path / "tile.tif", ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert fingerprint(tmp_path / "outer.vrt") != before


def test_a_vrt_in_a_circle_is_looked_through_once(inner, tmp_path):
    inner.write_text(inner.read_text().replace("tile.tif", "inner.vrt"))
    assert fingerprint(inner) == fingerprint(inner)


def test_of_gcps_beside_a_transform_the_transform_counts(inner, tmp_path):
    points = "".join(
        f'<GCP Id="{i}" Pixel="{x}" Line="{y}" X="{x}" Y="{y}"/>'
        for i, (x, y) in enumerate([(0, 0), (20, 0), (0, 20)])
    )
    gcps = f'<GCPList Projection="EPSG:4326">{points}</GCPList>'
    inner.write_text(inner.read_text().replace("<GeoTransform>", f"{gcps}<GeoTransform>"))
    with rasterio.open(inner) as dataset:
        assert len(dataset.gcps[0]) == 3
    products = ProductOptions(frozenset({Product.CLASSES, Product.GPKG}))
    found = predict_scene(inner, Mixing(), tmp_path / "out", products=products)
    with rasterio.open(found.classes) as dataset:
        assert dataset.transform == TRANSFORM
        assert dataset.gcps[0] == []
