"""The page of all sensors, from `rsmeta.bands`."""

from markdown_table import table

from rsmeta.bands import SENSORS, Band, Sensor

_HEAD = """# Sensors

What `data.sensor` may be, with the bands in the order of the sensor's products. This page is made
from `rsmeta/bands.py`, which names the source of each number. The unit is what chips carry once
`data.units` has converted them. Wavelengths decide how kernels of other bands are made, see
[Methods](../methods.md#kernels-for-other-bands).

"""


def sensors_page() -> str:
    """The page in Markdown."""
    return _HEAD + "\n".join(map(_sensor, SENSORS.values()))


def _sensor(sensor: Sensor) -> str:
    radar = all(band.is_radar for band in sensor.bands)
    head = (
        ["band", "polarisation", "frequency in GHz", "unit"]
        if radar
        else ["band", "wavelength in nm", "width in nm", "colour", "unit"]
    )
    rows = [_radar(band) if radar else _optical(band) for band in sensor.bands]
    return f"## {sensor.name}\n\n{table(head, rows)}\n"


def _radar(band: Band) -> list[str]:
    return [f"`{band.name}`", band.polarisation or "", _number(band.frequency), band.unit.value]


def _optical(band: Band) -> list[str]:
    numbers = [_number(band.wavelength), _number(band.width)]
    return [f"`{band.name}`", *numbers, band.colour or "", band.unit.value]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
