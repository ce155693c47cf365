import numpy as np
import pytest

from rsmeta.looks import look, shown_bands


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["B02", "B03", "B04", "B08"], [2, 1, 0]),
        (["nir", "red", "green", "blue"], [1, 2, 3]),
        (["VV", "VH"], [0]),
        (["red", "green"], [0]),
        ([], []),
    ],
)
def test_true_colours_or_else_the_first_band(names, shown):
    assert shown_bands(names) == shown


@pytest.mark.parametrize("name", ["VV", "Gamma0_VH"])
def test_radar_is_shown_in_decibels_whatever_it_was_in(name):
    decibels = np.linspace(-20, 0, 200, dtype=np.float32).reshape(1, 10, 20) - 0.01
    linear = 10 ** (decibels / 10)
    np.testing.assert_allclose(
        look(linear, [name]).astype(int), look(decibels, [name]).astype(int), atol=1
    )
    assert np.ptp(np.diff(look(decibels, [name])[5, :, 0].astype(int))) <= 1  # even steps
    assert np.ptp(np.diff(look(linear, ["B04"])[..., 0].ravel().astype(int))) > 1  # optical is not


def test_percentiles_decide_not_outliers_and_gaps_are_transparent():
    values = np.random.default_rng(0).normal(size=(1, 50, 50)).astype(np.float32)
    values[0, 0, 0] = 1e6
    values[0, 1, 1] = np.nan
    picture = look(values, ["panchromatic"])
    assert picture[..., 0].std() > 50
    assert picture[1, 1].tolist() == [0, 0, 0, 0]
    assert (picture[..., 3] == 255).sum() == 2499
    assert not look(np.full((1, 3, 3), np.nan, np.float32), ["VV"]).any()
