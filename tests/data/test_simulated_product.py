import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from rsmeta.bands import SimulatedSensor
from rsmeta.data.simulator import CLASSES, render
from rsmeta.data.simulator.product import write_scene
from rsmeta.data.simulator.scene import UNLABELLED, lay_out_scene
from rsmeta.errors import SceneError
from rsmeta.rasters import open_raster, read_masked

SIZE = 288


@pytest.fixture(scope="module", params=list(SimulatedSensor))
def product(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "deep" / "scene.tif"
    return request.param, write_scene(path, request.param, SIZE, 1)


def test_the_scene_is_a_geotiff_of_its_sensor(product):
    sensor, files = product
    types = {"optical": "uint8", "multispectral": "uint16", "sar": "float32"}
    with rasterio.open(files.scene) as scene:
        assert scene.driver == "GTiff"
        assert set(scene.dtypes) == {types[sensor.value]}
        assert scene.descriptions == tuple(band.name for band in sensor.bands)
        assert scene.units == tuple(band.unit.value for band in sensor.bands)
        assert scene.crs.to_epsg() == 32631
        assert scene.res == (2, 2)
        assert scene.shape == (SIZE, SIZE)


def test_the_scene_reads_back_as_rendered(product):
    sensor, files = product
    ground = lay_out_scene(SIZE, 1).ground
    expected = render(ground, sensor, np.random.default_rng([1, 7]))
    with open_raster(files.scene) as scene:
        values, valid = read_masked(scene)
    assert valid.all()
    np.testing.assert_allclose(values, expected, atol=0.51e-4 if len(values) == 12 else 0)


def test_the_truth_raster_names_its_classes_and_lies_on_the_scene(product):
    _, files = product
    with rasterio.open(files.truth) as truth, rasterio.open(files.scene) as scene:
        assert (truth.crs, truth.transform) == (scene.crs, scene.transform)
        assert truth.nodata == UNLABELLED
        assert json.loads(truth.tags()["CLASS_NAMES"]) == list(CLASSES)
        np.testing.assert_array_equal(truth.read(1), lay_out_scene(SIZE, 1).truth)


def test_the_truth_polygons_are_the_truth_raster(product):
    _, files = product
    frame = gpd.read_file(files.polygons)
    with rasterio.open(files.truth) as truth:
        assert frame.crs == truth.crs
        drawn = rasterize(
            [(g, CLASSES.index(c)) for g, c in zip(frame.geometry, frame["class"], strict=True)],
            out_shape=truth.shape,
            transform=truth.transform,
            fill=UNLABELLED,
            dtype="uint8",
        )
        np.testing.assert_array_equal(drawn, truth.read(1))


def test_all_sensors_see_the_same_ground(tmp_path):
    truths = [
        rasterio.open(write_scene(tmp_path / f"{s}.tif", s, 200, 2).truth).read(1)
        for s in SimulatedSensor
    ]
    assert all(np.array_equal(truth, truths[0]) for truth in truths)


@pytest.mark.parametrize("field", ["material", "elevation", "tone"])
def test_a_layout_is_a_function_of_size_and_seed(field):
    first, again, other = (getattr(lay_out_scene(200, s).ground, field) for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_large_layout_holds_several_classes_and_unlabelled_borders():
    truth = lay_out_scene(800, 0).truth
    labels = set(np.unique(truth).tolist())
    assert {0, 1, 2, UNLABELLED} < labels
    assert len(labels) > 6
    assert labels <= {*range(len(CLASSES)), UNLABELLED}


def test_writing_again_gives_the_same_scene(tmp_path):
    sensor = SimulatedSensor.SAR
    for name in ("a.tif", "b.tif", "a.tif"):
        write_scene(tmp_path / name, sensor, 128, 4)
    pixels = [rasterio.open(tmp_path / name).read() for name in ("a.tif", "b.tif")]
    np.testing.assert_array_equal(*pixels)
    assert len(gpd.read_file(tmp_path / "a_truth.gpkg")) == len(
        gpd.read_file(tmp_path / "b_truth.gpkg")
    )


def test_a_scene_without_any_labelled_pixel_is_written_too(tmp_path):
    assert (lay_out_scene(96, 0).truth == UNLABELLED).all()
    files = write_scene(tmp_path / "scene.tif", SimulatedSensor.OPTICAL, 96, 0)
    assert gpd.read_file(files.polygons).empty


@pytest.mark.parametrize("size", [0, -1, 95, 16_385])
def test_a_size_out_of_range_is_refused_before_anything_is_written(tmp_path, size):
    with pytest.raises(SceneError, match=rf"size {size} is out of range; allowed: 96 to 16384"):
        write_scene(tmp_path / "scene.tif", SimulatedSensor.SAR, size, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["scene.png", "scene", "scene.tif.gz"])
def test_a_name_that_is_no_geotiff_is_refused(tmp_path, name):
    with pytest.raises(SceneError, match=r"is not the name of a GeoTIFF; use a name .*\.tif"):
        write_scene(tmp_path / name, SimulatedSensor.SAR, 96, 0)


@pytest.mark.parametrize("blocked", ["file/scene.tif", "scene.tif", "scene_truth.gpkg"])
def test_a_place_that_cannot_be_written_is_one_line_with_the_path(tmp_path, blocked):
    path = tmp_path / (blocked if blocked.startswith("file") else "scene.tif")
    if blocked.startswith("file"):
        (tmp_path / "file").write_text("not a folder")
    else:
        (tmp_path / blocked).mkdir()
    with pytest.raises(SceneError, match="cannot be written") as caught:
        write_scene(path, SimulatedSensor.SAR, 96, 0)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
