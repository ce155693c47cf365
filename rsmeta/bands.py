"""Sensors and their bands: names, wavelengths, polarisations and units."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from rsmeta.errors import BandError


class Unit(StrEnum):
    """Physical unit of the values of a band."""

    REFLECTANCE = "reflectance"
    DECIBEL = "dB"
    AMPLITUDE = "amplitude"
    POWER = "power"
    DIGITAL_NUMBER = "digital number"


@dataclass(frozen=True)
class Band:
    """One band of a sensor.

    Attributes:
        name: Name as in the sensor's products, e.g. `B04` or `VV`.
        unit: Unit of the values a chip carries.
        wavelength: Centre wavelength in nm; None for a radar band.
        width: Width in nm at half of the maximum; None for a radar band or where it varies.
        colour: `red`, `green` or `blue` where the band is one that RGB backbones were trained on.
        polarisation: Transmit and receive polarisation of a radar band, e.g. `VH`.
        frequency: Centre frequency of a radar band in GHz, where it is known.
    """

    name: str
    unit: Unit
    wavelength: float | None = None
    width: float | None = None
    colour: str | None = None
    polarisation: str | None = None
    frequency: float | None = None

    @property
    def is_radar(self) -> bool:
        """Whether the band is a radar channel."""
        return self.polarisation is not None


@dataclass(frozen=True)
class Sensor:
    """A named list of bands, in the order of the sensor's products."""

    name: str
    bands: tuple[Band, ...]

    def select(self, names: Sequence[str] | None) -> tuple[Band, ...]:
        """Pick bands by name, in the order asked for.

        Args:
            names: Band names; None for all bands of the sensor.

        Raises:
            BandError: A name is unknown or stands twice.
        """
        if names is None:
            return self.bands
        known = {band.name: band for band in self.bands}
        if len(set(names)) != len(names):
            raise BandError(f"bands {list(names)}: a band stands twice; name each band once")
        for name in names:
            if name not in known:
                raise BandError(
                    f"band '{name}' is not one of sensor '{self.name}'; allowed: {', '.join(known)}"
                )
        return tuple(known[name] for name in names)


_POLARISATIONS = ("VV", "VH", "HH", "HV")

Wave = tuple[str, float, float | None, str | None]
"""Name, centre wavelength and width in nm, and colour of an optical band."""


def _radar(name: str, unit: Unit, frequency: float | None = None) -> Sensor:
    bands = [Band(p, unit, polarisation=p, frequency=frequency) for p in _POLARISATIONS]
    return Sensor(name, tuple(bands))


def _optical(name: str, unit: Unit, *waves: Wave) -> Sensor:
    return Sensor(name, tuple(Band(n, unit, w, width, c) for n, w, width, c in waves))


# Two acquisitions of one place, as in QuakeSet.
_SENTINEL1_PAIR = Sensor(
    "sentinel1-pair",
    tuple(
        Band(f"{polarisation}_{when}", Unit.DECIBEL, polarisation=polarisation, frequency=5.405)
        for when in ("before", "after")
        for polarisation in ("VV", "VH")
    ),
)

# Of Sentinel-2A: ESA, Sentinel-2 MSI User Guide, spectral resolution.
_SENTINEL2_L1C: tuple[Wave, ...] = (
    ("B01", 442.7, 21, None),
    ("B02", 492.4, 66, "blue"),
    ("B03", 559.8, 36, "green"),
    ("B04", 664.6, 31, "red"),
    ("B05", 704.1, 15, None),
    ("B06", 740.5, 15, None),
    ("B07", 782.8, 20, None),
    ("B08", 832.8, 106, None),
    ("B8A", 864.7, 21, None),
    ("B09", 945.1, 20, None),
    ("B10", 1373.5, 31, None),
    ("B11", 1613.7, 91, None),
    ("B12", 2202.4, 175, None),
)
_SENTINEL2_L2A = tuple(wave for wave in _SENTINEL2_L1C if wave[0] != "B10")

# Middle and length of the ranges in USGS, "What are the band designations for the Landsat
# satellites?"; the reflective bands, and the panchromatic one at its native resolution left out.
_LANDSAT5: tuple[Wave, ...] = (
    ("B1", 485, 70, "blue"),
    ("B2", 560, 80, "green"),
    ("B3", 660, 60, "red"),
    ("B4", 830, 140, None),
    ("B5", 1650, 200, None),
    ("B7", 2215, 270, None),
)
_LANDSAT7: tuple[Wave, ...] = (
    ("B1", 485, 70, "blue"),
    ("B2", 560, 80, "green"),
    ("B3", 660, 60, "red"),
    ("B4", 835, 130, None),
    ("B5", 1650, 200, None),
    ("B7", 2215, 270, None),
)
_LANDSAT8: tuple[Wave, ...] = (
    ("B1", 440, 20, None),
    ("B2", 480, 60, "blue"),
    ("B3", 560, 60, "green"),
    ("B4", 655, 30, "red"),
    ("B5", 865, 30, None),
    ("B6", 1610, 80, None),
    ("B7", 2200, 180, None),
    ("B9", 1370, 20, None),
)

# Leica ADS100, one of the cameras of NAIP.
_NAIP: tuple[Wave, ...] = (
    ("R", 635, 32, "red"),
    ("G", 555, 60, "green"),
    ("B", 465, 60, "blue"),
    ("N", 845, 74, None),
)

# PlanetScope SuperDove (PSB.SD): Planet, PlanetScope product specification.
_PLANETSCOPE: tuple[Wave, ...] = (
    ("coastal_blue", 443, 20, None),
    ("blue", 490, 50, "blue"),
    ("green_i", 531, 36, None),
    ("green", 565, 36, "green"),
    ("yellow", 610, 20, None),
    ("red", 665, 31, "red"),
    ("rededge", 705, 15, None),
    ("nir", 865, 40, None),
)

# WorldView-2 and 3, multispectral: middle and length of the ranges in the data sheet.
_WORLDVIEW: tuple[Wave, ...] = (
    ("coastal", 425, 50, None),
    ("blue", 480, 60, "blue"),
    ("green", 545, 70, "green"),
    ("yellow", 605, 40, None),
    ("red", 660, 60, "red"),
    ("rededge", 725, 40, None),
    ("nir1", 832.5, 125, None),
    ("nir2", 950, 180, None),
)

_RGB: tuple[Wave, ...] = (
    ("R", 665, None, "red"),
    ("G", 560, None, "green"),
    ("B", 490, None, "blue"),
)
_NEAR_INFRARED: Wave = ("N", 850, None, None)

SENSORS: dict[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        _optical("rgb", Unit.DIGITAL_NUMBER, *_RGB),
        _optical("rgb-nir", Unit.DIGITAL_NUMBER, *_RGB, _NEAR_INFRARED),
        _optical("sentinel2-l1c", Unit.REFLECTANCE, *_SENTINEL2_L1C),
        _optical("sentinel2-l2a", Unit.REFLECTANCE, *_SENTINEL2_L2A),
        _optical("landsat5", Unit.REFLECTANCE, *_LANDSAT5),
        _optical("landsat7", Unit.REFLECTANCE, *_LANDSAT7),
        _optical("landsat8", Unit.REFLECTANCE, *_LANDSAT8),
        _optical("landsat9", Unit.REFLECTANCE, *_LANDSAT8),
        _optical("naip", Unit.DIGITAL_NUMBER, *_NAIP),
        _optical("planetscope", Unit.REFLECTANCE, *_PLANETSCOPE),
        _optical("worldview", Unit.DIGITAL_NUMBER, *_WORLDVIEW),
        _radar("sentinel1", Unit.DECIBEL, frequency=5.405),
        _SENTINEL1_PAIR,
        _radar("sar", Unit.DECIBEL),
        _radar("sar-x", Unit.DECIBEL, frequency=9.65),
        _radar("sar-c", Unit.DECIBEL, frequency=5.405),
        _radar("sar-l", Unit.DECIBEL, frequency=1.26),
        _radar("sar-amplitude", Unit.AMPLITUDE),
        _radar("sar-power", Unit.POWER),
    )
}


def sensor(name: str) -> Sensor:
    """Look a sensor up by name.

    Raises:
        BandError: The name is unknown.
    """
    if name not in SENSORS:
        near = get_close_matches(name, SENSORS, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise BandError(f"sensor '{name}' is unknown{hint}; allowed: {', '.join(SENSORS)}")
    return SENSORS[name]


class SimulatedSensor(StrEnum):
    """The sensors that the scene simulator renders."""

    OPTICAL = "optical"
    MULTISPECTRAL = "multispectral"
    SAR = "sar"

    @property
    def bands(self) -> tuple[Band, ...]:
        """Bands of the rendered product, in order."""
        if self is SimulatedSensor.OPTICAL:
            return sensor("rgb").bands
        if self is SimulatedSensor.MULTISPECTRAL:
            return sensor("sentinel2-l2a").bands
        return sensor("sar").select(["VV", "VH"])
