"""Which bands of a training chip are dropped: a function of seed, epoch and use alone."""

import numpy as np
from numpy.typing import NDArray

_DROPOUT_STREAM = 22


def dropped_bands(
    count: int, probability: float, key: tuple[int, int, int, int]
) -> NDArray[np.bool_]:
    """Draw the bands to drop, each by itself; of a chip that would lose all, one drawn band stays.

    Args:
        count: Number of bands.
        probability: Of each band, in [0, 1).
        key: Seed, epoch, index of the chip, and which of its uses in the epoch, from 0.

    Returns:
        (count,), true where a band is dropped.
    """
    seed, *use = key
    generator = np.random.default_rng([seed, _DROPOUT_STREAM, *use])
    dropped: NDArray[np.bool_] = generator.random(count) < probability
    if dropped.all():
        dropped[generator.integers(count)] = False
    return dropped
