"""Who trains in which epoch: the inner loop's chips in order, a function of seed and epoch alone.

Every way of sampling keeps the epoch as long as the inner part of the split. What is drawn is one
list for all processes of a distributed run; each takes every n-th entry of it, so that batch k of
n processes holds the chips that batch k of one process with an n times larger batch would.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from rsmeta.data.outer_split import OuterSplitter
from rsmeta.recipe import InnerLoop, SamplingName

_ORDER_STREAM, _SHARE_STREAM = 4, 11


class ChipDraw(NamedTuple):
    """One use of a chip, which seeds its augmentation.

    Attributes:
        epoch: The epoch, from 0.
        chip: Index of the chip.
        turn: Tells the uses of a chip in one epoch apart; 0 where training first draws it.
    """

    epoch: int
    chip: int
    turn: int = 0


def class_shares(
    counts: NDArray[np.int64], sampling: SamplingName, beta: float
) -> NDArray[np.float64]:
    """Share of the draws that each class gets.

    - `all`: n_c / n, as the chips come.
    - `class_balanced`: 1 / C.
    - `square_root`: n_c^(1/2) / sum_j n_j^(1/2) (Mahajan et al. 2018; Kang et al. 2020, eq. 1 at
      q = 1/2).
    - `effective_number`: a chip is drawn in proportion to 1 / E_n, E_n = (1 - beta^n) / (1 - beta)
      the effective number of the n chips of its class (Cui et al. 2019, proposition 1; their
      weight of a chip in the loss, as a rate here). A class's share is thus proportional to
      n_c (1 - beta) / (1 - beta^n_c): `all` at beta = 0, `class_balanced` towards 1.

    Args:
        counts: Chips of each class, (classes,); a class without chips gets no share.
        sampling: The way of sampling.
        beta: Of `effective_number`, in [0, 1).

    Returns:
        (classes,), sums to 1.
    """
    present = (counts > 0).astype(np.float64)
    weights = {
        "all": counts.astype(np.float64),
        "class_balanced": present,
        "square_root": np.sqrt(counts),
        "effective_number": present,
    }[sampling]
    if sampling == "effective_number" and beta == 0:
        weights = counts.astype(np.float64)
    elif sampling == "effective_number":
        # 1 - beta cancels out; expm1 keeps 1 - beta^n exact where beta is close to 1.
        effective = -np.expm1(counts * np.log(beta))
        weights = np.divide(counts, effective, out=np.zeros(len(counts)), where=counts > 0)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def share_draw(
    labels: NDArray[np.int64],
    pool: NDArray[np.int64],
    shares: NDArray[np.float64],
    size: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw chips so that each class has its share of the draws, in random order.

    The number of draws of a class is its share times the size, rounded up or down at random so
    that the expectation is exact (systematic sampling); within a class, chips are drawn without
    replacement as long as they last.

    Args:
        labels: Class of every training chip.
        pool: Indexes to draw from.
        shares: Share of each class, (classes,), 0 for classes that the pool lacks.
        size: Number of chips to draw.
        generator: Source of the draw.

    Returns:
        Indexes into `labels`, (size,).
    """
    present = np.flatnonzero(shares)
    ends = np.cumsum(shares[present]) * size + generator.random()
    marks = np.minimum(ends.astype(np.int64), size)
    marks[-1] = size  # not a rounding error less
    drawn = []
    for label, quota in zip(present, np.diff(marks, prepend=0), strict=True):
        members = pool[labels[pool] == label]
        rounds = -(-quota // len(members))
        turns = [generator.permutation(members)[:quota] for _ in range(rounds)]
        drawn.append(np.concatenate([members[:0], *turns])[:quota])
    return generator.permutation(np.concatenate(drawn)).astype(np.int64)


class EpochSampler(Sampler[ChipDraw]):
    """The inner loop's draws of each epoch; a function of seed and epoch alone.

    Args:
        labels: Class of every training chip, (chips,).
        splitter: Keeps the epoch's outer part out; None to use all chips.
        inner: Settings of the inner loop: how chips are sampled.
        seed: Seed of the draws.
        rank: Number of this process, from 0.
        processes: Number of processes. All get equally many draws, or they would wait for each
            other: up to `processes` - 1 draws at the end of an epoch are left out.
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        splitter: OuterSplitter | None,
        inner: InnerLoop,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._labels = labels
        self._splitter = splitter
        self._inner = inner
        self._seed = seed
        self._rank = rank
        self._processes = processes
        self._epoch = 0
        self._done: tuple[int, int] = (0, 0)

    def skip(self, epoch: int, draws: int) -> None:
        """Leave out the first draws of one epoch, of this process: they were used already."""
        self._done = epoch, draws

    @property
    def _skipped(self) -> int:
        epoch, draws = self._done
        return draws if epoch == self._epoch else 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this."""
        self._epoch = epoch

    @property
    def _draws(self) -> int:
        """The epoch that decides on the draws."""
        return self._epoch if self._splitter is None else self._splitter.draws_of(self._epoch)

    def _members(self) -> NDArray[np.int64]:
        if self._splitter is None:
            return np.arange(len(self._labels))
        return self._splitter.split(self._epoch).inner

    def _order(self) -> NDArray[np.int64]:
        """All processes' draws of the epoch."""
        members, sampling = self._members(), self._inner.sampling
        if sampling == "all":
            order = np.random.default_rng([self._seed, _ORDER_STREAM, self._draws])
            return order.permutation(members)
        generator = np.random.default_rng([self._seed, _SHARE_STREAM, self._draws])
        counts = np.bincount(self._labels[members], minlength=int(self._labels.max()) + 1)
        shares = class_shares(counts, sampling, self._inner.effective_number_beta)
        return share_draw(self._labels, members, shares, len(members), generator)

    def __len__(self) -> int:
        return self._share - self._skipped

    @property
    def _share(self) -> int:
        """Draws of each process in the epoch."""
        return len(self._members()) // self._processes

    def __iter__(self) -> Iterator[ChipDraw]:
        turns: Counter[int] = Counter()
        draws = []
        for chip in self._order().tolist():
            draws.append(ChipDraw(self._draws, chip, turns[chip]))
            turns[chip] += 1
        return iter(draws[self._rank :: self._processes][self._skipped : self._share])
