"""A run whose process is killed by the system, anywhere, ends as the one that was not."""

import io
import os
import signal
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from small_runs import compare, small

from rsmeta import finetuning
from rsmeta.finetuning import finetune, resume
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.train import checkpointing
from rsmeta.train.module import FinetuningModule

pytestmark = pytest.mark.slow

SECTIONS = {"inner": {"epochs": 6, "batch_size": 4}}


@pytest.fixture(autouse=True)
def quick(monkeypatch, without_report):
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing disturbs."""
    return finetune(small(tmp_path_factory.mktemp("whole"), **SECTIONS)).folder


def process_at(runs, prepare):
    """A process that goes on with the unfinished run, or begins one."""
    begun = [p for p in runs.glob(".*.partial") if (p / "recipe.yaml").is_file()]
    work = (resume, begun[0]) if begun else (finetune, small(runs.parent, **SECTIONS))

    def run(function, argument):
        prepare()
        function(argument)

    process = get_context("fork").Process(target=run, args=work)
    process.start()
    return process


def finished(runs):
    return {path.resolve() for path in runs.iterdir() if not path.name.startswith(".")}


# --- at a place -----------------------------------------------------------------------------------


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def before(original, *arguments, **keywords):
    die()


def after(original, *arguments, **keywords):
    original(*arguments, **keywords)
    die()


class Torn(io.FileIO):
    """A file that takes some of what is written into it."""

    share = 0.5

    def write(self, content):
        super().write(content[: int(self.share * len(content))])
        die()


def within(share):
    """While the checkpoint is being written, after a share of its bytes."""

    def torn(original, *arguments):
        Torn.share = share
        Path.open = lambda path, mode: Torn(path, mode)
        original(*arguments)

    return torn


class Place(NamedTuple):
    """A call of a function, counted from 1 in each process, and how the process dies of it."""

    owner: object
    name: str
    number: int
    how: object

    def prepare(self):
        """For this process alone."""
        original, calls = getattr(self.owner, self.name), count(1)

        def call(*arguments, **keywords):
            if next(calls) == self.number:
                return self.how(original, *arguments, **keywords)
            return original(*arguments, **keywords)

        setattr(self.owner, self.name, call)


def places():
    """Points of training in random order, then those of the end of a run in theirs."""
    random = np.random.default_rng(0)
    written = (checkpointing, "write_checkpoint")
    training = [
        *((FinetuningModule, "training_step", int(n), before) for n in random.integers(1, 4, 2)),
        (FinetuningModule, "training_step", int(random.integers(1, 4)), after),
        (FinetuningModule, "on_train_epoch_end", 1, before),
        (OuterStep, "__call__", int(random.integers(1, 3)), before),
        (OuterStep, "__call__", 1, after),
        (torch.optim.Adam, "step", 1, before),
        *((*written, int(random.integers(1, 4)), within(share)) for share in random.random(3)),
        (*written, 2, after),
        (Path, "replace", 2, before),
    ]
    end = [
        (FinetuningModule, "test_step", 1, before),
        (finetuning, "write_run", 1, before),
        (finetuning, "write_run", 1, after),
        (Path, "rename", 1, before),
        (Path, "rename", 1, after),
    ]
    return [Place(*training[i]) for i in random.permutation(len(training))], [
        Place(*values) for values in end
    ]


def test_a_process_killed_at_any_place_loses_nothing(tmp_path, whole, record_property):
    """One run, killed at every place in turn; some draws of them within the writing of a file."""
    runs = tmp_path / "runs"
    training, end = places()
    for place in [*training, *end]:
        assert not runs.exists() or not finished(runs), place
        process = process_at(runs, place.prepare)
        process.join()
        assert process.exitcode == -signal.SIGKILL, place
    record_property("kill_points", len(training) + len(end))
    (run,) = finished(runs)
    compare(run, whole)
    record_property("survived", len(training) + len(end))


# --- at a moment ----------------------------------------------------------------------------------


def test_a_process_killed_at_random_moments_loses_nothing(tmp_path, whole, record_property):
    """The next process goes on, until a run is finished, and then with a new one."""
    delays, kills, runs = np.random.default_rng(0), 0, tmp_path / "runs"
    while kills < 10:
        process = process_at(runs, lambda: None)
        process.join(delays.uniform(0.1, 6))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    record_property("kill_points", kills)
    for draft in runs.glob(".*.partial"):
        if (draft / "recipe.yaml").is_file():
            resume(draft)
    assert finished(runs)
    for run in finished(runs):
        compare(run, whole)
    record_property("survived", kills)
