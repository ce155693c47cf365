"""Splitting by spatial blocks: what lies close together is either trained or tested with."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

_TIE_STREAM = 40


@dataclass(frozen=True)
class BlockSplit:
    """Parts of a set of chips; what is in neither part is dropped.

    Attributes:
        train: (chips,), whether a chip is trained with.
        test: (chips,), whether a chip is tested with.
    """

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]


def overlapping_pairs(footprints: NDArray[np.object_]) -> NDArray[np.int64]:
    """Footprints that intersect each other: indexes, (pairs, 2), each pair in both orders."""
    pairs = shapely.STRtree(footprints).query(footprints, predicate="intersects").T
    others: NDArray[np.int64] = pairs[pairs[:, 0] != pairs[:, 1]].astype(np.int64)
    return others


def block_split(
    blocks: NDArray[np.int64],
    labels: NDArray[np.int64],
    pairs: NDArray[np.int64],
    fraction: float,
    seed: int,
    never_tested: NDArray[np.bool_] | None = None,
) -> BlockSplit:
    """Choose whole blocks to test with so that every class gives about its share.

    A greedy rule in the spirit of iterative stratification (Sechidis et al. 2011): first each
    class, the one in the fewest blocks first, gives the best of its blocks; then the best block of
    all is added as long as that helps. The best block brings the tested shares of the classes
    closest to `fraction`, in squares summed over classes. Training chips that overlap a test chip
    are dropped, the dead zone of spatial cross-validation (Roberts et al. 2017,
    doi:10.1111/ecog.02881). No block is chosen that would leave a class without training chips.

    Args:
        blocks: (chips,), block of each chip.
        labels: (chips,), class of each chip.
        pairs: (pairs, 2), chips that overlap, each pair in both orders.
        fraction: Share of each class to test with, (0, 1).
        seed: Decides between equally good blocks.
        never_tested: (chips,), chips that have no part in the choice, so that the test chips are
            the same with and without them, and are dropped where their block is chosen; None for
            none.
    """
    if never_tested is not None and never_tested.any():
        return _split_without(blocks, labels, pairs, fraction, seed, never_tested)
    _, block_of = np.unique(blocks, return_inverse=True)
    known, label_of = np.unique(labels, return_inverse=True)
    number = block_of.max(initial=-1) + 1
    # Blocks are renumbered at random, so that the first of equally good ones is any of them.
    block_of = np.random.default_rng([seed, _TIE_STREAM]).permutation(number)[block_of]
    counts = np.zeros((number, len(known)))
    np.add.at(counts, (block_of, label_of), 1)
    greedy = _Greedy(counts / counts.sum(axis=0), block_of, label_of, pairs, fraction)
    chosen = np.zeros(number, dtype=np.bool_)
    for label in np.argsort(np.count_nonzero(counts, axis=0), kind="stable"):
        has_label = counts[:, label] > 0
        if not has_label[chosen].any():
            best = greedy.best(chosen, has_label & ~chosen)
            chosen[[] if best is None else best] = True
    while (best := greedy.best(chosen, ~chosen)) is not None and greedy.helps(chosen, best):
        chosen[best] = True
    return greedy.parts(chosen)


def _split_without(
    blocks: NDArray[np.int64],
    labels: NDArray[np.int64],
    pairs: NDArray[np.int64],
    fraction: float,
    seed: int,
    never_tested: NDArray[np.bool_],
) -> BlockSplit:
    """The split of the other chips, and what of these may be trained with."""
    others = np.flatnonzero(~never_tested)
    place = np.cumsum(~never_tested) - 1
    among = ~never_tested[pairs].any(axis=1)
    split = block_split(blocks[others], labels[others], place[pairs[among]], fraction, seed)
    train, test = never_tested.copy(), np.zeros_like(never_tested)
    train[others], test[others] = split.train, split.test
    train[never_tested & np.isin(blocks, blocks[test])] = False
    train[pairs[test[pairs[:, 1]], 0]] = False
    return BlockSplit(train & ~test, test)


@dataclass(frozen=True)
class _Greedy:
    """What the greedy rule looks at.

    Attributes:
        shares: (blocks, classes), share of the chips of a class that lie in a block.
        block_of: (chips,).
        label_of: (chips,).
        pairs: (pairs, 2), chips that overlap.
        fraction: Share of each class to test with.
    """

    shares: NDArray[np.float64]
    block_of: NDArray[np.int64]
    label_of: NDArray[np.int64]
    pairs: NDArray[np.int64]
    fraction: float

    def best(self, chosen: NDArray[np.bool_], among: NDArray[np.bool_]) -> int | None:
        """The best block of `among` that leaves every class training chips."""
        candidates = np.flatnonzero(among)
        error = self._error(self.shares[chosen].sum(axis=0) + self.shares[candidates])
        for block in candidates[np.argsort(error, kind="stable")]:
            after = chosen.copy()
            after[block] = True
            trained = self.label_of[self.parts(after).train]
            if len(np.unique(trained)) == self.shares.shape[1]:
                return int(block)
        return None

    def helps(self, chosen: NDArray[np.bool_], block: int) -> bool:
        """Whether the tested shares come closer to what they should be by adding a block."""
        now = self.shares[chosen].sum(axis=0)
        return bool(self._error(now + self.shares[block]) < self._error(now))

    def _error(self, tested: NDArray[np.float64]) -> NDArray[np.float64]:
        error: NDArray[np.float64] = ((tested - self.fraction) ** 2).sum(axis=-1)
        return error

    def parts(self, chosen: NDArray[np.bool_]) -> BlockSplit:
        """The split that chosen blocks make."""
        test = chosen[self.block_of]
        beside = np.zeros_like(test)
        beside[self.pairs[test[self.pairs[:, 1]], 0]] = True
        return BlockSplit(~test & ~beside, test)
