import re

import numpy as np
import pytest

from rsmeta.bands import Band, Unit
from rsmeta.data.band_checks import band_problems
from rsmeta.data.statistics import BandAccumulator


def problems(unit, values):
    bands = [Band("X", unit), Band("good", Unit.DIGITAL_NUMBER)]
    accumulator = BandAccumulator(bands)
    chip = np.stack([values, np.arange(values.size).reshape(values.shape)])
    accumulator.add(chip.astype(np.float32))
    return band_problems(accumulator.summaries())


RNG = np.random.default_rng(0)
UNIFORM, NORMAL = RNG.random((40, 50)), RNG.normal(size=(40, 50))
CLOUDS = np.where(UNIFORM < 0.2, 12.0, UNIFORM)


@pytest.mark.parametrize(
    ("unit", "values", "words"),
    [
        (Unit.REFLECTANCE, 1000 + 3000 * UNIFORM, "digital numbers; set data.units.scale"),
        (Unit.REFLECTANCE, 255 * UNIFORM, "digital numbers; set data.units.scale"),
        (Unit.DECIBEL, 0.05 * UNIFORM, "linear amplitude or power; set data.units.to_db"),
        (Unit.DECIBEL, 255 * UNIFORM, "linear amplitude or power; set data.units.to_db"),
        (Unit.AMPLITUDE, -15 + 4 * NORMAL, "negative value -2.*looks like dB"),
        (Unit.POWER, -15 + 4 * NORMAL, "negative value -2.*looks like dB"),
        (Unit.DIGITAL_NUMBER, 0 * UNIFORM + 7, "is constant"),
        (Unit.DECIBEL, np.nan * UNIFORM, "no valid pixel"),
    ],
)
def test_a_band_with_a_problem_is_named_with_what_to_do(unit, values, words):
    (line,) = problems(unit, values)
    assert line.startswith("band 'X' ")
    assert re.search(words, line)


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        (Unit.REFLECTANCE, UNIFORM),
        (Unit.REFLECTANCE, UNIFORM - 0.1),
        (Unit.REFLECTANCE, CLOUDS),
        (Unit.DECIBEL, -15 + 4 * NORMAL),
        (Unit.DECIBEL, 50 + 4 * NORMAL),  # uncalibrated
        (Unit.AMPLITUDE, 255 * UNIFORM),
        (Unit.POWER, 0.05 * UNIFORM),
        (Unit.DIGITAL_NUMBER, 4000 * UNIFORM - 5),
    ],
)
def test_plausible_values_pass(unit, values):
    assert problems(unit, values) == []
