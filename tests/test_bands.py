import pytest

from rsmeta.bands import SENSORS, SimulatedSensor, Unit, sensor
from rsmeta.errors import BandError


def names(bands):
    return [band.name for band in bands]


@pytest.mark.parametrize("name", list(SENSORS))
def test_every_sensor_is_found_by_its_name_and_names_each_band_once(name):
    found = sensor(name)
    assert found.name == name
    assert len(set(names(found.bands))) == len(found.bands) > 0


@pytest.mark.parametrize("name", list(SENSORS))
def test_a_band_has_either_a_wavelength_or_a_polarisation(name):
    for band in sensor(name).bands:
        assert (band.wavelength is None) == band.is_radar


def test_sentinel2_levels_differ_in_the_cirrus_band_alone():
    l1c, l2a = names(sensor("sentinel2-l1c").bands), names(sensor("sentinel2-l2a").bands)
    assert len(l1c) == 13
    assert [name for name in l1c if name != "B10"] == l2a


OPTICAL = [name for name, found in SENSORS.items() if not found.bands[0].is_radar]


@pytest.mark.parametrize("name", OPTICAL)
def test_colours_lie_in_their_part_of_the_spectrum(name):
    waves = {band.colour: band.wavelength for band in sensor(name).bands if band.colour}
    assert set(waves) == {"red", "green", "blue"}
    assert 450 < waves["blue"] < 520 < waves["green"] < 590 < waves["red"] < 700


def test_select_keeps_the_order_asked_for():
    assert names(sensor("sentinel2-l2a").select(["B8A", "B02", "B12"])) == ["B8A", "B02", "B12"]
    assert names(sensor("sentinel1").select(["VH", "VV"])) == ["VH", "VV"]


def test_select_without_names_takes_all_bands_in_product_order():
    assert names(sensor("rgb").select(None)) == ["R", "G", "B"]


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        (["B02", "B99"], ["'B99'", "'sentinel2-l2a'", "B01", "B12"]),
        (["B10"], ["'B10'", "allowed", "B8A"]),
        (["b02"], ["'b02'", "B02"]),
        (["B02", "B02"], ["B02", "twice"]),
    ],
)
def test_wrong_bands_are_one_line_with_value_and_allowed_names(asked, parts):
    with pytest.raises(BandError) as caught:
        sensor("sentinel2-l2a").select(asked)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts)


def test_unknown_sensor_names_the_nearest_and_all_allowed():
    with pytest.raises(BandError) as caught:
        sensor("sentinel-1")
    message = str(caught.value)
    assert "'sentinel-1' is unknown (did you mean 'sentinel1'?)" in message
    assert all(name in message for name in SENSORS)


def test_unknown_sensor_without_a_near_name_has_no_hint():
    with pytest.raises(BandError, match="'xyzzy' is unknown; allowed"):
        sensor("xyzzy")


@pytest.mark.parametrize(
    ("simulated", "expected", "unit"),
    [
        (SimulatedSensor.OPTICAL, ["R", "G", "B"], Unit.DIGITAL_NUMBER),
        (SimulatedSensor.SAR, ["VV", "VH"], Unit.DECIBEL),
    ],
)
def test_simulated_sensors_have_the_bands_of_real_ones(simulated, expected, unit):
    assert names(simulated.bands) == expected
    assert {band.unit for band in simulated.bands} == {unit}


def test_simulated_multispectral_is_sentinel2_l2a():
    assert SimulatedSensor.MULTISPECTRAL.bands == sensor("sentinel2-l2a").bands


@pytest.mark.parametrize("name", [name for name in OPTICAL if not name.startswith("rgb")])
def test_bands_do_not_reach_over_the_next_but_one(name):
    """A wrong wavelength or width would."""
    bands = sorted(sensor(name).bands, key=lambda band: band.wavelength)
    assert all(0 < band.width < 0.2 * band.wavelength for band in bands)
    for one, other in zip(bands, bands[2:], strict=False):
        # The broad near infrared of Sentinel-2 and the second one of WorldView reach far.
        if {one.name, other.name} & {"B08", "nir2", "nir1"}:
            continue
        assert one.wavelength + one.width / 2 <= other.wavelength - other.width / 2


def test_the_visible_bands_of_all_satellites_agree():
    """Sentinel-2 as the yardstick: colours of others lie within 30 nm of its own."""
    yardstick = {b.colour: b.wavelength for b in sensor("sentinel2-l2a").bands if b.colour}
    for name in OPTICAL:
        for band in sensor(name).bands:
            if band.colour:
                assert abs(band.wavelength - yardstick[band.colour]) <= 30, (name, band.name)


@pytest.mark.parametrize(
    ("name", "frequency"), [("sentinel1", 5.405), ("sar-x", 9.65), ("sar-l", 1.26), ("sar", None)]
)
def test_radar_bands_know_their_frequency(name, frequency):
    assert {band.frequency for band in sensor(name).bands} == {frequency}
