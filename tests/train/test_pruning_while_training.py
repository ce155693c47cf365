import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from rsmeta.errors import RecipeError
from rsmeta.finetuning import finetune
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.models.contribution import contributions
from rsmeta.models.pruned import keep_sites
from rsmeta.peft.sites import Site
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.runs import load_run
from rsmeta.train.module import FinetuningModule

FILES = ["model.safetensors", "metrics.json", "per_class.csv", "modulators.csv", "history.csv"]


pytestmark = pytest.mark.usefixtures("without_report")


def pruning_recipe(tiny_recipe, epochs=4, every=1, keep=0.25, outer=None, optimiser="sgd", **peft):
    return tiny_recipe(
        peft={"pruning": {"every": every, "keep": keep}, "rank": 2} | peft,
        inner={"epochs": epochs, "batch_size": 8, "optimiser": {"name": optimiser}},
        outer={"every": 2, "batch_size": 11, "learning_rate": 0.1} | (outer or {}),
    )


def history_of(run):
    return pd.read_csv(run / "history.csv")


@pytest.mark.parametrize(
    ("epochs", "every", "keep", "sites"),
    [
        (4, 1, 0.125, [24, 12, 6, 6]),  # none after the last epoch
        (5, 2, 0.25, [48, 24, 24, 12, 12]),
        (2, 1, 1e-6, [1, 1]),
    ],
)
def test_the_written_run_holds_what_the_last_event_left(tiny_recipe, epochs, every, keep, sites):
    run = finetune(pruning_recipe(tiny_recipe, epochs, every, keep)).folder
    history, table = history_of(run), pd.read_csv(run / "modulators.csv")
    assert history["sites"].tolist() == sites
    model = load_run(run)
    assert len(model.card.sites) == len(table) == sites[-1]
    assert model.logits(torch.zeros(1, 2, 64, 64)).isfinite().all()
    course = pd.read_csv(run / "gamma_history.csv")
    assert course.groupby("epoch").size().tolist() == sites
    last = history.iloc[-1]
    assert last["gamma_mean"] == pytest.approx(table["gamma"].mean())
    assert last["gamma_min"] == pytest.approx(table["gamma"].min())
    assert (table["gamma"] > 0).all() and (table["contribution"] > 0).all()
    rank, width = 2, {"fc1": 5, "fc2": 5}
    weights = sum(rank * 192 * width.get(position, 2) for position in table["position"])
    facts = json.loads((run / "metrics.json").read_text())
    assert facts["trainable_parameters"] == weights + 11 * 192 + len(table)


@pytest.mark.parametrize(
    ("method", "modulators"),
    [("lora", "learned"), ("adapter", "learned"), ("adaptformer", "fixed")],
)
def test_two_runs_give_identical_bytes(tiny_recipe, method, modulators):
    recipe = pruning_recipe(tiny_recipe, epochs=2, keep=0.5, method=method, modulators=modulators)
    first, second = finetune(recipe).folder, finetune(recipe).folder
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    total = {"lora": 48, "adapter": 16, "adaptformer": 8}[method]
    assert history_of(first)["sites"].tolist() == [total / 2, total / 2]


def test_the_weakest_sites_are_the_ones_that_go(tiny_recipe, monkeypatch):
    """Sites whose updates are held at zero go first, and training goes on without them."""
    silent = {Site.named(0, "q"), Site.named(0, "v"), Site.named(4, "k"), Site.named(7, "fc1")}
    prune, seen = FinetuningModule.prune, []

    def silence_then_prune(module, count):
        for layer in module.classifier.backbone.modules():
            held = [site for site in getattr(layer, "sites", ()) if site is not None]
            for number, site in enumerate(held):
                if site in silent:
                    layer.up.data[number] = 0
        prune(module, count)
        seen.append(module.classifier.modulators.left)

    monkeypatch.setattr(FinetuningModule, "prune", silence_then_prune)
    run = finetune(pruning_recipe(tiny_recipe, epochs=2, keep=44 / 48)).folder
    (left,) = seen
    assert load_run(run).card.sites == left
    assert len(left) == 44 and not silent & set(left)


def test_what_is_tested_and_stored_is_what_was_trained(tiny_recipe, monkeypatch):
    whole = []

    def keep_and_compare(recipe, bands, statistics, classifier, kept):
        built = keep_sites(recipe, bands, statistics, classifier, kept)
        whole.append((classifier.eval(), built.classifier))
        return built

    monkeypatch.setattr("rsmeta.finetuning.keep_sites", keep_and_compare)
    run = finetune(pruning_recipe(tiny_recipe, epochs=3)).folder
    ((trained, pruned),) = whole
    images = torch.randn(4, 2, 32, 32, generator=torch.Generator().manual_seed(0)) * 5 - 15
    loaded = load_run(run)
    with torch.inference_mode():
        assert torch.equal(loaded.logits(images), pruned.eval()(images))
        assert (trained(images) - loaded.logits(images)).abs().max() < 1e-4
    assert contributions(loaded.classifier, []) == pytest.approx(contributions(trained, []))


@pytest.mark.parametrize(
    ("engine", "optimiser"),
    [("first_order", "sgd"), ("finite_difference", "adamw"), ("unrolled", "adamw")],
)
def test_every_engine_goes_on_after_an_event(tiny_recipe, engine, optimiser):
    outer = {"engine": engine, "every": 4}  # an epoch ends between two outer steps
    recipe = pruning_recipe(tiny_recipe, epochs=2, outer=outer, optimiser=optimiser)
    run = finetune(recipe).folder
    gamma = pd.read_csv(run / "modulators.csv")["gamma"]
    assert np.isfinite(gamma).all() and (gamma != 1).all()
    assert history_of(run)["outer_loss"].notna().all()
    assert history_of(run)["sites"].tolist() == [12, 12]


def test_no_outer_step_looks_back_beyond_an_event(tiny_recipe, monkeypatch):
    """Inner steps from before an event saw the dropped sites: they cannot be taken again."""
    lengths, events = [], []
    step, prune = OuterStep.__call__, FinetuningModule.prune

    def measure(self, problem, trajectory, batches):
        lengths.append(len(trajectory.steps))
        return step(self, problem, trajectory, batches)

    def remember(module, count):
        prune(module, count)
        events.append(module.global_step)

    monkeypatch.setattr(OuterStep, "__call__", measure)
    monkeypatch.setattr(FinetuningModule, "prune", remember)
    finetune(pruning_recipe(tiny_recipe, epochs=2, outer={"every": 3}))
    (event,) = events
    assert event % 3 != 0
    assert lengths[event // 3] == 3 - event % 3
    assert set(lengths[: event // 3] + lengths[event // 3 + 1 :]) == {3}


def test_without_pruning_all_sites_are_counted(tiny_recipe):
    short = {"epochs": 1, "batch_size": 8}
    lora = finetune(tiny_recipe(inner=short, peft={"rank": 2})).folder
    probe = finetune(tiny_recipe(inner=short, peft={"method": "linear_probe"})).folder
    assert history_of(lora)["sites"].tolist() == [48]
    assert history_of(probe)["sites"].tolist() == [0]


# --- the recipe -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pruning", "epochs", "message"),
    [
        ({"every": 2}, 2, "recipe: peft.pruning.every 2 leaves no pruning event before the end of"),
        ({"every": 12}, 12, "recipe: peft.pruning.every 12 leaves no pruning event"),
        ({"every": 0}, 4, "peft.pruning.every: 0"),
        ({"keep": 0}, 4, "peft.pruning.keep: 0"),
        ({"keep": 1.5}, 4, "peft.pruning.keep: 1.5"),
        ({"kept": 0.5}, 4, "peft.pruning.kept: unknown key; did you mean 'keep'?"),
    ],
)
def test_an_impossible_pruning_is_one_line(tmp_path, pruning, epochs, message):
    path = tmp_path / "recipe.yaml"
    values = {"name": "x", "data": {"source": "simulator"}, "peft": {"pruning": pruning}}
    path.write_text(yaml.safe_dump(values | {"inner": {"epochs": epochs}}))
    with pytest.raises(RecipeError) as caught:
        read_recipe(Recipe, path)
    (line,) = caught.value.problems
    assert line.startswith(message) and "\n" not in line


def test_pruning_is_off_unless_asked_for_and_can_be_set_by_an_override(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\ndata: {source: simulator}\n")
    assert read_recipe(Recipe, path).pruning is None
    assert read_recipe(Recipe, path, ["peft.method=bitfit"]).pruning is None
    pruning = read_recipe(Recipe, path, ["peft.pruning.keep=0.25"]).pruning
    assert (pruning.every, pruning.keep) == (2, 0.25)
    with pytest.raises(RecipeError, match=r"peft.pruning: unknown key"):
        read_recipe(Recipe, path, ["peft.method=bitfit", "peft.pruning.keep=0.25"])
