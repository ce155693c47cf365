"""torch.compile, where it pays."""

import json
import shutil

import numpy as np
import pytest

from rsmeta import compiling
from rsmeta.compiling import BatchSeconds, compile_if_faster
from rsmeta.errors import EngineError, SceneError
from rsmeta.prediction_options import PredictionOptions
from rsmeta.recipe import Adapter
from rsmeta.runs import TrainedModel, load_run


@pytest.fixture
def model(finished_run):
    return load_run(finished_run[1], merged=True)


@pytest.mark.parametrize(("compiled", "used"), [(0.9, True), (0.98, False), (1.1, False)])
def test_what_is_measured_decides_and_is_remembered(
    model, finished_run, tmp_path, monkeypatch, compiled, used
):
    measured = []

    def measure(model):
        measured.append(model)
        return BatchSeconds(1.0, compiled)

    monkeypatch.setattr(compiling, "_measure", measure)
    memory = tmp_path / "cache" / "compiled.json"
    fingerprint = model.fingerprint
    assert compile_if_faster(model, memory).pays == model.compiled == used
    assert (model.fingerprint != fingerprint) == used
    again = load_run(finished_run[1], merged=True)
    compile_if_faster(again, memory)
    assert again.compiled == used
    assert len(measured) == 1
    other = load_run(finished_run[1], merged=True, precision="bfloat16")
    compile_if_faster(other, memory)
    assert len(measured) == 2


def test_a_damaged_memory_is_measured_again(model, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "_measure", lambda model: BatchSeconds(1.0, 2.0))
    memory = tmp_path / "compiled.json"
    for content in ("{", "[]", '{"a": {"plain": 1}}', '{"a": {"plain": "1 s", "compiled": 1}}'):
        memory.write_text(content)
        compile_if_faster(model, memory)
        assert len(json.loads(memory.read_text())) == 1


def test_a_memory_that_cannot_be_written_is_one_line(model, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "_measure", lambda model: BatchSeconds(1.0, 2.0))
    (tmp_path / "cache").touch()
    with pytest.raises(EngineError, match=r"cannot be written: .*; set XDG_CACHE_HOME"):
        compile_if_faster(model, tmp_path / "cache" / "compiled.json")


def test_each_method_is_measured_by_itself(model, tmp_path, monkeypatch):
    """An adapter cannot be merged: its code is other than that of LoRA."""
    monkeypatch.setattr(compiling, "_measure", lambda model: BatchSeconds(1.0, 2.0))
    memory = tmp_path / "compiled.json"
    compile_if_faster(model, memory)
    other = model.recipe.model_copy(update={"peft": Adapter()})
    compile_if_faster(TrainedModel(model.classifier, model.card, other), memory)
    assert len(json.loads(memory.read_text())) == 2


def test_compiled_models_stay_in_their_process():
    with pytest.raises(SceneError, match="leave out --compile with Ray"):
        PredictionOptions(engine="ray", compile=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler for torch.compile")
def test_a_compiled_model_gives_the_same_probabilities(model):
    side = model.tile_size
    tiles = np.random.default_rng(0).normal(-12, 5, (9, len(model.bands), side, side))
    tiles = tiles.astype(np.float32)
    expected = model.probabilities(tiles)
    model.compile()
    for part in (tiles, tiles[:4]):
        np.testing.assert_allclose(model.probabilities(part), expected[: len(part)], atol=1e-5)
