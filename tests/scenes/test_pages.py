"""Reports and web maps of predictions: what is in them, and that foreign text is inert."""

import io
import json
import re
from base64 import b64decode

import numpy as np
import pyproj
import pytest
import rasterio
from browser_pages import clipped, images, opened
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

from rsmeta.palette import class_colours
from rsmeta.scenes import Product, ProductOptions, predict_scene

PAGES = ProductOptions(frozenset({Product.REPORT, Product.WEBMAP, Product.SUMMARY}))
EVIL = ("<script>alert(1)</script>", "\"><img src=x onerror='alert(2)'>", "B & C 🚢 $a$ </title>")


class Sides:
    """A pixel of a tile more than 0 is of the second class."""

    bands = ("VV",)
    classes = ("below", "above")
    tile_size = 4
    tile_sizes = range(1, 100)
    concurrency = 1
    fingerprint = "sides"
    fill = np.float32([0])

    def convert(self, values):
        return values

    def probabilities(self, tiles):
        above = np.where(tiles.mean(axis=(1, 2, 3)) > 0, np.float32(0.9), np.float32(0.2))
        return np.stack([1 - above, above], axis=1)


def halves(height=64, width=48):
    """The east is above 0, the west below."""
    values = np.full((1, height, width), -1, np.float32)
    values[:, :, width // 2 :] = 1
    return values + np.random.default_rng(0).normal(scale=0.1, size=values.shape).astype("f4")


def map_of(done):
    html = done.files[Product.WEBMAP].read_text("utf-8")
    found = json.loads(re.search(r"const data = (\{.*\});", html)[1])
    for name in ("look", "classes", "confidence"):
        png = b64decode(found[name].removeprefix("data:image/png;base64,"))
        found[name] = np.asarray(Image.open(io.BytesIO(png)))
    return found, html


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326", "EPSG:3857", "EPSG:3035"])
def test_the_web_map_lies_where_the_scene_does(write_scene, tmp_path, crs):
    middle = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(4, 52)
    size = 1e-4 if crs == "EPSG:4326" else 10
    scene = write_scene(halves(), crs=crs, transform=from_origin(*middle, size, size))
    done = predict_scene(scene, Sides(), tmp_path, products=PAGES)
    found, html = map_of(done)
    assert found["located"] and "own pixels" not in html
    with rasterio.open(scene) as source:
        expected = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    (south, west), (north, east) = found["bounds"]
    tolerance = 2 * max((expected[2] - expected[0]) / 48, (expected[3] - expected[1]) / 64)
    np.testing.assert_allclose([west, south, east, north], expected, atol=tolerance)
    rows, columns = found["classes"].shape[:2]
    colours = class_colours(2)
    for place, colour in ((columns // 4, colours[0]), (3 * columns // 4, colours[1])):
        assert tuple(found["classes"][rows // 2, place]) == (*colour, 255)
    assert found["look"][rows // 2, 3 * columns // 4, 0] > found["look"][rows // 2, columns // 4, 0]
    assert found["look"].shape == found["confidence"].shape == found["classes"].shape


def test_gcps_and_rotations_are_followed(write_scene, tmp_path):
    turned = rasterio.Affine.translation(5e5, 4.8e6) * rasterio.Affine.rotation(30)
    turned *= rasterio.Affine.scale(10, -10)
    corners = [(r, c) for r in (0, 64) for c in (0, 48)]
    points = [GroundControlPoint(r, c, *(turned @ (c, r))) for r, c in corners]
    for name, place in (("turned", {"transform": turned}), ("gcps", {"gcps": points})):
        scene = write_scene(halves(), f"{name}.tif", **{"transform": None, **place})
        found, _ = map_of(predict_scene(scene, Sides(), tmp_path / name, products=PAGES))
        xs, ys = zip(*(turned @ (c, r) for r, c in corners), strict=True)
        expected = transform_bounds(
            "EPSG:32631", "EPSG:4326", min(xs), min(ys), max(xs), max(ys), densify_pts=2
        )
        (south, west), (north, east) = found["bounds"]
        np.testing.assert_allclose([west, south, east, north], expected, atol=3e-4)
        opaque = found["classes"][..., 3] > 0
        assert 0.4 < opaque.mean() < 0.8  # the corners are beyond the scene
        assert not opaque[0, 0] and not opaque[-1, -1]


def test_rational_polynomials_are_followed_at_their_mean_height(write_scene, tmp_path):
    one, zeros = [1.0] + [0.0] * 19, [0.0] * 16
    # A second of arc a pixel; the ground lies 1.5 pixels further west where it is 100 m higher.
    rpcs = RPC(
        height_off=400, height_scale=100, lat_off=50, lat_scale=1 / 36, long_off=8,
        long_scale=1 / 36, line_off=31.5, line_scale=100, samp_off=23.5, samp_scale=100,
        line_num_coeff=[0, 0, -1.0, 0, *zeros], line_den_coeff=one,
        samp_num_coeff=[0, 1.0, 0, 0.015, *zeros], samp_den_coeff=one,
    )  # fmt: skip
    scene = write_scene(halves(), crs=None, transform=None, rpcs=rpcs)
    found, _ = map_of(predict_scene(scene, Sides(), tmp_path, products=PAGES))
    expected = [8 - 24 / 3600, 50 - 32 / 3600, 8 + 24 / 3600, 50 + 32 / 3600]
    (south, west), (north, east) = found["bounds"]
    np.testing.assert_allclose([west, south, east, north], expected, atol=0.5 / 3600)


@pytest.mark.parametrize(
    "place",
    [
        {"crs": None, "transform": None},
        {"crs": "EPSG:4326", "transform": from_origin(179.99, 10, 1e-3, 1e-3)},
        {"crs": "EPSG:3413", "transform": from_origin(-3e5, 3e5, 1e4, 1e4)},
    ],
    ids=["nowhere", "antimeridian", "pole"],
)
def test_what_web_mercator_cannot_show_is_shown_in_its_own_pixels(write_scene, tmp_path, place):
    done = predict_scene(write_scene(halves(), **place), Sides(), tmp_path, products=PAGES)
    found, html = map_of(done)
    assert not found["located"] and "own pixels" in html
    assert found["bounds"] == [[0, 0], [64, 48]]
    assert found["classes"].shape == (64, 48, 4)


def test_pixels_without_data_are_transparent(write_scene, tmp_path):
    values = halves()
    values[:, :16] = np.nan
    found, _ = map_of(predict_scene(write_scene(values), Sides(), tmp_path, products=PAGES))
    for name in ("look", "classes", "confidence"):
        opacity = found[name][..., 3]
        assert (opacity[: len(opacity) // 8] == 0).all()
        assert (opacity[len(opacity) // 2] > 0).any()


def test_the_report_has_the_numbers_of_the_summary(write_scene, tmp_path):
    done = predict_scene(write_scene(halves()), Sides(), tmp_path, products=PAGES)
    html = done.files[Product.REPORT].read_text("utf-8")
    facts = json.loads(done.files[Product.SUMMARY].read_text("utf-8"))
    assert facts["area_m2"] == pytest.approx(64 * 48 * 100, rel=2e-3)
    assert f"{facts['area_m2'] / 1e4:.4g} ha" in html
    for row in facts["classes"]:
        assert f"{row['area_m2'] / 1e4:,.2f}</td>" in html
        assert f"{100 * row['share']:.1f} %</td>" in html
        assert f"{row['pixels']:,}</td>" in html
    assert 'href="scene_webmap.html"' in html
    alone = ProductOptions(frozenset({Product.REPORT}))
    done = predict_scene(write_scene(halves()), Sides(), tmp_path / "alone", products=alone)
    assert "href=" not in done.files[Product.REPORT].read_text("utf-8")


@pytest.mark.parametrize("values", [np.full((1, 20, 30), np.nan, np.float32), halves(5, 3)])
def test_scenes_without_data_or_smaller_than_a_tile_have_pages(write_scene, tmp_path, values):
    scene = write_scene(values, crs=None, transform=None)
    done = predict_scene(scene, Sides(), tmp_path, products=PAGES)
    assert "not georeferenced" in done.files[Product.REPORT].read_text("utf-8")
    assert map_of(done)[0]["bounds"] == [[0, 0], list(values.shape[1:])]


def test_pages_work_in_a_browser_and_foreign_text_is_inert(write_scene, softmax, noise, tmp_path):
    scene = write_scene(noise(64, 48), "a'b\"<img src=x onerror=alert(3)> 🛰.tif")
    done = predict_scene(scene, softmax(classes=EVIL), tmp_path / "out", products=PAGES, stride=8)
    with opened(done.files[Product.REPORT]) as page:
        sizes = images(page)
        assert len(sizes) == 2 and all(width > 100 for width, _ in sizes)
        cells = page.locator("#areas tbody th").all_inner_texts()
        assert {text.strip() for text in cells} == set(EVIL)
        name = done.files[Product.REPORT].name.removesuffix("_report.html")
        assert page.title() == f"{name} · rsmeta prediction"
        assert scene.name in page.locator("#provenance").inner_text()
        assert clipped(page) == []
        page.get_by_role("link").click()
        assert page.title() == f"{name} · rsmeta map"
    with opened(done.files[Product.WEBMAP]) as page:
        names = page.locator("#legend li span").all_inner_texts()
        assert set(names) == set(EVIL)
        assert page.locator("script").count() == 2


def test_the_slider_changes_the_opacity_of_the_classes(write_scene, tmp_path):
    done = predict_scene(write_scene(halves()), Sides(), tmp_path, products=PAGES)
    with opened(done.files[Product.WEBMAP]) as page:
        classes = page.locator("img.classes")
        assert all(min(size) > 0 for size in images(page))
        assert page.locator("img.look").count() == 1

        def opacity():
            return float(classes.evaluate("image => getComputedStyle(image).opacity"))

        assert opacity() == pytest.approx(0.6)
        page.locator("#opacity").fill("25")
        assert opacity() == pytest.approx(0.25)
        assert page.locator("#percent").inner_text() == "25 %"
        page.locator("input[value=confidence]").check()
        assert classes.count() == 0 and page.locator("img.confidence").count() == 1
        page.locator("#look").uncheck()
        assert page.locator("img.look").count() == 0
        # What is drawn lies in the middle of the map, large enough to see.
        box = page.locator("img.confidence").bounding_box()
        assert box["width"] > 100 and box["height"] > 100
        assert page.locator(".leaflet-control-scale-line").count() == 1
