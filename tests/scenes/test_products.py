"""What prediction writes besides the plain maps, by `predict_scene` and the command."""

import json
import sqlite3
from itertools import pairwise
from xml.etree import ElementTree

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from rio_cogeo import cog_validate

from rsmeta.errors import SceneError
from rsmeta.palette import class_colours
from rsmeta.scenes import Product, ProductOptions, parse_products, predict_scene


def options(*products, **others):
    return ProductOptions(frozenset(map(Product, products)), **others)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.parametrize("resolution", ["pixel", "cell"])
@pytest.mark.parametrize("height", [45, 600])
def test_probabilities_and_byte_confidence_are_the_scaled_ones(
    write_scene, noise, softmax, tmp_path, resolution, height
):
    values = noise(height, 61)
    values[:, 8:20, 8:30] = np.nan
    scene = write_scene(values)
    wanted = options("classes", "confidence", "probabilities", confidence="byte")
    done = predict_scene(
        scene, softmax(), tmp_path / "out", products=wanted, resolution=resolution, stride=12
    )
    plain = predict_scene(scene, softmax(), tmp_path / "plain", resolution=resolution, stride=12)
    probabilities = read(done.files[Product.PROBABILITIES])
    missing = read(done.classes)[0] == 255
    assert (missing == (probabilities == 255)).all()
    exact = read(plain.confidence)[0]
    byte = read(done.confidence)[0]
    np.testing.assert_array_equal(byte == 255, np.isnan(exact))
    np.testing.assert_allclose(byte[~missing] / 254, exact[~missing], atol=0.5 / 254 + 1e-6)
    np.testing.assert_array_equal(probabilities.max(axis=0)[~missing], byte[~missing])
    np.testing.assert_array_equal(
        np.take_along_axis(probabilities, read(done.classes) % 3, 0)[0][~missing], byte[~missing]
    )
    total = probabilities.astype(float).sum(axis=0)[~missing]
    np.testing.assert_allclose(total / 254, 1, atol=1.5 / 254 + 1e-6)
    for path in (done.confidence, done.files[Product.PROBABILITIES]):
        valid, errors, warnings = cog_validate(path, strict=True)
        assert valid, (errors, warnings)
        with rasterio.open(path) as out:
            assert out.scales == pytest.approx([1 / 254] * out.count)
            assert (out.dtypes[0], out.nodata) == ("uint8", 255)
    with rasterio.open(done.files[Product.PROBABILITIES]) as out:
        assert out.descriptions == ("water", "forest", "urban")


def test_overviews_of_confidence_are_means_and_of_classes_modes(
    write_scene, noise, softmax, tmp_path
):
    done = predict_scene(write_scene(noise(1100, 1100)), softmax(), tmp_path, stride=16)
    with (
        rasterio.open(done.confidence) as fine,
        rasterio.open(done.confidence, overview_level=0) as coarse,
    ):
        means = fine.read(1).reshape(550, 2, 550, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(coarse.read(1), means, rtol=1e-5)
    with (
        rasterio.open(done.classes) as fine,
        rasterio.open(done.classes, overview_level=0) as coarse,
    ):
        # Tiles of 16 px: every square of 2 × 2 pixels has one class.
        np.testing.assert_array_equal(coarse.read(1), fine.read(1)[::2, ::2])


def test_more_than_255_classes_make_a_map_of_16_bits(write_scene, noise, softmax, tmp_path):
    names = tuple(f"class {i}" for i in range(300))
    values = noise(64, 64)
    values[:, :8] = np.nan
    model = softmax(classes=names)
    wanted = options("classes", "gpkg", "summary")
    done = predict_scene(write_scene(values), model, tmp_path, products=wanted, stride=8)
    assert cog_validate(done.classes, strict=True)[0]
    with rasterio.open(done.classes) as out:
        classes, colours = out.read(1), out.colormap(1)
        assert (out.dtypes[0], out.nodata) == ("uint16", 65535)
        assert json.loads(out.tags()["CLASS_NAMES"]) == list(names)
    assert (classes[:8] == 65535).all()
    assert (classes[8:] < 300).all()
    assert classes[8:].max() > 255
    assert [colours[i][:3] for i in range(300)] == class_colours(300)
    frame = geopandas.read_file(done.polygons, layer="classes")
    assert set(frame.class_id) == set(np.unique(classes[8:]))
    assert (frame["class"] == "class " + frame.class_id.astype(str)).all()


@pytest.mark.parametrize("classes", [255, 254])
def test_unknown_may_need_the_larger_type(write_scene, noise, constant, tmp_path, classes):
    model = constant(classes=tuple(map(str, range(classes))), row=(1.0, *[0.0] * (classes - 1)))
    wanted = options("classes", minimum_confidence=0.5)
    done = predict_scene(write_scene(noise(20, 20)), model, tmp_path, products=wanted)
    with rasterio.open(done.classes) as out:
        assert out.dtypes[0] == ("uint8" if classes == 254 else "uint16")
        assert (out.read(1) == 0).all()
        assert json.loads(out.tags()["CLASS_NAMES"])[-1] == "unknown"


def test_what_the_model_is_not_confident_about_is_unknown(write_scene, noise, softmax, tmp_path):
    scene = write_scene(noise(80, 80))
    plain = predict_scene(scene, softmax(), tmp_path / "plain")
    confidence, classes = read(plain.confidence)[0], read(plain.classes)[0]
    least = float(np.median(confidence))
    wanted = options("classes", "confidence", "gpkg", "summary", minimum_confidence=least)
    done = predict_scene(scene, softmax(), tmp_path / "out", products=wanted)
    unsure = confidence < np.float32(least)
    assert 0 < unsure.sum() < unsure.size
    np.testing.assert_array_equal(read(done.classes)[0], np.where(unsure, 3, classes))
    np.testing.assert_array_equal(read(done.confidence)[0], confidence)
    assert done.pixels["unknown"] == unsure.sum()
    with rasterio.open(done.classes) as out:
        assert json.loads(out.tags()["CLASS_NAMES"]) == ["water", "forest", "urban", "unknown"]
        assert out.colormap(1)[3] not in [out.colormap(1)[i] for i in (0, 1, 2, 255)]
    frame = geopandas.read_file(done.polygons, layer="classes")
    unknown = frame[frame["class"] == "unknown"]
    assert set(unknown.class_id) == {3}
    assert unknown.area.sum() == pytest.approx(unsure.sum() * 100)
    facts = json.loads(done.files[Product.SUMMARY].read_text())
    assert facts["classes"][3]["class"] == "unknown"
    assert facts["classes"][3]["pixels"] == unsure.sum()
    with pytest.raises(SceneError, match="class 'unknown' of its own"):
        predict_scene(scene, softmax(classes=("a", "unknown", "b")), tmp_path, products=wanted)


def test_the_summary_agrees_with_the_maps(write_scene, noise, softmax, tmp_path):
    values = noise(61, 45)
    values[:, 8:27, :19] = np.nan
    place = {"crs": "EPSG:4326", "transform": from_origin(5, 47, 1e-3, 1e-3)}
    scene = write_scene(values, **place)
    done = predict_scene(scene, softmax(), tmp_path, stride=12)
    facts = json.loads(done.files[Product.SUMMARY].read_text())
    classes, confidence = read(done.classes)[0], read(done.confidence)[0]
    geod = pyproj.Geod(ellps="WGS84")
    rows = [47 - i * 1e-3 for i in range(62)]
    areas = np.array([
        abs(geod.polygon_area_perimeter([5, 5.001, 5.001, 5], [a, a, b, b])[0])
        for a, b in pairwise(rows)
    ])  # fmt: skip
    for value, entry in enumerate(facts["classes"]):
        own = classes == value
        assert entry["pixels"] == own.sum() == done.pixels[entry["class"]]
        assert entry["share"] == pytest.approx(own.sum() / (classes != 255).sum())
        assert entry["area_m2"] == pytest.approx((own.sum(axis=1) * areas).sum(), rel=1e-6)
    seen = confidence[np.isfinite(confidence)]
    histogram = facts["confidence"]["histogram"]
    assert histogram["pixels"] == np.histogram(seen, 20, (0, 1))[0].tolist()
    assert facts["confidence"]["mean"] == pytest.approx(seen.mean(dtype=float), rel=1e-6)
    assert facts["valid_pixels"] == len(seen)
    assert facts["options"]["stride"] == 12
    again = predict_scene(scene, softmax(), tmp_path / "again", stride=12)
    assert json.loads(again.files[Product.SUMMARY].read_text()) == facts
    write_scene(values + 1, **place)
    other = predict_scene(scene, softmax(), tmp_path / "other", stride=12)
    changed = json.loads(other.files[Product.SUMMARY].read_text())
    assert changed["scene"]["fingerprint"] != facts["scene"]["fingerprint"]


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:3857", "EPSG:3035", "EPSG:2263", "EPSG:4326"])
def test_polygon_areas_agree_with_geodesics(write_scene, noise, softmax, tmp_path, crs):
    centre = pyproj.CRS(crs).area_of_use
    to_map = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    middle = ((centre.west + centre.east) / 2 + 0.3, (centre.south + centre.north) / 2 + 0.5)
    size = 1e-3 if crs == "EPSG:4326" else 30
    transform = rasterio.Affine.translation(*to_map.transform(*middle)) * rasterio.Affine(
        0.8 * size, 0.6 * size, 0, 0.6 * size, -0.8 * size, 0
    )
    scene = write_scene(noise(61, 45), crs=crs, transform=transform)
    done = predict_scene(scene, softmax(), tmp_path, products=options("gpkg"), stride=16)
    frame = geopandas.read_file(done.polygons, layer="classes")
    fine = frame.geometry.segmentize(size).to_crs(frame.crs.geodetic_crs)
    geod = frame.crs.get_geod()
    expected = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in fine]
    np.testing.assert_allclose(frame.area_m2, expected, rtol=2e-6)


def test_a_scene_over_the_pole_has_the_area_of_its_ground(write_scene, noise, constant, tmp_path):
    place = {"crs": "EPSG:3413", "transform": from_origin(-4e5, 4.2e5, 1e4, 1e4)}
    done = predict_scene(write_scene(noise(80, 80), **place), constant(), tmp_path)
    facts = json.loads(done.files[Product.SUMMARY].read_text())
    edge = np.linspace(-4e5, 4e5, 801)[:-1]
    x = np.concatenate([edge, np.full(800, 4e5), -edge, np.full(800, -4e5)])
    y = np.concatenate([np.full(800, 4.2e5), 2e4 - edge, np.full(800, -3.8e5), 2e4 + edge])
    to_ground = pyproj.Transformer.from_crs("EPSG:3413", "EPSG:4326", always_xy=True)
    expected = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*to_ground.transform(x, y))[0]
    assert facts["area_m2"] == pytest.approx(abs(expected), rel=3e-5)


def test_geoparquet_and_geopackage_hold_the_same(write_scene, noise, softmax, tmp_path):
    wanted = options("gpkg", "parquet")
    done = predict_scene(write_scene(noise(61, 45)), softmax(), tmp_path, products=wanted)
    assert set(done.files) == {Product.GPKG, Product.PARQUET}
    package = geopandas.read_file(done.polygons, layer="classes")
    parquet = geopandas.read_parquet(done.files[Product.PARQUET])
    assert parquet.crs == package.crs
    assert parquet.geom_equals(package).all()
    columns = ["class_id", "class", "confidence", "area_m2"]
    assert parquet[columns].equals(package[columns].astype(parquet.dtypes[columns].to_dict()))
    with pytest.raises(SceneError, match="'classes' was not asked for"):
        _ = done.classes


def test_the_geopackage_holds_a_style_with_the_colours_of_the_map(
    write_scene, noise, softmax, tmp_path
):
    scene = write_scene(noise(61, 45))
    wanted = options("classes", "gpkg", minimum_confidence=0.6)
    done = predict_scene(scene, softmax(), tmp_path, products=wanted)
    with sqlite3.connect(done.polygons) as package:
        package.row_factory = sqlite3.Row
        (style,) = package.execute("SELECT * FROM layer_styles").fetchall()
        columns = package.execute("SELECT column_name FROM gpkg_geometry_columns").fetchall()
    assert (style["f_table_name"], style["f_table_schema"]) == ("classes", "")
    assert style["useAsDefault"] == 1
    assert style["f_geometry_column"] == columns[0][0]
    renderer = ElementTree.fromstring(style["styleQML"]).find("renderer-v2")
    assert renderer.attrib["type"] == "categorizedSymbol"
    assert renderer.attrib["attr"] in geopandas.read_file(done.polygons, layer="classes")
    with rasterio.open(done.classes) as out:
        colours, names = out.colormap(1), json.loads(out.tags()["CLASS_NAMES"])
    symbols = {symbol.attrib["name"]: symbol for symbol in renderer.iter("symbol")}
    found = {}
    for category in renderer.iter("category"):
        symbol = symbols[category.attrib["symbol"]]
        options_ = {o.attrib.get("name"): o.attrib.get("value") for o in symbol.iter("Option")}
        colour = tuple(map(int, options_["color"].split(",")))
        found[int(category.attrib["value"])] = category.attrib["label"], colour
    assert found == {value: (name, colours[value]) for value, name in enumerate(names)}


def small_and_large(write_scene, softmax):
    """A scene of cells of 8 px whose class is that of the sign, with one cell of its own."""
    values = np.full((1, 64, 64), -1, np.float32)
    values[:, 24:32, 24:32] = 1
    values[:, :, 40:] = 1
    values[:, :8, 48:] = np.nan
    values[:, :8, 56:] = -1  # one cell cut off from the others, 6400 m²
    values[:, 8:16, 56:] = np.nan
    model = softmax(tile_size=8, classes=("below", "above"))
    model.probabilities = lambda tiles: np.where(
        tiles.mean(axis=(1, 2, 3))[:, None] > 0, np.float32([[0.1, 0.9]]), np.float32([[0.8, 0.2]])
    ).astype(np.float32)
    return write_scene(values), model


@pytest.mark.parametrize(("minimum", "regions"), [(0, 4), (6400, 4), (6500, 3)])
def test_small_polygons_are_merged_into_their_neighbour(
    write_scene, softmax, tmp_path, minimum, regions
):
    scene, model = small_and_large(write_scene, softmax)
    wanted = options("classes", "gpkg", minimum_area=minimum)
    done = predict_scene(scene, model, tmp_path, products=wanted, stride=8)
    frame = geopandas.read_file(done.polygons, layer="classes")
    assert len(frame) == regions
    assert read(done.classes)[0, 28, 28] == 1  # the map stays as it is
    # What has no neighbour keeps its polygon, and no ground is lost.
    assert frame.area_m2.min() == pytest.approx(6400, rel=2e-3)
    assert frame.area.sum() == pytest.approx(6400 * (64 - 2))
    if regions == 3:
        merged = frame.loc[frame.area.idxmax()]
        assert merged["class"] == "below"
        assert merged.confidence == pytest.approx((39 * 0.8 + 0.9) / 40, rel=1e-6)


def test_vectors_of_scenes_with_gcps_are_geographic(write_scene, noise, softmax, tmp_path):
    to_map = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32631", always_xy=True)

    def ground(row, column):
        """A bent grid: second order in the row."""
        return 3 + column / 1000 + (row / 400) ** 2, 45 - row / 1000

    corners = [(r, c) for r in (0, 32, 64) for c in (0, 24, 48)]
    geographic = [GroundControlPoint(r, c, *ground(r, c)) for r, c in corners]
    projected = [GroundControlPoint(r, c, *to_map.transform(*ground(r, c))) for r, c in corners]
    wanted = options("gpkg", "summary")
    for crs, points, tolerance in (
        ("EPSG:4326", geographic, 1e-9),
        ("EPSG:32631", projected, 1e-5),
    ):
        scene = write_scene(noise(64, 48), transform=None, crs=crs, gcps=points)
        done = predict_scene(scene, softmax(), tmp_path / crs[5:], products=wanted, stride=16)
        frame = geopandas.read_file(done.polygons, layer="classes")
        assert frame.crs.to_epsg() == 4326
        vertices = frame.get_coordinates().to_numpy()
        nodes = np.array([ground(r, c) for r in range(0, 65, 16) for c in range(0, 49, 16)])
        gaps = np.abs(vertices[:, None] - nodes[None]).max(axis=2).min(axis=1)
        assert gaps.max() < tolerance
        # Neighbours share their vertices: no gaps and no overlaps.
        assert frame.geometry.union_all().area == pytest.approx(frame.area.sum(), rel=1e-12)
        geod = pyproj.Geod(ellps="WGS84")
        expected = sum(abs(geod.geometry_area_perimeter(g)[0]) for g in frame.geometry)
        assert frame.area_m2.sum() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"products": frozenset()}, "no product"),
        ({"confidence": "short"}, "confidence 'short'"),
        ({"products": frozenset({Product.CLASSES}), "confidence": "byte"}, "about the product"),
        ({"minimum_confidence": 0.0}, "least confidence"),
        ({"minimum_confidence": 1.5}, "least confidence"),
        ({"minimum_area": -1.0}, "minimum area -1"),
        ({"minimum_area": float("nan")}, "minimum area nan"),
        ({"products": frozenset({Product.CLASSES}), "minimum_area": 5.0}, "about polygons"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(SceneError, match=message):
        ProductOptions(**arguments)


def test_lists_of_products():
    assert parse_products("all") == frozenset(Product)
    assert parse_products("gpkg, classes") == {Product.GPKG, Product.CLASSES}
    for text, named in (("classes,map", "'map'"), ("", "no product"), ("all,gpkg", "'all'")):
        with pytest.raises(SceneError, match=f"{named}; allowed: all, or some of classes, conf"):
            parse_products(text)


def test_a_minimum_area_needs_a_place(write_scene, noise, softmax, tmp_path):
    scene = write_scene(noise(20, 20), crs=None, transform=None)
    with pytest.raises(SceneError, match="no square metres"):
        predict_scene(scene, softmax(), tmp_path, products=options("gpkg", minimum_area=10.0))
    assert not list(tmp_path.glob("scene_*"))
