import numpy as np
import pytest

from rsmeta.bands import sensor
from rsmeta.data.chips import ChipArray
from rsmeta.data.statistics import band_statistics
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
