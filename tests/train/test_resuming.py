"""A run that was interrupted ends as the one that was not."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from rsmeta.drafts import final_path, unfinished_run
from rsmeta.errors import RunError, TrainingError
from rsmeta.finetuning import finetune, resume
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.models.classifier import ChipClassifier
from rsmeta.recipe import Recipe
from rsmeta.train.module import FinetuningModule

FILES = ["model.safetensors", "metrics.json", "per_class.csv", "confusion.csv", "history.csv"]
FILES += ["modulators.csv", "recipe.yaml", "plan.csv", "bands.csv"]


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("rsmeta.finetuning.write_report", lambda folder: None)
    monkeypatch.setattr(os, "fsync", lambda file: None)


def small(tmp_path, **sections):
    """Two epochs of about five steps; outer steps do not fall on the ends of epochs."""
    values = {
        "name": "tiny",
        "runs": tmp_path / "runs",
        "data": {"source": "simulator", "largest_class": 4, "imbalance": 2, "test_per_class": 1},
        "inner": {"epochs": 2, "batch_size": 6},
        "outer": {"every": 2, "batch_size": 11, "learning_rate": 0.1},
        "peft": {"method": "lora", "rank": 2, "blocks": "last:2"},
        "compute": {"checkpoint_every": 1},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    return Recipe.model_validate(values)


def interrupted(recipe, patch, target, name, number):
    """A run that dies in the given call, counted from 1, of a function; its hidden folder."""
    original, calls = getattr(target, name), []

    def call(*arguments, **keywords):
        calls.append(None)
        if len(calls) == number:
            raise KilledError
        return original(*arguments, **keywords)

    with patch.context() as during:
        during.setattr(target, name, call)
        with pytest.raises(KilledError):
            finetune(recipe)
    (draft,) = Path(recipe.runs).glob(".*.partial")
    return draft


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Finished runs by the settings that differ from the default ones, each made once."""
    folder, made = tmp_path_factory.mktemp("undisturbed"), {}

    def run(**sections):
        key = repr(sections)
        if key not in made:
            made[key] = finetune(small(folder, **sections)).folder
        return made[key]

    return run


def compare(run, other):
    """All files are the same, but for the folder of runs in the recipe."""
    for name in FILES:
        if name != "recipe.yaml":
            assert (run / name).read_bytes() == (other / name).read_bytes(), name
    recipes = [yaml.safe_load((path / "recipe.yaml").read_text()) for path in (run, other)]
    assert len({str(recipe | {"runs": None}) for recipe in recipes}) == 1


# --- the same end ---------------------------------------------------------------------------------

STEPS = [(FinetuningModule, "training_step", number) for number in (1, 2, 3, 5, 6, 7, 9)]
STAGES = [
    (OuterStep, "__call__", 1),
    (OuterStep, "__call__", 3),
    (torch.optim.Adam, "step", 2),
    (FinetuningModule, "on_train_epoch_end", 1),
    (FinetuningModule, "on_train_epoch_end", 2),
    (FinetuningModule, "test_step", 1),
]


@pytest.mark.parametrize(("target", "name", "number"), [*STEPS, *STAGES])
def test_a_run_killed_anywhere_ends_as_the_one_that_was_not(
    tmp_path, monkeypatch, undisturbed, target, name, number
):
    draft = interrupted(small(tmp_path), monkeypatch, target, name, number)
    finished = resume(final_path(draft)).folder
    assert finished == final_path(draft)
    compare(finished, undisturbed())
    assert sorted(path.name for path in finished.parent.iterdir()) == ["latest", finished.name]
    assert not (finished / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    "sections",
    [
        {"compute": {"checkpoint_every": None}},
        {"inner": {"optimiser": {"name": "adamw"}}, "outer": {"engine": "finite_difference"}},
        {"outer": {"engine": "unrolled", "every": 3}, "augmentation": {"radiometry": "sar"}},
        {"peft": {"pruning": {"every": 1, "keep": 0.5}}},
        {"peft": {"method": "lora", "modulators": "fixed"}, "inner": {"sampling": "square_root"}},
        {"outer": {"final_epochs": 1, "every": 4}},
        {"compute": {"cache_features": True, "checkpoint_every": 2}},
        {"head": {"initialisation": "linear_probe"}},
    ],
    ids=lambda sections: str(sections),
)
@pytest.mark.parametrize("number", [4, 8])
def test_every_kind_of_run_goes_on_exactly(tmp_path, monkeypatch, undisturbed, sections, number):
    recipe = small(tmp_path, **sections)
    draft = interrupted(recipe, monkeypatch, FinetuningModule, "training_step", number)
    compare(resume(draft).folder, undisturbed(**sections))


def test_random_numbers_go_on_where_they_were(tmp_path, monkeypatch):
    """A model that draws random numbers while training, as one with dropout does."""
    forward = ChipClassifier.forward

    def noisy(self, inputs, from_tokens=False):
        logits = forward(self, inputs, from_tokens)
        return torch.nn.functional.dropout(logits, 0.2) if self.training else logits

    monkeypatch.setattr(ChipClassifier, "forward", noisy)
    whole = finetune(small(tmp_path / "whole")).folder
    recipe = small(tmp_path)
    draft = interrupted(recipe, monkeypatch, FinetuningModule, "training_step", 7)
    compare(resume(draft).folder, whole)


def test_a_run_interrupted_twice_and_while_writing_goes_on(tmp_path, monkeypatch, undisturbed):
    recipe = small(tmp_path)
    draft = interrupted(recipe, monkeypatch, os, "fsync", 3)

    def killed(*arguments):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KilledError):
            resume(draft)
    (draft / ".checkpoint.safetensors").write_bytes(b"torn")
    compare(resume(draft).folder, undisturbed())
