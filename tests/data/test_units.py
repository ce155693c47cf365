import numpy as np
import pytest

from rsmeta.bands import Unit
from rsmeta.data.chips import ChipArray
from rsmeta.data.units import ConvertedChips, convert_units
from rsmeta.errors import RecipeError
from rsmeta.recipe import Recipe, Scaling, ToDecibel
from rsmeta.recipe_reading import validate


def folder(sensor, units=None, **data):
    data = {"source": "folder", "root": "chips", "sensor": sensor, "units": units, **data}
    return validate(Recipe, {"name": "x", "data": data}).data


# --- the conversion -------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "factor"), [("amplitude", 20), ("power", 10)])
def test_decibels_are_logarithms_of_what_is_positive(kind, factor):
    values = np.array([[1e-6, 0.5, 1, 10, 255, 6e4], [0, -0.0, -3, np.nan, 1e-30, 2]], np.float32)
    found = convert_units(values, ToDecibel(to_db=kind))
    assert found.dtype == np.float32
    positive = values > 0
    expected = factor * np.log10(values[positive].astype(np.float64))
    np.testing.assert_allclose(found[positive], expected, rtol=1e-6, atol=1e-6)
    assert np.isnan(found[~positive]).all()


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, -1000), (1e-4, 0), (2.75e-5, -7273)])
def test_reflectance_is_the_number_with_its_offset_times_the_scale(scale, offset):
    numbers = np.array([0, 1, 999, 1000, 12345, 65535, np.nan], dtype=np.float32)
    found = convert_units(numbers, Scaling(scale=scale, offset=offset))
    assert found.dtype == np.float32
    expected = (numbers.astype(np.float64) + offset) * scale
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_without_units_values_stay():
    values = np.array([0, -1, np.nan], dtype=np.float32)
    np.testing.assert_array_equal(convert_units(values, None), values)


def test_converted_chips_keep_their_labels_and_names():
    plain = ChipArray(np.full((2, 1, 3, 3), 100, np.float32), np.array([1, 0]))
    chips = ConvertedChips(plain, ToDecibel(to_db="power"))
    np.testing.assert_allclose(chips.read(1), 20, rtol=1e-6)
    assert chips.labels.tolist() == [1, 0]
    assert chips.describe(1) == plain.describe(1)


# --- the recipe -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sensor", "units", "unit"),
    [
        ("sar-amplitude", None, Unit.AMPLITUDE),
        ("sar-power", None, Unit.POWER),
        ("sar-amplitude", {"to_db": "amplitude"}, Unit.DECIBEL),
        ("sar-power", {"to_db": "power"}, Unit.DECIBEL),
        ("sentinel1", {"to_db": "power"}, Unit.DECIBEL),
        ("sentinel2-l2a", {"scale": 1e-4, "offset": -1000}, Unit.REFLECTANCE),
        ("naip", {"scale": 0.1}, Unit.REFLECTANCE),
    ],
)
def test_bands_have_their_unit_after_the_conversion(sensor, units, unit):
    assert {band.unit for band in folder(sensor, units).selected_bands} == {unit}


@pytest.mark.parametrize(
    ("sensor", "units", "parts"),
    [
        ("rgb", {"to_db": "power"}, ["to_db", "'R'", "optical", "units.scale"]),
        ("sentinel1", {"scale": 2}, ["scale", "'VV'", "dB", "units.to_db"]),
        ("sar-amplitude", {"scale": 2}, ["scale", "'VV'", "amplitude"]),
        ("sar-amplitude", {"to_db": "power"}, ["'power'", "carries amplitude"]),
        ("sar-power", {"to_db": "amplitude"}, ["'amplitude'", "carries power"]),
        ("sentinel1", {"to_db": "intensity"}, ["data.units.to_db", "'amplitude' or 'power'"]),
        ("sentinel1", {"to_db": "power", "scale": 2}, ["data.units.scale", "unknown key"]),
        ("rgb", {"offset": -1000}, ["data.units.scale: is missing"]),
        ("rgb", {"scale": 0}, ["data.units.scale", "greater than 0"]),
        ("rgb", {"scale": 1, "ofset": 2}, ["data.units.ofset", "did you mean 'offset'"]),
        ("rgb", {}, ["data.units", "{to_db: power}", "{scale: ..., offset: ...}"]),
        ("rgb", "dB", ["data.units", "'dB'", "{to_db: power}"]),
    ],
)
def test_units_that_do_not_fit_are_one_line(sensor, units, parts):
    with pytest.raises(RecipeError) as caught:
        folder(sensor, units)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts)


@pytest.mark.parametrize(
    ("sensor", "units"), [("sentinel1", {"to_db": "power"}), ("rgb", {"scale": 0.5, "offset": 1.0})]
)
def test_units_are_written_as_they_are_read(sensor, units):
    data = folder(sensor, units)
    assert data.model_dump()["units"] == units
    assert type(data).model_validate(data.model_dump()) == data
