"""Products of a scene as xarray and geopandas."""

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint

import rsmeta as rs
from rsmeta.errors import SceneError
from rsmeta.scenes import ProductOptions, parse_products, predict_scene

NAMES = ["water", "forest", "urban"]


@pytest.fixture
def classify(write_scene, noise, softmax, tmp_path):
    def run(products="all", shape=(48, 64), **place):
        options = ProductOptions(parse_products(products))
        scene = write_scene(noise(*shape), **place)
        return rs.Prediction.of(predict_scene(scene, softmax(), tmp_path / "out", products=options))

    return run


def test_the_class_map_is_a_data_array(classify):
    found = classify()
    with rasterio.open(found.files["classes"]) as dataset:
        np.testing.assert_array_equal(found.classes.values, dataset.read(1))
        assert found.classes.rio.crs == dataset.crs
        assert found.classes.rio.transform() == dataset.transform
        assert found.classes.rio.nodata == dataset.nodata == 255
        expected = [dataset.xy(0, 0), dataset.xy(47, 63)]
    corners = [(found.classes.x[i].item(), found.classes.y[i].item()) for i in (0, -1)]
    np.testing.assert_allclose(corners, expected)
    assert found.classes.dims == ("y", "x")
    assert found.classes.attrs["class_names"] == NAMES
    assert found.classes.attrs["class_colours"][0] == "#1F77B4"
    assert not {"CLASS_NAMES", "RSMETA_PREDICTION"} & set(found.classes.attrs)


def test_values_are_read_when_they_are_used(classify):
    found = classify()
    assert not found.classes.variable._in_memory
    assert not found.probabilities.variable._in_memory
    assert found.classes is found.classes


def test_probabilities_and_confidence_are_scaled(classify):
    found = classify()
    assert found.probabilities.dims == ("class", "y", "x")
    assert list(found.probabilities["class"].values) == NAMES
    np.testing.assert_allclose(found.probabilities.sum("class"), 1, atol=0.01)
    best = found.probabilities.max("class")
    np.testing.assert_allclose(found.confidence, best, atol=0.003)


@pytest.mark.parametrize("product", ["gpkg", "parquet", "geojson"])
def test_polygons_come_from_whichever_file_there_is(classify, product):
    frame = classify(f"classes,{product}").polygons
    assert set(frame["class"]) <= set(NAMES)
    assert frame["area_m2"].sum() == pytest.approx(48 * 64 * 100, rel=1e-3)
    assert frame.crs.to_epsg() == (4326 if product == "geojson" else 32631)


def test_geojson_is_in_degrees_where_the_polygons_are(classify):
    found = classify()
    degrees = geopandas.read_file(found.files["geojson"])
    expected = found.polygons.to_crs(4326)
    assert len(degrees) == len(expected)
    np.testing.assert_allclose(degrees.total_bounds, expected.total_bounds, atol=1e-6)
    assert '"crs"' not in found.files["geojson"].read_text()  # RFC 7946 knows but one


def test_geojson_needs_a_place(classify, tmp_path):
    with pytest.raises(SceneError, match="geojson has no degrees"):
        classify("classes,geojson", crs=None, transform=None)
    assert not list((tmp_path / "out").glob("scene_*"))


def test_what_was_not_asked_for_is_not_there(classify):
    found = classify("classes,summary")
    for name in ("confidence", "probabilities", "polygons"):
        with pytest.raises(SceneError, match="was not asked for; add it to the products"):
            getattr(found, name)


def test_a_scene_with_control_points_alone_opens(classify):
    points = [
        GroundControlPoint(row, column, 10 + column / 1000, 50 - row / 1000)
        for row, column in ((0, 0), (0, 64), (48, 0), (48, 64))
    ]
    found = classify("classes,gpkg", transform=None, crs="EPSG:4326", gcps=points)
    assert found.classes.shape == (48, 64)
    assert found.polygons.crs.to_epsg() == 4326


def test_html_tells_the_classes_by_area(classify):
    html = classify("classes,gpkg")._repr_html_()
    assert "scene_classes.tif" in html and "scene_polygons.gpkg" in html
    assert "pixels)" in html


def test_a_class_map_is_drawn_in_its_colours(classify):
    found = classify()
    ax = rs.plot.class_map(found)
    picture = ax.images[0].get_array()
    with rasterio.open(found.files["classes"]) as dataset:
        values, colours = dataset.read(1), dataset.colormap(1)
    assert picture.shape == (48, 64, 4)
    for value in np.unique(values):
        assert (picture[values == value] == colours[value]).all()
    listed = [text.get_text() for text in ax.get_legend().get_texts()]
    counts = {NAMES[value]: (values == value).sum() for value in np.unique(values)}
    assert listed == sorted(counts, key=lambda name: -counts[name])
