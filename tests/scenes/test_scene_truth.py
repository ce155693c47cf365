import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from rsmeta.errors import SceneError
from rsmeta.scenes import agreement, predict_scene

CLASSES = ("water", "forest", "urban")


@pytest.fixture
def write_truth(write_scene):
    def write(values, names, name="truth.tif"):
        path = write_scene(np.asarray(values, dtype=np.uint8), name)
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(**({"CLASS_NAMES": names} if names is not None else {}))
        return path

    return write


def test_classes_are_matched_by_name(write_truth):
    mapped = write_truth([[[0, 0, 1, 1], [2, 2, 255, 0]]], json.dumps(CLASSES), "map.tif")
    # In the truth 0 is urban, 1 water, 2 forest, 3 ice, which the map does not know.
    truth = write_truth([[[1, 2, 2, 255], [0, 0, 0, 3]]], '["urban", "water", "forest", "ice"]')
    result = agreement(mapped, truth)
    assert result.labelled == 6
    assert result.overall == pytest.approx(4 / 6)
    assert result.recall == {"urban": 1.0, "water": 1.0, "forest": 0.5, "ice": 0.0}
    assert result.mean_recall == pytest.approx(2.5 / 4)


def test_agreement_of_a_prediction(write_scene, write_truth, noise, constant, tmp_path):
    done = predict_scene(write_scene(noise(40, 30)), constant(), tmp_path / "out")
    labels = np.full((1, 40, 30), 255)
    labels[:, :10], labels[:, 10:15] = 1, 0
    result = agreement(done.classes, write_truth(labels, json.dumps(CLASSES)))
    assert result.overall == pytest.approx(10 / 15)
    assert result.recall == {"water": 0.0, "forest": 1.0}
    assert result.mean_recall == 0.5


@pytest.mark.parametrize(("height", "width"), [(40, 30), (48, 64), (5, 3)])
def test_a_map_of_cells_counts_as_the_same_map_of_pixels(
    write_scene, write_truth, noise, softmax, tmp_path, height, width
):
    scene = write_scene(noise(height, width))
    labels = np.random.default_rng(1).integers(0, 4, (1, height, width))
    truth = write_truth(np.where(labels == 3, 255, labels), json.dumps(CLASSES))
    pixels, cells = (
        agreement(
            predict_scene(scene, softmax(), tmp_path / name, stride=4, resolution=name).classes,
            truth,
        )
        for name in ("pixel", "cell")
    )
    assert cells == pixels


@pytest.mark.parametrize("pixels_at_once", [1, 70, 1000])
@pytest.mark.parametrize("side", [1, 3])
def test_every_pixel_counts_once_however_many_are_read_at_once(
    write_scene, write_truth, monkeypatch, pixels_at_once, side
):
    monkeypatch.setattr("rsmeta.scenes.truth._PIXELS_AT_ONCE", pixels_at_once)
    rng = np.random.default_rng(2)
    cells = rng.integers(0, 3, (7, 8))
    found = cells.repeat(side, axis=0).repeat(side, axis=1)
    true = rng.integers(0, 3, found.shape)
    mapped = write_truth(cells[None], json.dumps(CLASSES), "map.tif")
    with rasterio.open(mapped, "r+") as dataset:
        dataset.transform = rasterio.Affine(10 * side, 0, 500_000, 0, -10 * side, 4_800_000)
    result = agreement(mapped, write_truth(true[None], json.dumps(CLASSES)))
    assert result.labelled == true.size
    assert result.overall == pytest.approx((true == found).mean())
    assert result.recall == pytest.approx(
        {name: (found[true == i] == i).mean() for i, name in enumerate(CLASSES)}
    )


@pytest.mark.parametrize(
    ("truth", "names", "message"),
    [
        (np.zeros((1, 4, 5)), '["water"]', "4 × 5 pixels"),
        (np.zeros((1, 4, 4)), None, "CLASS_NAMES"),
        (np.zeros((1, 4, 4)), "water", "CLASS_NAMES"),
        (np.zeros((1, 4, 4)), '["water", "water"]', "CLASS_NAMES"),
        (np.full((1, 4, 4), 3), '["water"]', "holds class 3"),
        (np.full((1, 4, 4), 255), '["water"]', "no labelled pixel"),
    ],
)
def test_errors_are_one_line(write_truth, truth, names, message):
    mapped = write_truth(np.zeros((1, 4, 4)), json.dumps(CLASSES), "map.tif")
    with pytest.raises(SceneError, match=message) as caught:
        agreement(mapped, write_truth(truth, names))
    assert "\n" not in str(caught.value)


def test_truth_that_is_no_class_raster(write_scene):
    mapped = write_scene(np.zeros((1, 4, 4), dtype=np.uint8))
    truth = write_scene(np.zeros((1, 4, 4), dtype=np.float32), "truth.tif")
    with pytest.raises(SceneError, match="float32"):
        agreement(mapped, truth)


@pytest.mark.parametrize(
    "place",
    [
        {"transform": Affine(10, 0, 500_300, 0, -10, 5_800_000)},
        {"transform": Affine(20, 0, 500_000, 0, -20, 5_800_000)},
        {"crs": "EPSG:32633"},
    ],
    ids=["beside", "larger pixels", "other zone"],
)
@pytest.mark.parametrize("resolution", ["pixel", "cell"])
def test_the_truth_of_another_place_is_refused(
    write_scene, noise, constant, tmp_path, place, resolution
):
    """It has as many pixels, and would give numbers that mean nothing."""
    here = {"transform": Affine(10, 0, 500_000, 0, -10, 5_800_000), "crs": "EPSG:32632"}
    scene = write_scene(noise(40, 30), **here)
    done = predict_scene(scene, constant(), tmp_path / "out", stride=4, resolution=resolution)
    labels = np.zeros((1, 40, 30), dtype=np.uint8)
    for where, name in ((here, "here.tif"), ({**here, **place}, "there.tif")):
        with rasterio.open(write_scene(labels, name, **where), "r+") as dataset:
            dataset.update_tags(CLASS_NAMES=json.dumps(CLASSES))
    assert agreement(done.classes, tmp_path / "here.tif").labelled == 1200
    with pytest.raises(SceneError, match=r"lies elsewhere than the map|is the same grid"):
        agreement(done.classes, tmp_path / "there.tif")
