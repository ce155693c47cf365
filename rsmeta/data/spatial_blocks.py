"""Splitting by spatial blocks: what lies close together is either trained or tested with."""

import numpy as np
import shapely
from numpy.typing import NDArray

_TIE_STREAM = 40


def block_split(
    blocks: NDArray[np.int64], labels: NDArray[np.int64], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Choose whole blocks to test with so that every class gives about its share.

    A greedy rule in the spirit of iterative stratification (Sechidis et al. 2011): first each
    class, the one in the fewest blocks first, gets the best of its blocks; then the best block of
    all is added as long as that helps. The best block brings the tested shares of the classes
    closest to `fraction`, in squares summed over classes. No block is taken that holds the last
    training chips of a class.

    Args:
        blocks: (chips,), block of each chip.
        labels: (chips,), class of each chip.
        fraction: Share of each class to test with, (0, 1).
        seed: Decides between equally good blocks.

    Returns:
        (chips,), whether a chip is tested with.
    """
    _, block_of = np.unique(blocks, return_inverse=True)
    known, label_of = np.unique(labels, return_inverse=True)
    counts = np.zeros((block_of.max(initial=-1) + 1, len(known)))
    np.add.at(counts, (block_of, label_of), 1)
    order = np.random.default_rng([seed, _TIE_STREAM]).permutation(len(counts))
    shares = counts[order] / counts.sum(axis=0)
    chosen = np.zeros(len(counts), dtype=np.bool_)
    for label in np.argsort(np.count_nonzero(shares, axis=0), kind="stable"):
        if not shares[chosen, label].any():
            _add_best(shares, chosen, shares[:, label] > 0, fraction, always=True)
    everywhere = np.ones(len(counts), dtype=np.bool_)
    while _add_best(shares, chosen, everywhere, fraction, always=False):
        pass
    tested = np.zeros(len(counts), dtype=np.bool_)
    tested[order[chosen]] = True
    return tested[block_of]


def _add_best(
    shares: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    among: NDArray[np.bool_],
    fraction: float,
    *,
    always: bool,
) -> bool:
    """Mark the best allowed block in `chosen`; False where none is allowed or, mostly, helps."""
    now = shares[chosen].sum(axis=0)
    after = now + shares
    error = ((after - fraction) ** 2).sum(axis=1)
    # Shares are sums of fractions: the last chips of a class are gone at 1 up to rounding.
    allowed = among & ~chosen & ~((after > 1 - 1e-9) & (shares > 0)).any(axis=1)
    if not allowed.any():
        return False
    best = int(np.where(allowed, error, np.inf).argmin())
    if not always and error[best] >= ((now - fraction) ** 2).sum():
        return False
    chosen[best] = True
    return True


def touches_any(footprints: NDArray[np.object_], others: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether each footprint intersects one of the others, (footprints,)."""
    hits = shapely.STRtree(others).query(footprints, predicate="intersects")[0]
    touched = np.zeros(len(footprints), dtype=np.bool_)
    touched[hits] = True
    return touched
