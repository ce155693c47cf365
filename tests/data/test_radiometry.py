import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import gamma, kstest

from rsmeta.bands import Band, Unit, sensor
from rsmeta.data.radiometry import build_radiometry, scale_power, speckle
from rsmeta.data.statistics import BandStatistics
from rsmeta.errors import RecipeError
from rsmeta.recipe import Augmentation

DB = Band("VV", Unit.DECIBEL, polarisation="VV")
AMPLITUDE = Band("HH", Unit.DIGITAL_NUMBER, polarisation="HH")
STATISTICS = BandStatistics((3.0, 50.0), (2.0, 10.0))
RGB = sensor("rgb").bands[:2]


def radiometry(bands=(DB, AMPLITUDE), statistics=STATISTICS, **config):
    return build_radiometry(Augmentation(**config), bands, statistics)


def power(images):
    """Power of the two radar bands, dB and amplitude."""
    return torch.stack([10 ** (images[:, 0] / 10), images[:, 1] ** 2], dim=1)


@pytest.mark.parametrize("looks", [1, 3, 10])
def test_speckle_is_gamma_distributed_with_unit_mean(looks):
    generator = torch.Generator().manual_seed(0)
    like = torch.empty((), dtype=torch.float64)
    values = speckle((50_000,), looks, like, generator).numpy()
    assert kstest(values, gamma(a=looks, scale=1 / looks).cdf).pvalue > 1e-3
    assert values.mean() == pytest.approx(1, abs=5 * (looks * len(values)) ** -0.5)
    assert values.var() == pytest.approx(1 / looks, rel=0.05)


@pytest.mark.parametrize("factor", [0.01, 1.0, 2.5])
def test_power_is_scaled_in_every_unit(factor):
    amplitude = torch.linspace(0.1, 9, 20, dtype=torch.float64)
    decibels = 20 * amplitude.log10()
    scale = torch.tensor(factor, dtype=torch.float64)
    scaled = 10 ** (scale_power(decibels, scale, Unit.DECIBEL) / 10)
    torch.testing.assert_close(scaled, factor * amplitude**2)
    scaled = scale_power(amplitude, scale, Unit.DIGITAL_NUMBER) ** 2
    torch.testing.assert_close(scaled, factor * amplitude**2)


def test_speckle_multiplies_power_pixel_by_pixel():
    images = torch.full((40, 2, 32, 32), 7.0, dtype=torch.float64)
    changed = radiometry(radiometry="sar", gain_decibels=0, speckle_looks=4)(
        images, torch.arange(40)
    )
    ratio = power(changed) / power(images)
    for band in (0, 1):
        assert ratio[:, band].mean().item() == pytest.approx(1, abs=0.02)
        assert ratio[:, band].var().item() == pytest.approx(1 / 4, rel=0.05)
    assert abs(np.corrcoef(ratio[:, 0].ravel(), ratio[:, 1].ravel())[0, 1]) < 0.03


def test_gain_is_one_factor_of_power_for_each_band_of_each_chip():
    images = torch.rand(200, 2, 6, 6, dtype=torch.float64) + 1
    changed = radiometry(radiometry="sar", gain_decibels=2, speckle_looks=100)(
        images, torch.arange(200)
    )
    decibels = 10 * (power(changed) / power(images)).mean(dim=(2, 3)).log10()
    # Uniform between -2 and 2 dB, but for what speckle of 100 looks leaves in 36 pixels.
    assert kstest(decibels.ravel().numpy(), "uniform", args=(-2, 4)).pvalue > 1e-3
    assert decibels.abs().max() < 2.4
    assert (decibels[:, 0] - decibels[:, 1]).abs().max() > 1


def test_optical_jitter_is_a_line_in_units_of_the_training_standard_deviation():
    """z' = (1 + a) z + b for each band of each chip, with |a| and |b| up to the jitter."""
    z = torch.tensor([[0.0, 1.0], [2.0, -1.0]], dtype=torch.float64).expand(500, 2, 2, 2)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(2, 1, 1) for v in ((3, 50), (2, 10)))
    changed = radiometry(RGB, radiometry="optical", jitter=0.3)(mean + std * z, torch.arange(500))
    out = (changed - mean) / std
    offset = out[..., 0, 0]
    gain = out[..., 0, 1] - offset
    torch.testing.assert_close(out, gain[..., None, None] * z + offset[..., None, None])
    for drawn in (gain.ravel() - 1, offset.ravel()):
        assert kstest(drawn.numpy(), "uniform", args=(-0.3, 0.6)).pvalue > 1e-3
    assert abs(np.corrcoef(gain.ravel(), offset.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(("kind", "bands"), [("sar", (DB, AMPLITUDE)), ("optical", RGB)])
def test_a_chips_change_is_that_of_its_seed_in_whatever_batch(kind, bands):
    change = radiometry(bands, radiometry=kind)
    images, seeds = torch.rand(6, 2, 8, 8) + 1, torch.tensor([5, 6, 7, 5, 8, 9])
    state = torch.get_rng_state()
    whole = change(images, seeds)
    for index in reversed(range(6)):
        one = slice(index, index + 1)
        assert torch.equal(change(images[one], seeds[one])[0], whole[index])
    assert torch.equal(torch.get_rng_state(), state)
    differences = (whole - images).unique(dim=0)
    assert len(differences) == 6
    assert whole.dtype == torch.float32


def test_none_changes_nothing():
    images = torch.rand(2, 2, 4, 4)
    assert torch.equal(radiometry()(images, torch.arange(2)), images)


@pytest.mark.parametrize(
    ("kind", "bands", "fault"),
    [("sar", RGB, "'R' is an optical band; set it to optical"), ("optical", (DB,), "'VV' is a")],
)
def test_changes_for_another_kind_of_band_are_refused(kind, bands, fault):
    with pytest.raises(RecipeError, match=fault):
        radiometry(bands, radiometry=kind)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"speckle_looks": 3}, "speckle_looks has no effect without radiometry sar"),
        ({"radiometry": "optical", "gain_decibels": 1}, "gain_decibels has no effect"),
        ({"radiometry": "sar", "jitter": 0.1}, "jitter has no effect without radiometry optical"),
        ({"crop_scale": [0.9, 0.5]}, "is no range of shares"),
        ({"crop_scale": [0.0, 0.5]}, "is no range of shares"),
        ({"crop_scale": [0.5, 1.5]}, "is no range of shares"),
    ],
)
def test_settings_without_effect_or_sense_are_refused(config, fault):
    with pytest.raises(ValueError, match=fault):
        Augmentation(**config)


def test_bands_of_one_set_may_have_units_of_their_own():
    same = dataclasses.replace(AMPLITUDE, unit=Unit.DECIBEL)
    images, seeds = torch.ones(1, 2, 4, 4), torch.tensor([3])
    mixed = radiometry(radiometry="sar")(images, seeds)
    decibels = radiometry((DB, same), radiometry="sar")(images, seeds)
    assert torch.equal(mixed[:, 0], decibels[:, 0])
    torch.testing.assert_close(20 * mixed[:, 1].log10() + 1, decibels[:, 1])
