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
    DIGITAL_NUMBER = "digital number"


@dataclass(frozen=True)
class Band:
    """One band of a sensor.

    Attributes:
        name: Name as in the sensor's products, e.g. `B04` or `VV`.
        unit: Unit of the values a chip carries.
        wavelength: Centre wavelength in nm; None for a radar band.
        colour: `red`, `green` or `blue` where the band is one that RGB backbones were trained on.
        polarisation: Transmit and receive polarisation of a radar band, e.g. `VH`.
    """

    name: str
    unit: Unit
    wavelength: float | None = None
    colour: str | None = None
    polarisation: str | None = None

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


def _radar(name: str, unit: Unit, *polarisations: str) -> Sensor:
    return Sensor(name, tuple(Band(p, unit, polarisation=p) for p in polarisations))


def _optical(name: str, unit: Unit, *bands: tuple[str, float, str | None]) -> Sensor:
    return Sensor(name, tuple(Band(n, unit, wavelength=w, colour=c) for n, w, c in bands))


# Centre wavelengths of Sentinel-2A, ESA Sentinel-2 MSI User Guide, spectral resolution table.
_SENTINEL2_L1C = (
    ("B01", 442.7, None),
    ("B02", 492.4, "blue"),
    ("B03", 559.8, "green"),
    ("B04", 664.6, "red"),
    ("B05", 704.1, None),
    ("B06", 740.5, None),
    ("B07", 782.8, None),
    ("B08", 832.8, None),
    ("B8A", 864.7, None),
    ("B09", 945.1, None),
    ("B10", 1373.5, None),
    ("B11", 1613.7, None),
    ("B12", 2202.4, None),
)

_RGB = (("R", 665.0, "red"), ("G", 560.0, "green"), ("B", 490.0, "blue"))

SENSORS: dict[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        _optical("rgb", Unit.DIGITAL_NUMBER, *_RGB),
        _optical("sentinel2-l1c", Unit.REFLECTANCE, *_SENTINEL2_L1C),
        _optical("sentinel2-l2a", Unit.REFLECTANCE, *(b for b in _SENTINEL2_L1C if b[0] != "B10")),
        _radar("sentinel1", Unit.DECIBEL, "VV", "VH", "HH", "HV"),
        _radar("sar", Unit.DECIBEL, "VV", "VH", "HH", "HV"),
        _radar("sar-amplitude", Unit.DIGITAL_NUMBER, "VV", "VH", "HH", "HV"),
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
