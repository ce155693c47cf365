import numpy as np
import pytest

from rsmeta.bands import sensor
from rsmeta.data.chips import ChipArray
from rsmeta.data.statistics import SAMPLE_SIZE, BandAccumulator, Limits, band_statistics
from rsmeta.errors import DataError

BANDS = sensor("sar").select(["VV", "VH"])


def chips(images):
    return ChipArray(images.astype(np.float32), np.zeros(len(images), dtype=np.int64))


@pytest.mark.parametrize("invalid", [0.0, 0.3, 0.95])
@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (-20, 5), (1e5, 1), (3e4, 0.5), (0, 1e-5)])
def test_statistics_are_those_of_all_valid_pixels(invalid, offset, scale):
    rng = np.random.default_rng(0)
    images = (rng.normal(size=(7, 2, 12, 9)) * scale + offset).astype(np.float32)
    images[rng.random(images.shape) < invalid] = np.nan
    images[3, 1] = np.nan  # one band of a chip without any pixel
    images[4, 0, 0, 0] = np.inf
    found = band_statistics(chips(images), BANDS)
    images[np.isinf(images)] = np.nan
    pixels = images.astype(np.float64)
    np.testing.assert_allclose(
        found.mean, np.nanmean(pixels, axis=(0, 2, 3)), rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(found.std, np.nanstd(pixels, axis=(0, 2, 3)), rtol=1e-9)


def test_every_pixel_counts_alike_whatever_the_size_of_its_chip():
    class Ragged(ChipArray):
        def read(self, index):
            return parts[index]

    rng = np.random.default_rng(1)
    parts = [rng.normal(size=(2, side, 5)).astype(np.float32) for side in (3, 30, 8)]
    found = band_statistics(Ragged(np.empty((3, 0)), np.zeros(3, dtype=np.int64)), BANDS)
    pixels = np.concatenate([part.reshape(2, -1) for part in parts], axis=1).astype(np.float64)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(axis=1), rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -13.37, 1e5])
def test_a_constant_band_is_named(value):
    images = np.random.default_rng(0).normal(size=(3, 2, 7, 7))
    images[:, 1] = value
    with pytest.raises(DataError, match="band 'VH' is constant over all training chips"):
        band_statistics(chips(images), BANDS)


def test_a_band_without_valid_pixels_is_named():
    images = np.random.default_rng(0).normal(size=(3, 2, 7, 7))
    images[:, 0] = np.nan
    with pytest.raises(DataError, match="band 'VV' has no valid pixel in any training chip"):
        band_statistics(chips(images), BANDS)


def accumulate(parts, bands=BANDS):
    accumulator = BandAccumulator(bands)
    for part in parts:
        accumulator.add(part.astype(np.float32))
    return accumulator.summaries()


def test_a_summary_of_few_pixels_is_exact():
    rng = np.random.default_rng(2)
    parts = [rng.normal(size=(2, side, 5)).astype(np.float32) for side in (3, 30, 8)]
    parts[1][0, :3] = np.nan
    parts[2][1] = np.inf
    found = accumulate(parts)
    for index, summary in enumerate(found):
        pixels = np.concatenate([part[index].ravel() for part in parts])
        valid = pixels[np.isfinite(pixels)].astype(np.float64)
        expected = np.percentile(valid, (2, 50, 98))
        assert summary.band == BANDS[index]
        np.testing.assert_allclose((summary.mean, summary.std), (valid.mean(), valid.std()))
        np.testing.assert_allclose((summary.low, summary.median, summary.high), expected, rtol=1e-6)
        assert summary.minimum == valid.min()
        assert summary.nodata == pytest.approx(1 - len(valid) / len(pixels))


def test_percentiles_of_many_pixels_are_near_and_always_the_same():
    rng = np.random.default_rng(3)
    # In order, so that a sample of one part of the stream would be far out.
    pixels = np.sort(rng.random(5 * SAMPLE_SIZE)).astype(np.float32).reshape(1, 320, -1)
    parts = np.array_split(pixels, 16, axis=1)
    (found,) = accumulate(parts, BANDS[:1])
    # Of uniform numbers the percentile is the rank: five standard errors of it.
    for value, rank in ((found.low, 0.02), (found.median, 0.5), (found.high, 0.98)):
        assert abs(value - rank) < 5 * np.sqrt(rank * (1 - rank) / SAMPLE_SIZE)
    assert accumulate(parts, BANDS[:1]) == (found,)


def test_clipped_statistics_are_those_of_clipped_pixels():
    images = np.random.default_rng(4).normal(size=(5, 2, 8, 8)).astype(np.float32)
    images[0, 0, 0, 0], images[1, 1, 2, 2], images[2, 0, 1, 1] = 1e6, np.nan, np.inf
    limits = Limits(low=(-1.0, -0.5), high=(0.75, 1.5))
    found = band_statistics(chips(images), BANDS, limits)
    images[np.isinf(images)] = np.nan
    low, high = (np.array(side)[:, None, None] for side in (limits.low, limits.high))
    pixels = np.clip(images.astype(np.float64), low, high)
    np.testing.assert_allclose(found.mean, np.nanmean(pixels, axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(found.std, np.nanstd(pixels, axis=(0, 2, 3)), rtol=1e-9)
    assert found.limits == limits


def test_a_band_that_clipping_makes_constant_is_told():
    images = np.zeros((3, 2, 10, 10))
    images[:, :, 0, 0] = 1
    limits = Limits(low=(0.0, 0.0), high=(0.0, 1.0))
    with pytest.raises(DataError, match=r"band 'VV' is constant.*set data.clip to none"):
        band_statistics(chips(images), BANDS, limits)
