"""Processes that run a small recipe and are killed by the system at a place of it.

They fork from a process that has trained nothing: PyTorch's autograd cannot go on in a fork of one
that has, once its compiler was imported.
"""

import io
import os
import signal
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from forking import forking_context
from small_runs import small

from rsmeta import finetuning
from rsmeta.finetuning import finetune, resume
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.train import checkpointing
from rsmeta.train.module import FinetuningModule

SECTIONS = {"inner": {"epochs": 6, "batch_size": 4}}


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
    shuffled = [training[i] for i in random.permutation(len(training))]
    return [Place(*values) for values in [*shuffled, *end]]


def _run(runs, place):
    os.fsync = lambda file: None
    finetuning.write_report = lambda folder: None
    if place is not None:
        places()[place].prepare()
    begun = [path for path in runs.glob(".*.partial") if (path / "recipe.yaml").is_file()]
    if begun:
        resume(begun[0])
    else:
        finetune(small(runs.parent, **SECTIONS))


def process_at(runs, place=None):
    """A process that goes on with the unfinished run, or begins one.

    It dies at a place, by its number, if one is given.
    """
    process = forking_context().Process(target=_run, args=(runs, place))
    process.start()
    return process
