"""Band statistics of the training chips, which normalise whatever the model sees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmeta.bands import Band
from rsmeta.data.chips import ChipSet
from rsmeta.errors import DataError


@dataclass(frozen=True)
class BandStatistics:
    """Mean and standard deviation of each band over all valid training pixels, (bands,)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def band_statistics(chips: ChipSet, bands: Sequence[Band]) -> BandStatistics:
    """One pass over the chips, in float64, merging chip by chip (Chan et al. 1979).

    Raises:
        DataError: A chip cannot be read, or a band is constant or without any valid pixel.
    """
    count = np.zeros(len(bands))
    mean = np.zeros(len(bands))
    scatter = np.zeros(len(bands))
    for index in range(len(chips)):
        values = chips.read(index).reshape(len(bands), -1).astype(np.float64)
        added, chip_mean, chip_scatter = _moments(values)
        total = count + added
        share = np.divide(added, total, out=np.zeros_like(total), where=total > 0)
        difference = chip_mean - mean
        mean = mean + difference * share
        scatter = scatter + chip_scatter + difference**2 * count * share
        count = total
    std = np.sqrt(np.divide(scatter, count, out=np.zeros_like(count), where=count > 0))
    for band, pixels, spread in zip(bands, count, std, strict=True):
        if pixels == 0:
            raise DataError(f"band '{band.name}' has no valid pixel in any training chip")
        if not spread > 0:
            raise DataError(f"band '{band.name}' is constant over all training chips")
    return BandStatistics(tuple(mean.tolist()), tuple(std.tolist()))


def _moments(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Number of valid pixels, their mean, and their summed squared deviation, band by band."""
    valid = np.isfinite(values)
    count = valid.sum(axis=1).astype(np.float64)
    filled = np.where(valid, values, 0)
    mean = np.divide(filled.sum(axis=1), count, out=np.zeros_like(count), where=count > 0)
    deviation = np.where(valid, values - mean[:, None], 0)
    return count, mean, (deviation**2).sum(axis=1)
