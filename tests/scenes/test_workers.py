"""One scene, or several, classified by several processes."""

import csv
import time

import numpy as np
import pytest
import rasterio
from tile_classifiers import Dying, Mixing, PixelMean, of_a_run

from rsmeta import prediction, workers
from rsmeta.errors import SceneError
from rsmeta.prediction import predict
from rsmeta.prediction_options import PredictionOptions
from rsmeta.scenes import Processes, predict_rows, predict_scene
from rsmeta.scenes.engines import ThisProcess


@pytest.fixture
def scene(write_scene, noise):
    values = noise(300, 700)
    values[:, 100:200, 50:300] = np.nan
    return write_scene(values)


@pytest.fixture(scope="module")
def engines():
    started = []

    def start(loader, workers):
        started.append(Processes(loader, workers))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


def raster_bytes(done):
    return done.classes.read_bytes(), done.confidence.read_bytes()


@pytest.mark.parametrize("workers", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_any_number_of_workers_gives_the_same_bytes(scene, tmp_path, engines, workers):
    engine = engines(Mixing, workers)
    for options in ({}, {"stride": 12, "resolution": "cell"}):
        one = predict_scene(scene, Mixing(), tmp_path / f"one{options}", **options)
        idle = Mixing()
        out = tmp_path / f"more{options}"
        more = predict_scene(scene, idle, out, engine=engine, **options)
        assert idle.tiles == 0
        assert raster_bytes(more) == raster_bytes(one)
        assert (more.pixels, more.tiles) == (one.pixels, one.tiles)


def test_a_worker_that_dies_is_told(scene, tmp_path, engines):
    with pytest.raises(SceneError, match="worker processes ended unexpectedly"):
        predict_scene(scene, Mixing(), tmp_path / "out", engine=engines(Dying, 1))


def test_too_few_workers():
    with pytest.raises(SceneError, match="0 workers"):
        Processes(Mixing, 0)


def test_several_scenes_at_a_time(write_scene, noise, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in "acd":
        write_scene(noise(60, 70), f"in/{name}.tif")
    (tmp_path / "in" / "b.tif").write_bytes(b"")
    model = of_a_run(Mixing())
    monkeypatch.setattr(prediction, "load_run", lambda run, **options: model)
    monkeypatch.setattr(workers, "_RunLoader", lambda *settings: Mixing)
    options = PredictionOptions(workers=2, on_error="skip")
    done = []
    with pytest.raises(SceneError, match="1 of 4 scenes"):
        done.extend(predict([tmp_path / "in"], tmp_path, tmp_path / "out", options))
    assert [entry.classes.name[0] for entry in done] == ["a", "c", "d"]
    assert model.tiles == 0
    with (tmp_path / "out" / "failed.csv").open(encoding="utf-8", newline="") as file:
        assert [row["scene"] for row in csv.DictReader(file)] == [str(tmp_path / "in" / "b.tif")]
    alone = predict_scene(
        tmp_path / "in" / "d.tif", Mixing(), tmp_path / "alone", resolution="cell"
    )
    assert alone.confidence.read_bytes() == done[-1].confidence.read_bytes()


@pytest.mark.parametrize("size", [(70, 53), (9, 5), (300, 700)])
def test_finished_rows_are_handed_over_in_order(write_scene, noise, tmp_path, size):
    path = write_scene(noise(*size))
    rows = list(predict_rows(path, Mixing()))
    done = predict_scene(path, Mixing(), tmp_path / "out", resolution="cell")
    with rasterio.open(done.classes) as classes, rasterio.open(done.confidence) as confidence:
        np.testing.assert_array_equal(np.concatenate([r.classes for r in rows]), classes.read(1))
        np.testing.assert_array_equal(
            np.concatenate([r.confidence for r in rows]), confidence.read(1)
        )
    assert np.concatenate([r.valid for r in rows]).shape == size
    first = next(iter(predict_rows(path, Mixing(), engine=ThisProcess(Mixing()))))
    np.testing.assert_array_equal(first.classes, rows[0].classes)


@pytest.mark.parametrize("batch_size", [1, 7, 64, None])
def test_batches_of_any_size_give_the_same_bits(scene, tmp_path, batch_size):
    model = Mixing()
    rows = list(predict_rows(scene, model, batch_size=batch_size))
    assert max(model.batches) <= (batch_size or 32)
    for found, expected in zip(rows, predict_rows(scene, Mixing()), strict=True):
        np.testing.assert_array_equal(found.classes, expected.classes)
        np.testing.assert_array_equal(found.confidence, expected.confidence)


class Overtaking(Mixing):
    """Batches are done by several threads, and early ones take longer than late ones."""

    concurrency = 3

    def probabilities(self, tiles):
        time.sleep(0.02 / (1 + len(self.batches)))
        return super().probabilities(tiles)


def test_batches_that_overtake_each_other_give_the_same_bits(scene):
    found = predict_rows(scene, Overtaking(), batch_size=3)
    for ours, expected in zip(found, predict_rows(scene, Mixing(), batch_size=3), strict=True):
        np.testing.assert_array_equal(ours.classes, expected.classes)
        np.testing.assert_array_equal(ours.confidence, expected.confidence)


@pytest.mark.parametrize("tile", [1, 4, 7])
@pytest.mark.parametrize("size", [(70, 53), (9, 5), (100, 90)])
def test_a_model_of_single_pixels_has_no_seams(write_scene, size, tile):
    shape = -(-size[0] // tile), -(-size[1] // tile)
    values = np.random.default_rng(3).uniform(size=shape).astype(np.float32)
    large = values.repeat(tile, 0).repeat(tile, 1)[: size[0], : size[1]]
    rows = predict_rows(write_scene(large), PixelMean(), tile=tile, stride=tile)
    found = np.concatenate([r.confidence for r in rows])
    np.testing.assert_array_equal(found, np.maximum(values, 1 - values))
