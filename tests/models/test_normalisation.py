import numpy as np
import pytest
import torch

from rsmeta.bands import sensor
from rsmeta.data.chips import ChipArray, LabelledData
from rsmeta.data.inspection import inspect_data
from rsmeta.data.statistics import BandStatistics, Limits
from rsmeta.errors import DataError
from rsmeta.models.classifier import build_classifier
from rsmeta.models.normalisation import require_normalised


@pytest.fixture
def classifier(tiny_recipe):
    """A classifier of VV and VH with given statistics."""

    def build(statistics):
        recipe = tiny_recipe()
        bands = recipe.data.selected_bands
        return build_classifier(recipe, bands, 2, statistics).classifier

    return build


def radar(count=256, seed=0):
    images = np.random.default_rng(seed).normal(-15, 4, (count, 2, 8, 8)).astype(np.float32)
    chips = ChipArray(images, np.arange(count) % 2)
    test = ChipArray(images[:2] + 1, np.array([0, 1]))
    return images, LabelledData(chips, test, ("a", "b"), sensor("sar").select(["VV", "VH"]))


STATISTICS = BandStatistics(mean=(-11.0, -18.0), std=(4.0, 6.0))
LIMITS = Limits(low=(-15.0, -20.0), high=(-12.0, -14.0))


@pytest.mark.parametrize("limits", [None, LIMITS])
def test_images_are_clipped_before_they_are_normalised(classifier, limits):
    images, _ = radar(4)
    model = classifier(BandStatistics(STATISTICS.mean, STATISTICS.std, limits))
    expected = images.astype(np.float64)
    if limits is not None:
        low, high = (np.array(side)[:, None, None] for side in (limits.low, limits.high))
        expected = np.minimum(np.maximum(expected, low), high)
    mean, std = (np.array(side)[:, None, None] for side in (STATISTICS.mean, STATISTICS.std))
    found = model.normalise(torch.from_numpy(images))
    np.testing.assert_allclose(found, (expected - mean) / std, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("images", ["frozen tokens", "features"])
def test_features_and_cached_tokens_are_of_clipped_images(classifier, images):
    model = classifier(BandStatistics(STATISTICS.mean, STATISTICS.std, LIMITS)).eval()
    chips = torch.randn(2, 2, 32, 32, generator=torch.Generator().manual_seed(0)) * 5 - 16
    low, high = (torch.tensor(side)[:, None, None] for side in (LIMITS.low, LIMITS.high))
    run = model.frozen_tokens if images == "frozen tokens" else model.features
    assert torch.equal(run(chips), run(chips.clamp(low, high)))


def test_statistics_of_the_chips_themselves_pass(classifier):
    _, data = radar()
    require_normalised(classifier(inspect_data(data, "none", "stop").statistics), data, seed=0)


@pytest.mark.parametrize("factor", [0.1, 10])
def test_a_band_whose_spread_does_not_fit_is_named(classifier, factor):
    _, data = radar()
    model = classifier(BandStatistics(mean=(-15.0, -15.0), std=(4.0, 4.0 * factor)))
    with pytest.raises(DataError, match=r"^band 'VH': normalised .* allowed: 0.2 to 5"):
        require_normalised(model, data, seed=0)


def test_a_few_extreme_pixels_are_told_and_clipping_mends_it(classifier):
    images, data = radar()
    images[7, 0, 3, 3] = 1e6
    with pytest.raises(DataError, match=r"^band 'VV': .*set data.clip to percentiles"):
        require_normalised(classifier(inspect_data(data, "none", "stop").statistics), data, seed=0)
    clipped = inspect_data(data, "percentiles", "stop").statistics
    require_normalised(classifier(clipped), data, seed=0)


def test_pixels_without_data_do_not_count(classifier):
    images, data = radar()
    images[:, :, :, 1:] = np.nan
    require_normalised(classifier(inspect_data(data, "none", "stop").statistics), data, seed=0)
