"""A run that was interrupted ends as the one that was not."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import compare, small
from typer.testing import CliRunner

from rsmeta import finetuning
from rsmeta.cli import app
from rsmeta.data.inspection import load_inspected
from rsmeta.drafts import final_path, unfinished_run
from rsmeta.errors import RunError
from rsmeta.finetuning import finetune, resume
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.models.classifier import ChipClassifier, build_classifier
from rsmeta.origin import origin_of
from rsmeta.train.module import FinetuningModule


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def quick(monkeypatch, without_report):
    monkeypatch.setattr(os, "fsync", lambda file: None)


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


# --- the same end ---------------------------------------------------------------------------------

POINTS = [
    (FinetuningModule, "training_step", 1),
    (FinetuningModule, "training_step", 4),  # between two outer steps
    (OuterStep, "__call__", 3),
    (FinetuningModule, "on_train_epoch_end", 2),
    (FinetuningModule, "test_step", 1),
]
MORE_POINTS = [
    *((FinetuningModule, "training_step", number) for number in (2, 3, 5, 6, 7, 8)),
    (OuterStep, "__call__", 1),
    (torch.optim.Adam, "step", 2),
    (FinetuningModule, "on_train_epoch_end", 1),
]


@pytest.mark.parametrize(
    ("target", "name", "number"),
    [*POINTS, *(pytest.param(*point, marks=pytest.mark.slow) for point in MORE_POINTS)],
)
def test_a_run_killed_anywhere_ends_as_the_one_that_was_not(
    tmp_path, monkeypatch, undisturbed, target, name, number
):
    draft = interrupted(small(tmp_path), monkeypatch, target, name, number)
    finished = resume(final_path(draft)).folder
    assert finished == final_path(draft)
    compare(finished, undisturbed())
    assert sorted(path.name for path in finished.parent.iterdir()) == ["latest", finished.name]
    assert not (finished / "checkpoint.safetensors").exists()


KINDS = [
    {"peft": {"pruning": {"every": 1, "keep": 0.5}}, "inner": {"optimiser": {"name": "adamw"}}},
    {
        "compute": {"checkpoint_every": None, "checkpoint_activations": True},
        "inner": {"accumulate": 2},
        "outer": {"engine": "finite_difference"},
    },
    {"outer": {"class_prior": "learned"}},
    (
        RESTART := {
            "outer": {"final_epochs": 1, "restart": True, "class_prior": "fitted"},
            "inner": {"warm_up": 0.2},
        }
    ),
]
SCALES = {
    "outer": {
        "scale_search": {"factors": [0.5, 1e30, 2], "epochs": 1},  # the second of them diverges
        "resample": "never",
        "class_prior": "fitted",
    },
    "inner": {"epochs": 4},
}
MORE_KINDS = [
    {"outer": {"engine": "unrolled", "every": 3}, "augmentation": {"radiometry": "sar"}},
    {"peft": {"method": "lora", "modulators": "fixed"}, "inner": {"sampling": "square_root"}},
    {"outer": {"final_epochs": 1, "every": 4}},
    {"compute": {"cache_features": True, "checkpoint_every": 2}},
    {"head": {"initialisation": "linear_probe"}},
]


@pytest.mark.parametrize(
    ("sections", "number"),
    [
        *((kind, 7) for kind in KINDS),
        (RESTART, 6),  # the first step of the final epoch, after an epoch of five
        *((SCALES, number) for number in (5, 9, 16)),
        *(pytest.param(kind, 4, marks=pytest.mark.slow) for kind in MORE_KINDS),
    ],
    ids=str,
)
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


# --- what stops it --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of runs with one that was interrupted in its second epoch."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        draft = interrupted(small(folder), patch, FinetuningModule, "training_step", 7)
    return draft


@pytest.fixture
def draft(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "runs" / begun.name)


def test_a_changed_recipe_is_one_line(draft):
    text = (draft / "recipe.yaml").read_text()
    (draft / "recipe.yaml").write_text(text.replace("momentum: 0.9", "momentum: 0.8"))
    with pytest.raises(RunError, match=r"recipe.yaml was changed since it began; undo that"):
        resume(draft)
    assert (draft / "checkpoint.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("data", "0" * 64, "its chips are not those it began with; restore them, or start afresh"),
        ("backbone", "0" * 64, "the weights of its backbone are not those"),
        ("torch", "1.0", "it began with torch 2.* this is 1.0; install that version"),
    ],
)
def test_another_origin_is_one_line(draft, monkeypatch, name, value, message):
    origin = finetuning.origin_of
    monkeypatch.setattr(finetuning, "origin_of", lambda *a: origin(*a) | {name: value})
    with pytest.raises(RunError, match=message):
        resume(draft)


def test_other_chips_or_labels_have_another_digest(tmp_path):
    recipe = small(tmp_path)
    found = load_inspected(recipe)
    built = build_classifier(recipe, found.data.bands, 11, found.statistics)
    first = origin_of(recipe, found.data, found.statistics, built)
    moved = replace(found.statistics, mean=tuple(m + 1e-6 for m in found.statistics.mean))
    assert origin_of(recipe, found.data, moved, built)["data"] != first["data"]
    swapped = replace(found.data, train=found.data.test, test=found.data.train)
    assert origin_of(recipe, swapped, found.statistics, built)["data"] != first["data"]
    elsewhere = recipe.model_copy(update={"runs": tmp_path / "elsewhere"})
    assert origin_of(elsewhere, found.data, found.statistics, built) == first


def test_a_damaged_checkpoint_is_one_line(draft):
    file = draft / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"checkpoint.safetensors' is damaged: .*; delete it"):
        resume(draft)


def test_a_wrong_run_lists_the_unfinished_ones(draft):
    runs = draft.parent
    listed = f"unfinished in '{runs}': {final_path(draft)}$"
    for wrong in (runs / "nothing", runs):
        with pytest.raises(RunError, match=listed):
            resume(wrong)
    (runs / "done").mkdir()
    with pytest.raises(RunError, match="done' is finished already"):
        resume(runs / "done")


def test_a_run_is_written_by_one_process_alone(draft):
    with unfinished_run(draft), pytest.raises(RunError, match="written by another process"):
        resume(draft)


def test_a_recipe_and_a_run_exclude_each_other():
    for words in (["r.yaml", "--resume", "run"], [], ["--resume", "run", "--set", "seed=1"]):
        found = CliRunner().invoke(app, ["finetune", *words])
        assert isinstance(found.exception, RunError)
        assert "or --resume RUN alone" in str(found.exception)


def test_the_keyboard_stops_it_and_it_says_how_to_go_on(tmp_path, monkeypatch, caplog):
    def pressed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OuterStep, "__call__", pressed)
        with pytest.raises(KeyboardInterrupt):
            finetune(small(tmp_path))
    (draft,) = (tmp_path / "runs").glob(".*.partial")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "rsmeta.drafts"]
    assert line.endswith(f"go on with: rsmeta finetune --resume {final_path(draft)}")


@pytest.mark.parametrize("number", [1, 4])
def test_a_full_disk_is_one_line_and_leaves_the_last_good_state(
    tmp_path, monkeypatch, undisturbed, number
):
    calls = []

    def full(file):
        calls.append(None)
        if len(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recipe = small(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"cannot be written: .*No space left on device") as told:
            finetune(recipe)
    assert "\n" not in str(told.value)
    left = list((tmp_path / "runs").glob(".*"))
    if number == 1:
        assert left == [] and "--resume" not in str(told.value)
        return
    (draft,) = left
    names = [path.name for path in draft.iterdir() if not path.name.startswith("events.out")]
    assert sorted(names) == ["checkpoint.safetensors", "recipe.yaml"]
    assert f"go on with: rsmeta finetune --resume {final_path(draft)}" in str(told.value)
    compare(resume(draft).folder, undisturbed())


def test_a_disk_that_is_full_at_the_end_keeps_the_training(tmp_path, monkeypatch, undisturbed):
    def full(*arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "write_history", full)
        with pytest.raises(RunError, match=r"Read-only file system; mend that and go on with"):
            finetune(small(tmp_path))
    (draft,) = (tmp_path / "runs").glob(".*.partial")
    monkeypatch.setattr(FinetuningModule, "training_step", None)  # all of it is done
    compare(resume(draft).folder, undisturbed())
