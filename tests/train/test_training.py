"""What training does beyond single steps: the start of the head, the cache, and no leaks."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from small_runs import FEW_CHIPS

from rsmeta.data.datamodule import ChipDataModule
from rsmeta.data.sources import load_data
from rsmeta.data.statistics import band_statistics
from rsmeta.errors import RecipeError
from rsmeta.finetuning import finetune, train
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.train.module import FinetuningModule


def trained(run):
    return load_file(run / "model.safetensors")


# --- no leaks between the loops -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "optimiser"),
    [("first_order", "sgd"), ("finite_difference", "adamw"), ("unrolled", "sgd")],
)
def test_outer_steps_that_move_nothing_leave_the_inner_loop_bit_for_bit(
    tiny_recipe, engine, optimiser
):
    """Head, adapters, momentum, random numbers and data order are what they would have been."""
    inner = {"epochs": 2, "batch_size": 8, "optimiser": {"name": optimiser}}
    states = []
    for every in (1, 10_000):
        outer = {"learning_rate": 0, "every": every, "batch_size": 11, "engine": engine}
        run = finetune(tiny_recipe(data=FEW_CHIPS, inner=inner, outer=outer)).folder
        states.append(trained(run))
        history = pd.read_csv(run / "history.csv")
        assert history["outer_loss"].notna().all() == (every == 1)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("engine", ["first_order", "finite_difference", "unrolled"])
def test_an_outer_step_changes_the_modulators_and_nothing_else(tiny_recipe, engine, monkeypatch):
    seen = []
    take = FinetuningModule._outer_step

    def everything(module):
        optimiser = module._inner_optimiser.optimizer.state_dict()["state"]
        tensors = dict(module.classifier.state_dict())
        rho = tensors.pop("modulators.rho").clone()
        tensors |= {f"{k} {n}": v for k, s in optimiser.items() for n, v in s.items()}
        tensors = {k: v.clone() for k, v in tensors.items() if isinstance(v, torch.Tensor)}
        randoms = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
        return tensors, rho, randoms, module._schedule.get_last_lr()

    def watched(module, step):
        before = everything(module)
        take(module, step)
        seen.append((before, everything(module)))

    monkeypatch.setattr(FinetuningModule, "_outer_step", watched)
    finetune(tiny_recipe(outer={"every": 3, "batch_size": 11, "engine": engine}))
    assert len(seen) >= 2
    for (tensors, rho, randoms, rate), (tensors_after, rho_after, randoms_after, after) in seen:
        assert any("momentum_buffer" in name for name in tensors)
        assert all(torch.equal(tensors[name], tensors_after[name]) for name in tensors)
        assert not torch.equal(rho, rho_after)
        assert torch.equal(randoms[0], randoms_after[0])
        assert np.array_equal(randoms[1], randoms_after[1])
        assert rate == after


# --- the outer split ------------------------------------------------------------------------------


@pytest.mark.parametrize(("largest", "imbalance", "told"), [(8, 8, True), (8, 2, False)])
def test_classes_too_small_to_split_are_told_once(tiny_recipe, caplog, largest, imbalance, told):
    data = {"source": "simulator", "largest_class": largest, "imbalance": imbalance}
    finetune(tiny_recipe(data=data | {"test_per_class": 1}))
    lines = [r.getMessage() for r in caplog.records if r.name == "rsmeta.finetuning"]
    assert len(lines) == told
    assert (
        all("fewer than 3 training chips in 'storage tank', 'harbour'" in line for line in lines)
        or not told
    )


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_model_that_gives_all_chips_one_class_is_told(
    tiny_recipe, monkeypatch, caplog, collapsed
):
    def train_to(recipe, data, statistics, built, *others):
        history = train(recipe, data, statistics, built, *others)
        built.classifier.head.weight.data *= not collapsed  # without weights all logits are equal
        return history

    monkeypatch.setattr("rsmeta.finetuning.train", train_to)
    run = finetune(tiny_recipe())
    given = pd.read_csv(run.folder / "predictions.csv")["predicted class"].unique()
    told = [r.getMessage() for r in caplog.records if r.name == "rsmeta.run_results"]
    assert (len(given) == 1) == collapsed == len(told)
    assert not collapsed or f"all test chips are classified as '{given[0]}'" in told[0]


# --- the start of the head ------------------------------------------------------------------------


def test_the_head_starts_as_the_recipe_says(tiny_recipe):
    """With almost no learning what is saved is the start; a linear probe has the lowest loss."""
    losses = {}
    for start in ("class_mean", "linear_probe", "random"):
        run = finetune(
            tiny_recipe(
                head={"initialisation": start},
                peft={"method": "linear_probe"},
                inner={"epochs": 1, "batch_size": 8, "learning_rate": 1e-9},
            )
        ).folder
        losses[start] = pd.read_csv(run / "history.csv")["loss"].iloc[-1]
    assert losses["linear_probe"] < 0.5 * losses["class_mean"]
    assert losses["class_mean"] < 0.9 * losses["random"]


# --- the feature cache ----------------------------------------------------------------------------

PREFIXED = [
    {"method": "lora", "blocks": "last:2", "rank": 2},
    {"method": "adaptformer", "blocks": [6]},
    {"method": "linear_probe"},
    {"method": "bitfit", "blocks": "last:1"},
]


@pytest.mark.parametrize(
    ("peft", "precision"),
    [
        *((peft, "float32") for peft in PREFIXED),
        ({"method": "lora", "blocks": "last:1", "rank": 2}, "bfloat16"),
    ],
)
def test_a_run_on_cached_features_is_the_run_without(tiny_recipe, peft, precision):
    runs = [
        finetune(
            tiny_recipe(
                data=FEW_CHIPS,
                peft=peft,
                compute={"cache_features": cached, "precision": precision},
            )
        ).folder
        for cached in (False, True)
    ]
    without, cached = (trained(run) for run in runs)
    tolerance = 1e-4 if precision == "float32" else 3e-2
    for name, tensor in without.items():
        torch.testing.assert_close(cached[name], tensor, rtol=tolerance, atol=tolerance)


def test_the_frozen_blocks_run_once_a_chip(tiny_recipe, monkeypatch):
    """Two epochs with outer steps; chips to calibrate and to test on come on top, as images."""
    from rsmeta.models.classifier import ChipClassifier

    chips = []
    tokens_of = ChipClassifier.frozen_tokens

    def counted(classifier, images):
        chips.append(len(images))
        return tokens_of(classifier, images)

    whole = []
    features = ChipClassifier.features

    def watched(classifier, images):
        whole.append(len(images))
        return features(classifier, images)

    monkeypatch.setattr(ChipClassifier, "frozen_tokens", counted)
    monkeypatch.setattr(ChipClassifier, "features", watched)
    recipe = tiny_recipe(peft={"blocks": "last:1"}, compute={"cache_features": True})
    run = finetune(recipe).folder
    per_class = pd.read_csv(run / "per_class.csv")
    assert sum(chips) == per_class["train_chips"].sum()
    calibrated = json.loads((run / "metrics.json").read_text())["temperature_chips"]
    assert sum(whole) == per_class["test_chips"].sum() + calibrated


def test_a_cache_of_nothing_is_one_line_and_leaves_nothing(tiny_recipe, tmp_path):
    with pytest.raises(RecipeError, match="the first block is trained"):
        finetune(tiny_recipe(compute={"cache_features": True}, peft={"blocks": "all"}))
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    "augmentation", [{"geometry": "d4"}, {"crop_scale": [0.5, 1]}, {"radiometry": "sar"}]
)
def test_augmentation_and_a_cache_exclude_each_other(tiny_recipe, augmentation):
    [name] = augmentation
    fault = f"augmentation changes chips in every epoch; take out augmentation.{name}"
    with pytest.raises(ValidationError, match=fault):
        tiny_recipe(compute={"cache_features": True}, augmentation=augmentation)


# --- radiometry -----------------------------------------------------------------------------------


def test_both_loops_see_the_radiometry_changed(tiny_recipe, monkeypatch):
    class EnoughError(Exception):
        pass

    inner, outer = [], []
    step = FinetuningModule.training_step

    def watched(module, batch, index):
        inner.append(batch)
        step(module, batch, index)

    def stop(outer_step, problem, trajectory, batches):
        outer.extend(batches)
        raise EnoughError

    monkeypatch.setattr(FinetuningModule, "training_step", watched)
    monkeypatch.setattr(OuterStep, "__call__", stop)
    recipe = tiny_recipe(augmentation={"radiometry": "sar"}, outer={"every": 1, "batch_size": 11})
    with pytest.raises(EnoughError):
        finetune(recipe)
    data = load_data(recipe)
    module = ChipDataModule(recipe, data, band_statistics(data.train, data.bands))
    plain = next(iter(module.train_dataloader())), *module.outer_batches(0, 1)
    for seen, raw in zip([*inner, *outer], plain, strict=True):
        assert set(seen) == {"image", "label"}
        assert torch.equal(seen["image"], module.augmented(raw)["image"])
        assert not torch.equal(seen["image"], raw["image"])
        assert torch.equal(seen["label"], raw["label"])


# --- final epochs ---------------------------------------------------------------------------------


def test_final_epochs_train_on_all_chips_with_the_modulators_as_they_are(tiny_recipe, monkeypatch):
    used: dict[int, set[float]] = {}
    step = FinetuningModule.training_step

    def watched(module, batch, index):
        used.setdefault(module.current_epoch, set()).update(batch["image"].sum((1, 2, 3)).tolist())
        step(module, batch, index)

    monkeypatch.setattr(FinetuningModule, "training_step", watched)
    inner = {"epochs": 4, "batch_size": 4}
    outer = {"every": 1, "batch_size": 11, "learning_rate": 0.1, "final_epochs": 2}
    run = finetune(tiny_recipe(inner=inner, outer=outer)).folder
    history = pd.read_csv(run / "history.csv")
    assert history["gamma_max"].nunique() == 2
    assert history["gamma_max"][1] == history["gamma_max"][3] != history["gamma_max"][0]
    assert history["outer_loss"].notna().tolist() == [True, True, False, False]
    assert used[2] == used[3] > used[1]
    assert history["learning_rate"].iloc[-1] == pytest.approx(0, abs=1e-9)


def test_every_epoch_has_the_steps_of_its_own_length(tiny_recipe, monkeypatch):
    """Final epochs are longer, as they keep no chips for validation."""
    steps: dict[int, int] = {}
    step = FinetuningModule.training_step

    def counted(module, batch, index):
        steps[module.current_epoch] = steps.get(module.current_epoch, 0) + 1
        step(module, batch, index)

    monkeypatch.setattr(FinetuningModule, "training_step", counted)
    recipe = tiny_recipe(
        inner={"epochs": 3, "batch_size": 2},
        outer={"every": 4, "batch_size": 11, "final_epochs": 1},
        peft={"blocks": "last:1", "rank": 2},
    )
    run = finetune(recipe).folder
    chips = pd.read_csv(run / "per_class.csv")["train_chips"].sum()
    assert steps[2] == -(-chips // 2) > steps[0]
    assert pd.read_csv(run / "history.csv")["learning_rate"].iloc[-1] == pytest.approx(0, abs=1e-12)


def test_some_epoch_must_learn_the_modulators(tiny_recipe):
    with pytest.raises(ValidationError, match=r"outer\.final_epochs 2 leaves none of"):
        tiny_recipe(outer={"final_epochs": 2})
    tiny_recipe(outer={"final_epochs": 2}, peft={"method": "lora", "modulators": "fixed"})
