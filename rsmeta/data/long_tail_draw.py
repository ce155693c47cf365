"""Drawing an exponential long tail from any set of chips."""

import numpy as np
from numpy.typing import NDArray

from rsmeta.errors import DataError

_DRAW_STREAM = 6


def draw_long_tail(
    labels: NDArray[np.int64], imbalance: float, largest: int | None, seed: int
) -> NDArray[np.int64]:
    """Draw chips so that class counts fall exponentially (Cui et al. 2019, arXiv 1901.05555).

    The class of rank i of C, in an order drawn by the seed, keeps
    largest * imbalance^(-i / (C - 1)) chips, rounded, but one at least.

    Args:
        labels: (chips,), class of each chip.
        imbalance: Largest count over smallest, >= 1.
        largest: Chips of the most frequent class; None for as many as every class allows.
        seed: Seed of the order of the classes and of the draw.

    Returns:
        Indexes of the drawn chips, sorted.

    Raises:
        DataError: A class has fewer chips than it is to keep.
    """
    generator = np.random.default_rng([seed, _DRAW_STREAM])
    order = generator.permutation(np.unique(labels))
    shares = imbalance ** (-np.arange(len(order)) / max(len(order) - 1, 1))
    present = np.array([np.count_nonzero(labels == label) for label in order])
    top = int(np.floor((present / shares).min())) if largest is None else largest
    counts = np.maximum(1, np.rint(top * shares)).astype(np.int64)
    counts = np.minimum(counts, present) if largest is None else counts
    if (counts > present).any():
        rank = int((counts > present).argmax())
        raise DataError(
            f"data.largest_class {largest} asks for {counts[rank]} chips of a class that has "
            f"{present[rank]}; leave it out for the largest that is possible"
        )
    drawn = [
        generator.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in zip(order, counts, strict=True)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)
