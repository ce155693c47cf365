"""Modulators that start at a share of what the first steps bear."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import small

from rsmeta.errors import TrainingError
from rsmeta.finetuning import finetune
from rsmeta.train.module import FinetuningModule

RECIPE = Path(__file__).parents[2] / "recipes" / "sar_cross_spectral.yaml"
METHODS = [
    {"method": "lora", "rank": 2},
    {"method": "adapter", "rank": 2},
    {"method": "adaptformer", "rank": 2},
]


class StartedError(Exception):
    """A training is about to take its first step."""


@pytest.fixture
def start(tmp_path, monkeypatch, without_report):
    """The modulators of a recipe when its first step begins, and the chips passed until then."""

    def training_step(module, batch, batch_index):
        gamma = module.classifier.modulators.gamma().detach().double().numpy()
        raise StartedError(gamma, module.passes)

    monkeypatch.setattr(FinetuningModule, "training_step", training_step)

    def started(peft, **sections):
        with pytest.raises(StartedError) as found:
            finetune(stable(tmp_path, peft, **sections))
        return found.value.args

    return started


def stable(tmp_path, peft, **sections):
    fixed = {"modulators": "fixed", "blocks": "last:2", "stability": 0.4}
    inner = {"epochs": 1} | sections.pop("inner", {})
    compute = {"cache_features": True} | sections.pop("compute", {})
    return small(tmp_path, peft=fixed | peft, inner=inner, compute=compute, **sections)


@pytest.mark.parametrize("peft", METHODS, ids=lambda peft: peft["method"])
def test_the_scale_follows_the_theory(start, peft):
    """Twice the share at four times the learning rate is the same; momentum as in its formula."""
    gamma, passes = start(peft)
    assert np.ptp(gamma) < 1e-6 * gamma[0] and passes > 0
    other, _ = start(peft | {"stability": 0.8}, inner={"learning_rate": 0.04})
    np.testing.assert_allclose(other, gamma, rtol=1e-4)
    other, _ = start(peft, inner={"optimiser": {"name": "sgd", "momentum": 0.0}})
    np.testing.assert_allclose(other, 1.9**-0.5 * gamma, rtol=1e-4)


def test_what_else_scales_the_updates_does_not_matter(start):
    """An update that is four times as large by alpha starts with a gamma a quarter as large."""
    gamma, _ = start(METHODS[0] | {"alpha": 2.0})
    other, _ = start(METHODS[0] | {"alpha": 8.0})
    np.testing.assert_allclose(other, gamma / 4, rtol=1e-3)


@pytest.mark.parametrize("share", [0.5, 2])
def test_the_scale_has_a_bound(start, caplog, share):
    gamma, _ = start(METHODS[0])
    caplog.clear()
    with caplog.at_level(logging.INFO):
        bounded, _ = start(METHODS[0] | {"largest_scale": share * float(gamma[0])})
    np.testing.assert_allclose(bounded, min(share, 1) * gamma, rtol=1e-5)
    (told,) = [r for r in caplog.records if r.name == "rsmeta.train.stable_start"]
    assert told.args[0] == pytest.approx(bounded[0], rel=1e-5)


def test_a_pattern_stays(tmp_path, start):
    names = [(block, name) for block in (6, 7) for name in ("attn", "mlp")]
    table = pd.DataFrame(names, columns=["block", "position"])
    table["gamma"] = [0.5, 1.0, 2.0, 4.0]
    table.to_csv(tmp_path / "modulators.csv", index=False)
    gamma, _ = start(METHODS[1] | {"gamma_from": {"file": str(tmp_path / "modulators.csv")}})
    np.testing.assert_allclose(gamma / gamma[0], [1, 2, 4, 8], rtol=1e-5)


def test_chips_and_tokens_give_the_same_scale(start):
    cached, _ = start(METHODS[0])
    gamma, _ = start(METHODS[0], compute={"cache_features": False})
    np.testing.assert_allclose(cached, gamma, rtol=1e-3)


def test_the_scale_is_told(start, caplog):
    with caplog.at_level(logging.INFO):
        gamma, _ = start(METHODS[0])
    told = [r.getMessage() for r in caplog.records if r.name == "rsmeta.train.stable_start"]
    assert len(told) == 1 and f"{gamma[0]:g}"[:5] in told[0]


@pytest.mark.parametrize("restart", [False, True])
def test_the_outer_loop_goes_on_from_there(tmp_path, without_report, caplog, restart):
    outer = {"final_epochs": 1, "restart": restart, "learning_rate": 0.1}
    peft = METHODS[0] | {"modulators": "learned"}
    with caplog.at_level(logging.INFO):
        done = finetune(stable(tmp_path, peft, outer=outer, inner={"epochs": 2}))
    (told,) = [r for r in caplog.records if r.name == "rsmeta.train.stable_start"]
    learned = pd.read_csv(done.folder / "modulators.csv")["gamma"].to_numpy()
    assert np.ptp(learned) > 1e-3
    np.testing.assert_allclose(learned, told.args[0], rtol=0.5)


def test_a_loss_that_does_not_depend_on_the_adapters_is_told(tmp_path, monkeypatch, without_report):
    monkeypatch.setattr("rsmeta.train.stable_start.largest_curvature", lambda loss: 0.0)
    with pytest.raises(
        TrainingError, match=r"peft\.stability: .* is 0, .* set peft\.gamma instead"
    ):
        finetune(stable(tmp_path, METHODS[0]))


BAD = {
    "inner.optimiser.name=adamw": "inner.optimiser sgd alone",
    "peft.gamma=2": "gamma 2 and stability",
    "outer.scale_search={factors: [1, 2]}": "peft.stability and outer.scale_search",
    "peft.stability=0": "greater than 0",
    "peft={largest_scale: 1}": "largest_scale has no effect without stability",
}


@pytest.mark.parametrize("bad", BAD)
def test_contradictions_are_one_line(rsmeta_command, tmp_path, bad):
    sets = ["peft.stability=0.4", "outer.resample=never", "inner.epochs=9", bad]
    arguments = [word for value in sets for word in ("--set", value)]
    done = rsmeta_command("finetune", RECIPE, *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert BAD[bad] in done.stderr and len(done.stderr.strip().splitlines()) == 1
