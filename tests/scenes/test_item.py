"""STAC items of products: read back by pystac and compared with the rasters."""

import json
from datetime import UTC, datetime

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import shapely
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

from rsmeta.scenes import ModelDescription, Product, ProductOptions, predict_scene, scene_sources

MODEL = ModelDescription("tiny-2026", "vit_tiny", "lora", "0" * 64, 1.5, {"torch": "2.9"})


def item_of(done):
    return pystac.Item.from_file(str(done.files[Product.ITEM]))


@pytest.mark.parametrize("resolution", ["pixel", "cell"])
@pytest.mark.parametrize("least", [None, 0.5])
def test_the_item_describes_the_rasters(write_scene, noise, softmax, tmp_path, resolution, least):
    products = ProductOptions(frozenset(Product), "byte", least)
    done = predict_scene(
        write_scene(noise(61, 45)), softmax(), tmp_path, resolution=resolution, products=products,
        description=MODEL,
    )  # fmt: skip
    item = item_of(done)
    JsonSchemaSTACValidator().validate_core(
        item.to_dict(), pystac.STACObjectType.ITEM, item.to_dict()["stac_version"]
    )
    assert set(item.assets) == {product.value for product in Product} - {"item"}
    for key, asset in item.assets.items():
        assert (tmp_path / asset.href) == done.files[Product(key)]
        assert asset.media_type
    projected = ProjectionExtension.ext(item)
    with rasterio.open(done.classes) as out:
        assert projected.code == out.crs.to_string()
        assert tuple(projected.shape) == out.shape
        assert tuple(projected.transform) == tuple(out.transform)[:6]
        colours, names = out.colormap(1), json.loads(out.tags()["CLASS_NAMES"])
    classes = ClassificationExtension.ext(item.assets["classes"]).classes
    assert [(c.value, c.name, c.color_hint) for c in classes[:-1]] == [
        (value, name, "{:02X}{:02X}{:02X}".format(*colours[value][:3]))
        for value, name in enumerate(names)
    ]
    assert (classes[-1].value, classes[-1].nodata) == (255, True)
    for product in (Product.CLASSES, Product.CONFIDENCE, Product.PROBABILITIES):
        bands = RasterExtension.ext(item.assets[product.value]).bands
        with rasterio.open(done.files[product]) as out:
            assert [(b.data_type, b.nodata, b.scale or 1.0) for b in bands] == [
                (dtype, nodata, scale)
                for dtype, nodata, scale in zip(out.dtypes, out.nodatavals, out.scales, strict=True)
            ]
    model = MLMExtension.ext(item)
    assert (model.mlm_name, model.architecture) == ("tiny-2026", "vit_tiny")
    assert [c.name for c in model.output[0].classes] == ["water", "forest", "urban"]
    assert model.input[0].input.shape == [-1, 1, 16, 16]


def test_the_footprint_is_that_of_the_scene(write_scene, noise, softmax, tmp_path):
    scene = write_scene(noise(61, 45))
    item = item_of(predict_scene(scene, softmax(), tmp_path))
    with rasterio.open(scene) as source:
        expected = transform_bounds(source.crs, "EPSG:4326", *source.bounds, densify_pts=15)
    np.testing.assert_allclose(item.bbox, expected, atol=1e-9)
    footprint = shapely.geometry.shape(item.geometry)
    np.testing.assert_allclose(footprint.bounds, expected, atol=1e-9)
    frame = geopandas.read_file(tmp_path / "scene_polygons.gpkg", layer="classes")
    covered = frame.to_crs("EPSG:4326").union_all()
    assert footprint.symmetric_difference(covered).area < 1e-4 * footprint.area
    assert footprint.exterior.is_ccw


@pytest.mark.parametrize(
    ("crs", "transform", "bbox", "area"),
    [
        ("EPSG:4326", from_origin(179, 10, 0.05, 0.05), [179, 8, -179, 10], 4),
        ("EPSG:4326", from_origin(359, 10, 0.05, 0.05), [-1, 8, 1, 10], 4),
        ("EPSG:4326", from_origin(-180, 90, 9, 4.5), [-180, -90, 180, 90], 360 * 180),
        ("EPSG:4326", from_origin(0, 90, 9, 4.5), [-180, -90, 180, 90], 360 * 180),
        ("EPSG:3413", from_origin(-4e5, 4e5, 2e4, 2e4), [-180, 84.7, 180, 90], None),
        ("EPSG:3031", from_origin(-4e5, 4e5, 2e4, 2e4), [-180, -90, 180, -84.7], None),
    ],
)
def test_footprints_at_the_ends_of_the_map(
    write_scene, noise, constant, tmp_path, crs, transform, bbox, area
):
    scene = write_scene(noise(40, 40), crs=crs, transform=transform)
    products = ProductOptions(frozenset({Product.ITEM}))
    item = item_of(predict_scene(scene, constant(), tmp_path, products=products))
    np.testing.assert_allclose(item.bbox, bbox, atol=0.15 if area is None else 1e-9)
    geometry = shapely.geometry.shape(item.geometry)
    assert geometry.is_valid
    west, _, east, _ = geometry.bounds
    assert (west >= -180) and (east <= 180)
    if area is None:
        pole = shapely.Point(12, bbox[3] if bbox[3] == 90 else -90)
        assert geometry.distance(pole) < 1e-9
        assert not geometry.contains(shapely.Point(0, 0))
    else:
        assert geometry.area == pytest.approx(area)


def test_a_scene_without_a_place_has_no_geometry(write_scene, noise, constant, tmp_path):
    scene = write_scene(noise(20, 20), crs=None, transform=None)
    item = item_of(predict_scene(scene, constant(), tmp_path))
    assert item.geometry is None
    assert item.bbox is None
    assert ProjectionExtension.ext(item).code is None


def test_the_time_is_that_of_the_scene(write_scene, noise, constant, tmp_path):
    products = ProductOptions(frozenset({Product.ITEM}))
    scene = write_scene(noise(20, 20))
    item = item_of(predict_scene(scene, constant(), tmp_path, products=products))
    assert item.properties["rsmeta:datetime_of"] == "file"
    assert item.datetime == datetime.fromtimestamp(scene.stat().st_mtime, UTC)
    taken = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2024:05:06 07:08:09")
    item = item_of(predict_scene(scene, constant(), tmp_path, products=products))
    assert (item.datetime, item.properties["rsmeta:datetime_of"]) == (taken, "TIFFTAG_DATETIME")
    catalogued = pystac.Item("catalogued", None, None, taken.replace(year=2020), {})
    catalogued.add_asset("VV", pystac.Asset(str(scene)))
    path = tmp_path / "catalogued.json"
    path.write_text(json.dumps(catalogued.to_dict(include_self_link=False)))
    (source,) = scene_sources([path])
    item = item_of(predict_scene(source, constant(), tmp_path, products=products))
    assert (item.datetime.year, item.properties["rsmeta:datetime_of"]) == (2020, "scene")
