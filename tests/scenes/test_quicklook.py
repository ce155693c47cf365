"""Quick-looks: what they are made of, and that they are drawn."""

import numpy as np
import pytest
from PIL import Image

from rsmeta.palette import class_colours
from rsmeta.scenes import Product, ProductOptions, predict_scene
from rsmeta.scenes.opening import open_scene
from rsmeta.scenes.picture import scene_look
from rsmeta.scenes.source import RasterSource

QUICKLOOK = ProductOptions(frozenset({Product.QUICKLOOK}))


def look_of(path, model, indexes):
    with open_scene(RasterSource(str(path)), model.bands) as scene:
        return scene_look(scene, indexes, model)


def stretched(values):
    low, high = np.percentile(values, (2, 98))
    return 255 * np.clip((values - low) / (high - low), 0, 1)


def test_optical_scenes_in_true_colours(write_scene, noise, constant):
    values = noise(30, 40, bands=4)
    look = look_of(write_scene(values), constant(("B02", "B03", "B04", "B08")), (1, 2, 3, 4))
    for channel, band in enumerate((2, 1, 0)):
        np.testing.assert_allclose(look[..., channel], stretched(values[band]), atol=1)
    assert (look[..., 3] == 255).all()


def test_linear_radar_in_decibels_and_decibels_as_they_are(write_scene, noise, constant):
    decibels = noise(30, 40) * 3 - 12
    linear = write_scene((10 ** (decibels / 10)).astype(np.float32), "linear.tif")
    for scene in (linear, write_scene(decibels, "decibels.tif")):
        look = look_of(scene, constant(("VV",)), (1,))
        for channel in range(3):
            np.testing.assert_allclose(look[..., channel], stretched(decibels[0]), atol=1)


def test_large_scenes_are_reduced_by_means_of_valid_pixels(write_scene, noise, constant):
    values = noise(90, 2500)
    values[:, 30:33, 60:63] = np.nan
    values[:, :2, 200] = np.nan
    look = look_of(write_scene(values), constant(("panchromatic",)), (1,))
    assert look.shape == (30, 834, 4)
    filled = np.full((90, 2502), np.nan)
    filled[:, :2500] = values[0]
    squares = filled.reshape(30, 3, 834, 3).swapaxes(1, 2).reshape(30, 834, 9)
    seen = np.isfinite(squares).any(axis=-1)
    np.testing.assert_array_equal(look[..., 3] == 255, seen)
    assert not seen[10, 20]
    means = np.nanmean(np.where(seen[..., None], squares, 0), axis=-1)
    low, high = np.percentile(means[seen], (2, 98))
    expected = 255 * np.clip((means - low) / (high - low), 0, 1)
    np.testing.assert_allclose(look[..., 0][seen], expected[seen], atol=1)


@pytest.mark.parametrize("shape", [(64, 64), (5, 300), (1, 1)])
def test_the_picture_shows_classes_over_the_scene(write_scene, constant, tmp_path, shape):
    values = np.ones((1, *shape), np.float32)
    done = predict_scene(write_scene(values), constant(), tmp_path, products=QUICKLOOK)
    picture = np.asarray(Image.open(done.files[Product.QUICKLOOK]).convert("RGB")).reshape(-1, 3)
    # The second class, half over black: a scene of one value has nothing to stretch.
    half = np.array(class_colours(2)[1]) * 128 / 255
    assert (np.abs(picture - half).max(axis=1) <= 2).sum() > 0
    # And in full in the legend.
    assert (np.abs(picture - np.array(class_colours(2)[1])).max(axis=1) <= 2).sum() > 10


def test_scenes_without_any_valid_pixel_and_equal_bytes(write_scene, noise, constant, tmp_path):
    empty = write_scene(np.full((1, 20, 30), np.nan, np.float32))
    predict_scene(empty, constant(), tmp_path / "empty", products=QUICKLOOK)
    scene = write_scene(noise(20, 30))
    first, second = (
        predict_scene(scene, constant(), tmp_path / name, products=QUICKLOOK) for name in "ab"
    )
    assert (
        first.files[Product.QUICKLOOK].read_bytes() == second.files[Product.QUICKLOOK].read_bytes()
    )
