import numpy as np
import pytest
import rasterio

from rsmeta.errors import SceneError
from rsmeta.scenes import ReadOptions, predict_scene

BANDS = ("B02", "B03", "B04")
ZERO = ReadOptions(missing_bands="zero")


def maps(done):
    found = []
    for path in (done.classes, done.confidence):
        with rasterio.open(path) as dataset:
            found.append(dataset.read(1))
    return found


def test_a_missing_band_is_an_error_that_names_the_choice(write_scene, noise, softmax, tmp_path):
    scene = write_scene(noise(20, 20, bands=2), descriptions=("B03", "B02"))
    with pytest.raises(SceneError, match=r"expects 3 .*--missing-bands zero"):
        predict_scene(scene, softmax(bands=BANDS), tmp_path / "out")


def test_a_missing_band_is_the_training_mean_and_a_warning_names_it(
    write_scene, noise, softmax, tmp_path, caplog
):
    model = softmax(bands=BANDS)
    values = noise(40, 33, bands=2)
    values[:, :9, :7] = np.nan
    scene = write_scene(values, descriptions=("b03", "B02"))
    done = predict_scene(scene, model, tmp_path / "out", options=ZERO)
    (record,) = caplog.records
    assert "lacks B04, taken as the training mean" in record.getMessage()
    whole = np.stack([values[1], values[0], np.full_like(values[0], model.fill[2])])
    whole[:, np.isnan(values[0])] = np.nan
    same = write_scene(whole, "whole.tif", descriptions=BANDS)
    expected = maps(predict_scene(same, model, tmp_path / "other", options=ZERO))
    for one, other in zip(maps(done), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(caplog.records) == 1  # nothing to tell of a complete scene


@pytest.mark.parametrize(
    "descriptions",
    [(), ("B03", ""), ("B11", "B12"), ("B03", "b03")],
    ids=["no names", "a name missing", "none of them", "twice"],
)
def test_only_names_can_tell_what_is_missing(write_scene, noise, softmax, tmp_path, descriptions):
    scene = write_scene(noise(20, 20, bands=2), descriptions=descriptions)
    with pytest.raises(SceneError, match="expects 3") as caught:
        predict_scene(scene, softmax(bands=BANDS), tmp_path / "out", options=ZERO)
    assert "--missing-bands" not in str(caught.value)
