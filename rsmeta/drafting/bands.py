"""Which bands files have and in which unit their values seem to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rsmeta.band_names import find_bands, known_band
from rsmeta.bands import SENSORS, Band, Unit, sensor
from rsmeta.data.band_checks import band_problems
from rsmeta.data.statistics import BandSummary
from rsmeta.errors import DataError

_EIGHT_BIT = 255


@dataclass(frozen=True)
class Suggestion:
    """The `units` section that values seem to need.

    Attributes:
        values: The section.
        why: What was seen, and what to check.
    """

    values: dict[str, Any]
    why: str


def fitting_sensors(descriptions: Sequence[str]) -> list[str]:
    """Sensors that a raster may be from, by the names of its bands, or else by their number."""
    named = [
        name
        for name, known in SENSORS.items()
        if all(descriptions) and _named(descriptions, known.bands) is not None
    ]
    alike = [name for name, known in SENSORS.items() if len(known.bands) == len(descriptions)]
    return named or alike


def choose_bands(
    sensor_name: str, descriptions: Sequence[str], names: Sequence[str] | None
) -> tuple[Band, ...]:
    """Bands of files, in file order.

    Args:
        sensor_name: Name of the sensor.
        descriptions: What the files call their data bands; empty where they do not.
        names: Names given by the user; None to find them.

    Raises:
        BandError: The sensor or a name is unknown.
        DataError: The bands are not told apart, or their number is not that of the files.
    """
    known = sensor(sensor_name)
    count = len(descriptions)
    if names is not None:
        bands = known.select(names)
        if len(bands) != count:
            raise DataError(f"{len(bands)} bands are named, the files have {count}; name each once")
        return bands
    found = _named(descriptions, known.bands) if all(descriptions) else None
    if found is not None:
        return found
    if len(known.bands) == count:
        return known.bands
    raise DataError(
        f"the files have {count} band(s), sensor '{sensor_name}' has {len(known.bands)}: name "
        f"those of the files with --bands, in file order, out of "
        f"{', '.join(band.name for band in known.bands)}"
    )


def _named(descriptions: Sequence[str], bands: Sequence[Band]) -> tuple[Band, ...] | None:
    """The band that each description names; None if one names none, or two name the same."""
    found = []
    for description in descriptions:
        name = known_band(description) or description
        matching = [band for band in bands if find_bands([name], [band.name]) is not None]
        if len(matching) != 1:
            return None
        found.append(matching[0])
    return tuple(found) if len(set(found)) == len(found) else None


def suggest_units(summaries: Sequence[BandSummary]) -> Suggestion | None:
    """The conversion that values seem to need to be in the units of their bands.

    Args:
        summaries: What the files hold, as read.

    Returns:
        A suggestion; None where the values can be in these units already.

    Raises:
        DataError: No conversion helps.
    """
    problems = band_problems(summaries)
    if not problems:
        return None
    units = {summary.band.unit for summary in summaries}
    largest = max(summary.high for summary in summaries)
    if units == {Unit.REFLECTANCE} and all("data.units.scale" in line for line in problems):
        scale = 1 / _EIGHT_BIT if largest <= _EIGHT_BIT else 1e-4
        return Suggestion(
            {"scale": round(scale, 8), "offset": 0.0},
            f"the values reach {largest:.4g}, so they look like digital numbers; check the scale, "
            "and set offset -1000 for Sentinel-2 of baseline 04.00 and later",
        )
    if units == {Unit.DECIBEL} and all("data.units.to_db" in line for line in problems):
        return Suggestion(
            {"to_db": "amplitude"},
            f"no value is negative and they reach {largest:.4g}, so they look linear; check "
            "whether they are amplitude or power",
        )
    raise DataError("\n".join(problems))
