"""The split of the training chips into an inner and an outer part, drawn afresh each epoch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsmeta.recipe import ScaleSearch

_SPLIT_STREAM, _BALANCED_STREAM, _RANDOM_STREAM = 1, 2, 3

SMALLEST_SPLIT_CLASS = 3
"""Classes with fewer chips stay whole in the inner part and are sampled in the outer one too."""


@dataclass(frozen=True)
class OuterSplit:
    """Indexes of training chips, each sorted.

    Attributes:
        inner: Chips that train the adapters and the head in this epoch.
        outer: Chips that the modulators are learned from in this epoch.
    """

    inner: NDArray[np.int64]
    outer: NDArray[np.int64]


@dataclass(frozen=True)
class OuterSplitter:
    """Draws stratified splits; the same seed and epoch give the same split.

    Attributes:
        labels: (chips,), class of each training chip.
        fraction: Share of each class that goes to the outer part, in (0, 1); None for no split:
            all chips are in both parts.
        resample: Draw afresh each `epoch`, or `never`.
        seed: Seed of the draws.
        epochs: Number of epochs that learn modulators; later ones train on all chips. None for all.
        most_per_class: Most chips of a class that go to the outer part; None for any number.
        scale_search: Trials of scales in the first epochs; None for none.
    """

    labels: NDArray[np.int64]
    fraction: float | None
    resample: Literal["epoch", "never"]
    seed: int
    epochs: int | None = None
    most_per_class: int | None = None
    scale_search: ScaleSearch | None = None

    def draws_of(self, epoch: int) -> int:
        """The epoch whose order of chips an epoch has.

        All trials of scales have the same, so that nothing but the scale makes them differ.
        """
        search = self.scale_search
        if search is None or epoch >= search.all_epochs:
            return epoch
        return epoch % search.epochs

    def learns(self, epoch: int) -> bool:
        """Whether an epoch learns modulators."""
        return self.epochs is None or epoch < self.epochs

    def split(self, epoch: int) -> OuterSplit:
        """The split of an epoch: every class of three or more chips has chips in both parts."""
        if self.fraction is None or not self.learns(epoch):
            everything = np.arange(len(self.labels))
            return OuterSplit(everything, everything)
        draw = epoch if self.resample == "epoch" else 0
        generator = np.random.default_rng([self.seed, _SPLIT_STREAM, draw])
        inner: list[NDArray[np.int64]] = []
        outer: list[NDArray[np.int64]] = []
        for label in np.unique(self.labels):
            members = generator.permutation(np.flatnonzero(self.labels == label))
            if len(members) < SMALLEST_SPLIT_CLASS:
                inner.append(members)
                outer.append(members)
                continue
            held_out = min(max(1, round(self.fraction * len(members))), len(members) - 1)
            if self.most_per_class is not None:
                held_out = min(held_out, self.most_per_class)
            outer.append(members[:held_out])
            inner.append(members[held_out:])
        return OuterSplit(np.sort(np.concatenate(inner)), np.sort(np.concatenate(outer)))

    def shared_classes(self) -> list[int]:
        """Classes too small for the split that is made: their chips are in both parts."""
        labels, counts = np.unique(self.labels, return_counts=True)
        if self.fraction is None:
            return []
        return [int(label) for label in labels[counts < SMALLEST_SPLIT_CLASS]]


def class_balanced_draw(
    labels: NDArray[np.int64], pool: NDArray[np.int64], size: int, key: tuple[int, ...]
) -> NDArray[np.int64]:
    """Draw chips so that every class of the pool is drawn equally often.

    Classes take turns in random order; within a class, chips are drawn without replacement as
    long as they last.

    Args:
        labels: Class of every training chip.
        pool: Indexes to draw from.
        size: Number of chips to draw.
        key: Seed of this draw, e.g. (seed, epoch, step).

    Returns:
        Indexes into `labels`, (size,); class counts differ by one at most.
    """
    generator = np.random.default_rng([*key, _BALANCED_STREAM])
    classes = generator.permutation(np.unique(labels[pool]))
    turns = -(-size // len(classes))
    columns = []
    for label in classes:
        members = pool[labels[pool] == label]
        rounds = -(-turns // len(members))
        shuffled = [generator.permutation(members) for _ in range(rounds)]
        columns.append(np.concatenate(shuffled)[:turns])
    return np.stack(columns, axis=1).reshape(-1)[:size].astype(np.int64)


def random_draw(pool: NDArray[np.int64], size: int, key: tuple[int, ...]) -> NDArray[np.int64]:
    """Draw chips uniformly, without replacement as long as they last."""
    generator = np.random.default_rng([*key, _RANDOM_STREAM])
    rounds = -(-size // len(pool))
    shuffled = [generator.permutation(pool) for _ in range(rounds)]
    return np.concatenate(shuffled)[:size].astype(np.int64)
