import numpy as np
import pytest
import rasterio

import rsmeta as rs
from rsmeta import prediction
from rsmeta.errors import SceneError
from rsmeta.prediction_options import PredictionOptions


@pytest.fixture(scope="module")
def model(finished_run):
    return rs.load(finished_run[1])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A folder with two scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    for seed in (1, 2):
        product = rs.simulate(folder / f"s{seed}.tif", "sar", size=160, seed=seed)
        product.truth.unlink()
        product.polygons.unlink()
    return folder


@pytest.fixture(scope="module")
def predicted(model, scenes, tmp_path_factory):
    products = "classes,confidence,gpkg"
    return model.predict(scenes / "s1.tif", tmp_path_factory.mktemp("out"), products=products)


def test_a_model_says_what_it_takes(model):
    assert model.bands == ("VV", "VH")
    assert (model.tile_size, model.pixel_size) == (64, 2.0)
    assert len(model.classes) == 11
    html = model._repr_html_()
    assert "<td>VV, VH</td>" in html and "<td>64 pixels of 2 m</td>" in html


def test_the_api_predicts_what_the_command_does(model, scenes, predicted, tmp_path):
    (other,) = prediction.predict([scenes / "s1.tif"], model.run.folder, tmp_path)
    with rasterio.open(other.classes) as dataset:
        np.testing.assert_array_equal(predicted.classes, dataset.read(1))
    assert predicted.pixels == other.pixels


def test_several_scenes_come_one_after_the_other(model, scenes, tmp_path):
    found = list(model.predict_scenes([scenes], tmp_path, stride=64, products="classes"))
    assert [one.files["classes"].name for one in found] == ["s1_classes.tif", "s2_classes.tif"]
    with pytest.raises(SceneError, match="stands for 2 scenes; give one alone"):
        model.predict(scenes, tmp_path)


def test_rows_are_those_of_the_map(model, scenes, predicted):
    rows = [row.classes for row in model.predict_rows(scenes / "s1.tif")]
    cells = np.concatenate(rows)
    np.testing.assert_array_equal(cells, predicted.classes.values)
    with pytest.raises(SceneError, match="option 'products' is unknown"):
        next(model.predict_rows(scenes / "s1.tif", products="classes"))


def test_bands_can_be_named(model, scenes, tmp_path):
    with pytest.raises(SceneError, match="VV"):
        model.predict(scenes / "s1.tif", tmp_path, bands=["HH", "HV"])
    swapped = model.predict(scenes / "s1.tif", tmp_path, bands=["VH", "VV"], products="classes")
    assert swapped.classes.shape == (5, 5)
    text = model.predict(scenes / "s1.tif", tmp_path, bands="VH,VV", products="classes")
    np.testing.assert_array_equal(text.classes.values, swapped.classes.values)


def test_probabilities_of_chips(model):
    chips = np.random.default_rng(0).normal(-12, 3, (3, 2, 64, 64))
    found = model.probabilities(chips)
    assert found.shape == (3, 11)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_predict_by_the_folder_of_a_run(model, scenes, tmp_path):
    found = rs.predict(scenes / "s2.tif", model.run, tmp_path, stride=64, products="classes")
    assert found.files["classes"] == tmp_path / "s2_classes.tif"
    assert PredictionOptions(stride=64, products="classes") == PredictionOptions.of(
        {"stride": 64, "products": "classes"}
    )
