"""Band statistics of the training chips, which normalise whatever the model sees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmeta.bands import Band
from rsmeta.data.chips import ChipSet
from rsmeta.errors import DataError

SAMPLE_SIZE = 2**18
"""Pixels that percentiles are taken from, at most."""

LOW, HIGH = 2.0, 98.0
"""The percentiles that values can be clipped to."""


@dataclass(frozen=True)
class Limits:
    """Smallest and largest value of each band, (bands,), in its unit."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class BandStatistics:
    """How bands are normalised: (clipped values - mean) / std.

    Attributes:
        mean: Of each band over all valid training pixels, (bands,), in its unit.
        std: Standard deviation over the same pixels.
        limits: What values are clipped to beforehand, also for mean and std; None for no clipping.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    limits: Limits | None = None


@dataclass(frozen=True)
class BandSummary:
    """What the training chips hold in one band, in its unit.

    Without any valid pixel, mean and std are 0 and the others NaN.

    Attributes:
        band: The band.
        mean: Over all valid pixels.
        std: Standard deviation over all valid pixels.
        minimum: Smallest valid value.
        low: 2nd percentile, see `BandAccumulator`.
        median: 50th percentile.
        high: 98th percentile.
        nodata: Share of pixels without data, 0..1.
    """

    band: Band
    mean: float
    std: float
    minimum: float
    low: float
    median: float
    high: float
    nodata: float


class BandAccumulator:
    """Statistics of bands in one pass over chips, in memory that does not grow with their number.

    Mean, standard deviation, minimum and share of nodata are exact. Percentiles are those of a
    uniform random sample of 262,144 pixels, always the same one, and exact up to that many: the 2nd
    percentile found lies between the true 1.95th and 2.05th in 19 of 20 cases where no pixel lacks
    data, and has sqrt(1 / (1 - nodata)) times that error in a band that does lack some.

    Args:
        bands: Bands of the chips, in order.
    """

    def __init__(self, bands: Sequence[Band]) -> None:
        self._bands = tuple(bands)
        self._moments = BandMoments(len(bands))
        self._sample = _PixelSample(len(bands))
        self._minimum = np.full(len(bands), np.inf)
        self._pixels = 0

    def add(self, chip: NDArray[np.float32]) -> None:
        """Count in a chip, (bands, height, width)."""
        values = chip.reshape(len(self._bands), -1)
        self._pixels += values.shape[1]
        self._moments.add(values)
        self._sample.add(values)
        finite = np.where(np.isfinite(values), values, np.inf)
        self._minimum = np.minimum(self._minimum, finite.min(axis=1, initial=np.inf))

    def summaries(self) -> tuple[BandSummary, ...]:
        """What the chips so far hold, band by band."""
        return tuple(self._summary(index) for index in range(len(self._bands)))

    def _summary(self, index: int) -> BandSummary:
        count = float(self._moments.count[index])
        sample = self._sample.values(index) if count else [np.nan]
        low, median, high = map(float, np.percentile(sample, (LOW, 50, HIGH)))
        return BandSummary(
            band=self._bands[index],
            mean=float(self._moments.mean[index]),
            std=float(self._moments.std[index]),
            minimum=float(self._minimum[index]) if count else np.nan,
            low=low,
            median=median,
            high=high,
            nodata=1 - count / self._pixels,
        )


class BandMoments:
    """Mean and standard deviation of bands in float64, merged chip by chip (Chan et al. 1979).

    Attributes:
        count: Number of valid pixels so far, (bands,).
        mean: Their mean, (bands,); 0 without any.

    Args:
        bands: Number of bands.
    """

    def __init__(self, bands: int) -> None:
        self.count = np.zeros(bands)
        self.mean = np.zeros(bands)
        self._scatter = np.zeros(bands)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count in pixels, (bands, pixels); those that are not finite do not count."""
        added, mean, scatter = _moments(values.astype(np.float64))
        total = self.count + added
        share = np.divide(added, total, out=np.zeros_like(total), where=total > 0)
        difference = mean - self.mean
        self.mean = self.mean + difference * share
        self._scatter = self._scatter + scatter + difference**2 * self.count * share
        self.count = total

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation so far, (bands,); 0 without any valid pixel."""
        some = self.count > 0
        return np.sqrt(
            np.divide(self._scatter, self.count, out=np.zeros_like(self.mean), where=some)
        )


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


class _PixelSample:
    """A uniform sample of pixels from a stream: those with the smallest random keys.

    Pixels without data in any band are not drawn.

    Args:
        bands: Number of bands.
    """

    def __init__(self, bands: int) -> None:
        self._generator = np.random.default_rng(0)
        self._keys = np.empty(0)
        self._pixels = np.empty((bands, 0), dtype=np.float32)
        self._waiting: list[tuple[NDArray[np.float64], NDArray[np.float32]]] = []
        self._waits = 0
        self._largest = 1.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Offer pixels, (bands, pixels)."""
        keys: NDArray[np.float64] = self._generator.random(values.shape[1:])
        drawn = (keys < self._largest) & np.isfinite(values).any(axis=0)
        self._waiting.append((keys[drawn], values[:, drawn]))
        self._waits += int(drawn.sum())
        if self._waits > SAMPLE_SIZE:
            self._merge()

    def values(self, band: int) -> NDArray[np.float32]:
        """The valid values of one band in the sample."""
        self._merge()
        values: NDArray[np.float32] = self._pixels[band]
        return values[np.isfinite(values)]

    def _merge(self) -> None:
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._waiting)])
        pixels = np.concatenate([self._pixels, *(pixels for _, pixels in self._waiting)], axis=1)
        self._waiting, self._waits = [], 0
        if len(keys) > SAMPLE_SIZE:
            kept = np.argpartition(keys, SAMPLE_SIZE)[:SAMPLE_SIZE]
            keys, pixels = keys[kept], pixels[:, kept]
            self._largest = float(keys.max())
        self._keys, self._pixels = keys, pixels


def band_statistics(
    chips: ChipSet, bands: Sequence[Band], limits: Limits | None = None
) -> BandStatistics:
    """Statistics that normalise bands, in one pass over chips.

    Args:
        chips: Training chips.
        bands: Their bands, in order.
        limits: What values are clipped to first; None for no clipping.

    Raises:
        DataError: A chip cannot be read, or a band is constant or without any valid pixel.
    """
    moments = BandMoments(len(bands))
    for index in range(len(chips)):
        values = chips.read(index).reshape(len(bands), -1)
        if limits is not None:
            low, high = (np.array(side, dtype=np.float32) for side in (limits.low, limits.high))
            clipped = values.clip(low[:, None], high[:, None])
            values = np.where(np.isfinite(values), clipped, np.float32(np.nan))
        moments.add(values)
    found = BandStatistics(tuple(moments.mean.tolist()), tuple(moments.std.tolist()), limits)
    for band, count, std in zip(bands, moments.count, found.std, strict=True):
        if count == 0:
            raise DataError(f"band '{band.name}' has no valid pixel in any training chip")
        if not std > 0:
            remedy = "" if limits is None else " once clipped; set data.clip to none"
            raise DataError(f"band '{band.name}' is constant over all training chips{remedy}")
    return found
