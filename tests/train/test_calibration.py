"""Temperatures: against a search over a grid, and from fine-tuning to prediction."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rsmeta.data.datamodule import ChipDataModule
from rsmeta.data.inspection import load_inspected
from rsmeta.finetuning import finetune
from rsmeta.model_card import ModelCard
from rsmeta.runs import load_run
from rsmeta.train.calibration import HIGHEST, LOWEST, fit_temperature


def drawn(temperature, chips=4000, classes=5):
    """Logits whose softmax at a temperature is the distribution of the labels."""
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(chips, classes)) * 3
    scaled = np.exp(logits / temperature)
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) < rng.random((chips, 1))).sum(axis=1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_fit_is_the_minimum_of_the_cross_entropy(temperature, balanced):
    logits, labels = drawn(temperature)
    keep = (labels != 0) | (np.arange(len(labels)) % 5 == 0)  # a rare class
    logits, labels = logits[keep], labels[keep]
    found = fit_temperature(logits, labels, balanced=balanced)
    weight = torch.from_numpy(1 / np.bincount(labels)) if balanced else None

    def loss(value):
        return float(F.cross_entropy(torch.from_numpy(logits) / value, torch.from_numpy(labels),
                                     weight=weight))  # fmt: skip

    grid = found * np.linspace(0.9, 1.1, 401)
    assert min(grid, key=loss) == pytest.approx(found, rel=1e-3)
    if not balanced:
        assert fit_temperature(*drawn(temperature), balanced=False) == pytest.approx(
            temperature, rel=0.06
        )


def test_chips_without_a_finite_optimum_end_at_the_limits():
    logits, labels = np.eye(4), np.arange(4)
    assert fit_temperature(logits, labels, balanced=True) == pytest.approx(LOWEST, rel=1e-3)
    assert fit_temperature(-logits, labels, balanced=True) == pytest.approx(HIGHEST, rel=1e-3)


def test_a_temperature_below_one_is_not_believed_of_chips_that_trained_before(finished_run):
    facts = json.loads((finished_run[1] / "metrics.json").read_text())
    assert facts["temperature"] == 1
    assert facts["temperature_chips"] >= 10
    assert facts["temperature_fitted_on"].endswith("below 1, but its chips trained before")


def test_a_run_stores_the_temperature_of_chips_that_never_trained(tiny_recipe):
    outer = {"every": 2, "batch_size": 11, "learning_rate": 0.1, "resample": "never"}
    run = finetune(tiny_recipe(outer=outer)).folder
    facts = json.loads((run / "metrics.json").read_text())
    model = load_run(run, merged=True)
    assert facts["temperature"] == model.card.temperature != 1
    inspected = load_inspected(model.recipe)
    datamodule = ChipDataModule(model.recipe, inspected.data, inspected.statistics)
    split = datamodule.splitter.split(model.recipe.inner.epochs - 1)
    held_out = datamodule.held_out()
    assert facts["temperature_chips"] == len(held_out) >= 10
    assert not set(held_out) & set(split.inner)
    assert facts["temperature_fitted_on"] == "the outer split of the last epoch"
    assert 0 <= facts["calibration_error"] <= 1
    assert facts["calibration_error"] != facts["calibration_error_before"]
    tiles = np.stack([inspected.data.test.read(i) for i in range(4)])
    expected = (model.logits(torch.from_numpy(tiles)) / facts["temperature"]).softmax(dim=-1)
    np.testing.assert_allclose(model.probabilities(tiles), expected, rtol=1e-6)


@pytest.mark.parametrize("sections", [
    {"peft": {"method": "linear_probe"}},
    {"outer": {"every": 2, "batch_size": 11, "final_epochs": 1}},
])  # fmt: skip
def test_without_held_out_chips_the_temperature_is_one(tiny_recipe, sections):
    run = finetune(tiny_recipe(**sections)).folder
    facts = json.loads((run / "metrics.json").read_text())
    assert facts["temperature"] == 1
    assert facts["temperature_chips"] == 0
    assert "all training chips trained in the last epoch" in facts["temperature_fitted_on"]
    assert facts["calibration_error"] == facts["calibration_error_before"]


def test_cards_of_older_versions_have_temperature_one(finished_run):
    card = load_run(finished_run[1]).card
    stored = json.loads(card.to_json())
    assert ModelCard.from_json(card.to_json()) == card
    del stored["temperature"]
    assert ModelCard.from_json(json.dumps(stored)).temperature == 1
