"""Predictions that are killed, and go on."""

import logging
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from forking import forking_context
from tile_classifiers import Mixing, Slow

from rsmeta.errors import SceneError
from rsmeta.scenes import (
    ModelDescription,
    Product,
    ProductOptions,
    ThisProcess,
    predict_scene,
)
from rsmeta.scenes.journal import Journal
from rsmeta.scenes.product_options import DEFAULT_PRODUCTS


@pytest.fixture
def scene(write_scene, noise):
    values = noise(300, 400)
    values[:, 100:200, 50:300] = np.nan
    return write_scene(values)


def raster_bytes(done):
    return done.classes.read_bytes(), done.confidence.read_bytes()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class Interrupted(BaseException):
    pass


class StopsAfter:
    """An engine that is stopped, as by Ctrl-C, after some units."""

    def __init__(self, units, error=Interrupted):
        self.units, self.error = units, error

    def run(self, work, units):
        for count, result in enumerate(ThisProcess(Mixing()).run(work, units)):
            if count == self.units:
                raise self.error("stopped")
            yield result


def stopped(scene, out, units=3, **options):
    with pytest.raises(Interrupted):
        predict_scene(scene, Mixing(), out, engine=StopsAfter(units), **options)
    assert [path.name for path in out.iterdir()] == [".rsmeta-scene"]


def moments(units):
    """Random points of a prediction: units that are finished, and a time after that in seconds."""
    rng = np.random.default_rng(5)
    while_classifying = zip(rng.integers(1, units - 1, 7), rng.uniform(0, 0.03, 7), strict=True)
    return [*while_classifying, (0, 0.0), *((units, t) for t in rng.uniform(0, 0.1, 2))]


def test_a_prediction_killed_at_any_point_ends_with_the_same_bytes(
    scene, tmp_path, record_property
):
    whole = predict_scene(scene, Mixing(), tmp_path / "whole")
    kills = 0
    for number, (units, seconds) in enumerate(moments(8)):
        out = tmp_path / str(number)
        child = forking_context().Process(target=predict_scene, args=(scene, Slow(), out))
        child.start()
        while child.is_alive() and len(list(out.glob("*/*/*.npz"))) < units:
            time.sleep(0.001)
        time.sleep(seconds)
        child.kill()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        model = Mixing()
        done = predict_scene(scene, model, out)
        assert raster_bytes(done) == raster_bytes(whole)
        assert names(out) == names(tmp_path / "whole")
        assert (done.pixels, done.tiles) == (whole.pixels, whole.tiles)
        assert model.tiles < whole.tiles or units == 0
        assert model.tiles > 0 or units == 8
    record_property("kill_points", kills)
    record_property("survived", kills)


def test_only_what_is_missing_is_classified(scene, tmp_path):
    stopped(scene, tmp_path / "out")
    model, calls = Mixing(), []
    done = predict_scene(scene, model, tmp_path / "out", progress=lambda *c: calls.append(c))
    assert 0 < model.tiles < done.tiles
    assert calls[-1][0] == calls[-1][1]
    whole = predict_scene(scene, Mixing(), tmp_path / "whole")
    assert raster_bytes(done) == raster_bytes(whole)
    assert not list((tmp_path / "out").glob(".*"))


class Other(Mixing):
    fingerprint = "other"


@pytest.mark.parametrize(
    "change",
    ["model", "stride", "tile", "augmentation", "batch_size", "file"],
)
def test_what_was_done_for_another_key_is_removed(scene, tmp_path, change):
    stopped(scene, tmp_path / "out")
    (before,) = (p.name for p in (tmp_path / "out/.rsmeta-scene").iterdir() if p.is_dir())
    options = {"stride": 4, "tile": 12, "augmentation": "d4", "batch_size": 7}
    if change == "file":
        os.utime(scene, ns=(1, 1))
    model = Other() if change == "model" else Mixing()
    settings = {change: options[change]} if change in options else {}
    with pytest.raises(Interrupted):
        predict_scene(scene, model, tmp_path / "out", engine=StopsAfter(1), **settings)
    (after,) = (p.name for p in (tmp_path / "out/.rsmeta-scene").iterdir() if p.is_dir())
    assert after != before
    done = predict_scene(scene, model, tmp_path / "out", **settings)
    assert raster_bytes(done) == raster_bytes(
        predict_scene(scene, model, tmp_path / "whole", **settings)
    )


def test_finished_scenes_are_skipped(scene, tmp_path, caplog):
    done = predict_scene(scene, Mixing(), tmp_path / "out")
    caplog.set_level(logging.INFO)
    model = Mixing()
    again = predict_scene(scene, model, tmp_path / "out", batch_size=5)
    assert model.tiles == 0
    assert again == replace(done, seconds=0.0)
    with Journal(tmp_path / "out", "scene", "key"):
        predict_scene(scene, model, tmp_path / "out")
        assert list((tmp_path / "out").glob(".*"))  # in use
    (tmp_path / "out" / ".rsmeta-scene" / "key").mkdir(parents=True)
    predict_scene(scene, model, tmp_path / "out")
    assert model.tiles == 0
    assert not list((tmp_path / "out").glob(".*"))
    assert "is finished; skipped" in caplog.text
    done.polygons.unlink()
    assert predict_scene(scene, model, tmp_path / "out").tiles == model.tiles > 0
    changed = Mixing()
    predict_scene(scene, changed, tmp_path / "out", resolution="cell")
    assert changed.tiles > 0


def test_an_error_of_the_scene_leaves_nothing_to_go_on_from(scene, tmp_path):
    with pytest.raises(SceneError):
        predict_scene(scene, Mixing(), tmp_path / "out", engine=StopsAfter(3, SceneError))
    assert names(tmp_path / "out") == []


def test_two_predictions_of_one_scene_do_not_meet(scene, tmp_path):
    with (
        Journal(tmp_path / "out", "scene", "key"),
        pytest.raises(SceneError, match=r"in use: another process predicts this scene"),
    ):
        predict_scene(scene, Mixing(), tmp_path / "out")
    assert names(tmp_path / "out") == []


def test_a_damaged_journal_is_named(scene, tmp_path):
    stopped(scene, tmp_path / "out")
    for file in (tmp_path / "out").rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(SceneError, match=r"is damaged; delete '.*\.rsmeta-scene'"):
        predict_scene(scene, Mixing(), tmp_path / "out")


@pytest.mark.parametrize(
    "other",
    [
        {"products": ProductOptions(minimum_confidence=0.9)},
        {"products": ProductOptions(confidence="byte")},
        {"products": ProductOptions(DEFAULT_PRODUCTS | {Product.PARQUET})},
        {"description": ModelDescription("other", "vit", "lora", "0" * 64, 1.0)},
    ],
)
def test_other_products_are_not_taken_for_those_asked_for(scene, tmp_path, other):
    predict_scene(scene, Mixing(), tmp_path / "out")
    again = Mixing()
    done = predict_scene(scene, again, tmp_path / "out", **other)
    assert again.tiles > 0
    assert all(path.is_file() for path in done.files.values())
    third = Mixing()
    assert predict_scene(scene, third, tmp_path / "out", **other).files == done.files
    assert third.tiles == 0
