"""Tile size and test-time augmentation."""

import numpy as np
import pytest
import rasterio
from tile_classifiers import Mixing

from rsmeta.errors import SceneError
from rsmeta.scenes import predict_scene
from rsmeta.scenes.symmetries import mean_probabilities, orientations


class Exact(Mixing):
    tile_sizes = range(4, 33)
    concurrency = 1


@pytest.fixture
def tiles():
    return np.random.default_rng(0).normal(size=(5, 1, 16, 16)).astype(np.float32)


def test_orientations_are_the_eight_of_the_square():
    square = np.arange(9.0, dtype=np.float32).reshape(3, 3)
    found = {turned.tobytes() for turned in orientations(square)}
    expected = {np.rot90(m, k).tobytes() for m in (square, square.T) for k in range(4)}
    assert found == expected
    assert len(found) == 8


def test_the_augmented_mean_is_that_of_all_orientations(tiles):
    model = Mixing()
    found = mean_probabilities(model, tiles, "d4")
    each = [model.probabilities(np.ascontiguousarray(t)) for t in orientations(tiles)]
    np.testing.assert_allclose(found, np.mean(np.float64(each), axis=0), rtol=1e-7)
    assert np.abs(found - each[0]).max() > 1e-3
    for turned in orientations(tiles):
        again = mean_probabilities(model, np.ascontiguousarray(turned), "d4")
        np.testing.assert_allclose(again, found, rtol=1e-5)


def test_without_augmentation_nothing_changes(tiles):
    np.testing.assert_array_equal(
        mean_probabilities(Mixing(), tiles, "none"), Mixing().probabilities(tiles)
    )


@pytest.mark.parametrize("row", [(0.1, 0.7, 0.2), (1 / 3, 0.34, 0.32)])
def test_a_constant_model_stays_constant(write_scene, noise, constant, tmp_path, row):
    done = predict_scene(
        write_scene(noise(50, 37)), constant(row=row), tmp_path / "out", augmentation="d4"
    )
    with rasterio.open(done.confidence) as out:
        assert (out.read(1) == np.float32(max(row))).all()


@pytest.mark.parametrize("tile", [4, 9, 32])
def test_a_tile_size_that_is_asked_for(write_scene, noise, tmp_path, tile, caplog):
    path = write_scene(noise(40, 50))
    done = predict_scene(path, Exact(), tmp_path / "out", tile=tile, resolution="cell", stride=tile)
    with rasterio.open(done.classes) as out:
        assert out.shape == (-(-40 // tile), -(-50 // tile))
    assert f"tiles of {tile} px are resized as the training chips of 16 px were" in caplog.text


@pytest.mark.parametrize("tile", [0, 3, 33])
def test_tiles_that_the_model_cannot_take(write_scene, noise, tmp_path, tile):
    with pytest.raises(SceneError, match=rf"tiles of {tile} px .*allowed: 4 to 32"):
        predict_scene(write_scene(noise(40, 50)), Exact(), tmp_path / "out", tile=tile)
    assert not (tmp_path / "out").exists()


def test_unknown_augmentation(write_scene, noise, tmp_path):
    with pytest.raises(SceneError, match="'d8' is unknown; allowed: none, d4"):
        predict_scene(write_scene(noise(40, 50)), Exact(), tmp_path / "out", augmentation="d8")
