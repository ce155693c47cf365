"""Scenes classified by the actors of a Ray cluster that is started here."""

import csv
import os
import pickle
import signal
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tile_classifiers import Dying, Mixing, Slow, Telling, Undecided, of_a_run
from tiny_classifiers import tiny_classifier
from tiny_vits import images

from rsmeta import prediction, workers
from rsmeta.errors import EngineError, SceneError
from rsmeta.prediction import predict
from rsmeta.prediction_options import PredictionOptions
from rsmeta.recipe import Lora
from rsmeta.scenes import RayCluster, RayWorkers, predict_scene, ray_engine
from rsmeta.scenes.whole_scenes import whole_count

SECONDS = 240  # on a machine that does much else


@pytest.fixture(scope="module")
def cluster():
    """A cluster that knows the modules of the tests, for two pools of two workers at a time."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'rsmeta[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        ray.init(
            "local", num_cpus=4, include_dashboard=False, object_store_memory=80_000_000,
            log_to_driver=False, logging_level="ERROR",
        )  # fmt: skip
        yield RayCluster()
        ray.shutdown()


@pytest.fixture(scope="module")
def engine(cluster):
    with RayWorkers(Mixing, 2, cluster) as workers:
        yield workers


@pytest.fixture
def scene(write_scene, noise):
    values = noise(300, 700)
    values[:, 100:200, 50:300] = np.nan
    return write_scene(values)


def raster_bytes(done):
    return done.classes.read_bytes(), done.confidence.read_bytes()


def same(done, expected):
    return raster_bytes(done) == raster_bytes(expected) and (done.pixels, done.tiles) == (
        expected.pixels,
        expected.tiles,
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"stride": 12, "resolution": "cell"}])
def test_the_products_are_those_of_one_process(engine, scene, tmp_path, options):
    one = predict_scene(scene, Mixing(), tmp_path / "one", **options)
    idle = Mixing()
    assert same(predict_scene(scene, idle, tmp_path / "out", engine=engine, **options), one)
    assert idle.tiles == 0


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing(cluster, scene, tmp_path):
    whole = predict_scene(scene, Mixing(), tmp_path / "whole")
    out, told = tmp_path / "out", tmp_path / "told"
    told.mkdir()
    done = []

    def work():
        with RayWorkers(partial(Telling, told), 2, cluster) as engine:
            done.append(predict_scene(scene, Slow(), out, engine=engine))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    end = time.monotonic() + SECONDS
    while len(list(out.glob("*/*/*.npz"))) < 3 or len(list(told.iterdir())) < 2:
        assert time.monotonic() < end
        time.sleep(0.001)
    assert not done
    os.kill(int(min(told.iterdir()).name), signal.SIGKILL)
    thread.join(end - time.monotonic())
    assert same(done[0], whole)
    assert len(list(told.iterdir())) == 3


class Interrupted(BaseException):
    pass


class Stopping:
    """An engine that is stopped, as by Ctrl-C, after three units."""

    def __init__(self, engine, error):
        self.engine, self.error = engine, error

    def run(self, work, units):
        for count, result in enumerate(self.engine.run(work, units)):
            if count == 3:
                raise self.error("stopped")
            yield result


@pytest.mark.slow
@pytest.mark.parametrize("error", [Interrupted, EngineError])
def test_a_prediction_goes_on_from_its_journal(engine, scene, tmp_path, error):
    whole = predict_scene(scene, Mixing(), tmp_path / "whole")
    asked = []

    class Counting:
        def run(self, work, units):
            asked.append((len(work.units), len(units)))
            return engine.run(work, units)

    with pytest.raises(error):
        predict_scene(scene, Mixing(), tmp_path / "out", engine=Stopping(engine, error))
    done = predict_scene(scene, Mixing(), tmp_path / "out", engine=Counting())
    assert same(done, whole)
    ((every, missing),) = asked
    assert missing == every - 3


@pytest.mark.slow
def test_errors_are_one_line(cluster, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "_RETRIES", 1)
    with (
        RayWorkers(Undecided, 1, cluster) as engine,
        pytest.raises(SceneError, match=r"^the model returned .*finite: False") as caught,
    ):
        predict_scene(scene, Mixing(), tmp_path / "out", engine=engine)
    assert not isinstance(caught.value, EngineError)
    for loader in (Dying, partial(Telling, tmp_path / "missing")):
        with (
            RayWorkers(loader, 1, cluster) as engine,
            pytest.raises(EngineError, match=r"^Ray workers died or could not start.*continues"),
        ):
            predict_scene(scene, Mixing(), tmp_path / "out", engine=engine)
    with pytest.raises(EngineError, match="ended"):
        predict_scene(scene, Mixing(), tmp_path / "out", engine=engine)


@pytest.mark.slow
def test_scenes_are_done_whole_and_what_is_left_is_divided(
    cluster, write_scene, noise, tmp_path, monkeypatch
):
    (tmp_path / "in").mkdir()
    for name in "acde":
        write_scene(noise(60, 70), f"in/{name}.tif")
    (tmp_path / "in" / "b.tif").write_bytes(b"")
    model = of_a_run(Mixing())
    monkeypatch.setattr(prediction, "load_run", lambda run, **options: model)
    monkeypatch.setattr(workers, "_ModelCopy", lambda model, threads, on_gpu: Mixing)
    # Relative paths are those of this folder for the workers, too.
    monkeypatch.chdir(tmp_path)
    options = PredictionOptions(workers=2, engine="ray", on_error="skip")
    done = []
    with pytest.raises(SceneError, match="1 of 5 scenes"):
        done.extend(predict(["in"], Path("run"), Path("out"), options))
    assert [entry.classes.name[0] for entry in done] == ["a", "c", "d", "e"]
    assert model.tiles == 0
    with Path("out/failed.csv").open(encoding="utf-8", newline="") as file:
        assert [row["scene"] for row in csv.DictReader(file)] == ["in/b.tif"]
    for entry in (done[0], done[-1]):
        alone = predict_scene(
            f"in/{entry.classes.name[0]}.tif", Mixing(), tmp_path / "alone", resolution="cell"
        )
        assert entry.confidence.read_bytes() == alone.confidence.read_bytes()
        assert (entry.pixels, entry.tiles) == (alone.pixels, alone.tiles)


@pytest.mark.parametrize(
    ("scenes", "workers", "whole"), [(1, 2, 0), (2, 2, 2), (5, 2, 4), (9, 4, 8), (3, 1, 3)]
)
def test_scenes_that_are_done_whole_keep_all_workers_busy(scenes, workers, whole):
    assert whole_count(scenes, workers) == whole


def test_a_model_that_was_sent_gives_the_same_bits():
    classifier = tiny_classifier(Lora())
    model = workers._ModelCopy(SimpleNamespace(classifier=classifier), threads=1, on_gpu=False)
    loaded = pickle.loads(pickle.dumps(model))()
    assert loaded.classifier is not classifier
    assert torch.equal(loaded.classifier(images()), classifier(images()))


def test_without_ray_one_line_tells_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SceneError, match=r"pip install 'rsmeta\[ray\]'"):
        RayWorkers(Mixing, 1)


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    def init(address, **settings):
        raise ConnectionError("could not\nfind any running cluster")

    fake = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setitem(sys.modules, "ray", fake)
    with pytest.raises(SceneError, match=r"'auto': find any running cluster; start one"):
        RayWorkers(Mixing, 1, RayCluster("auto"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SceneError, match=rf"'127\.0\.0\.1:{port}': .*refused; start one"):
        RayWorkers(Mixing, 1, RayCluster(f"127.0.0.1:{port}"))


@pytest.mark.parametrize("share", [{"cpus": 0}, {"gpus": -0.5}])
def test_a_worker_takes_something(share):
    with pytest.raises(SceneError, match="a worker are not allowed"):
        RayCluster(**share)
    with pytest.raises(SceneError, match="0 workers"):
        RayWorkers(Mixing, 0)
