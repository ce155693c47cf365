"""What is suspicious about the values of a band."""

from collections.abc import Callable, Sequence

from rsmeta.bands import Unit
from rsmeta.data.statistics import BandSummary

_LARGEST_REFLECTANCE = 10.0
"""Of an ordinary pixel: clouds and glint reach 1 to 2, digital numbers count in thousands."""

_LARGEST_DECIBELS = 100.0
"""Of nearly all pixels: uncalibrated products in dB stay below 20 log10(65535) = 96."""

_SMALLEST_DECIBELS = 2.0
"""Of an ordinary pixel in a product whose dB are never negative."""


def band_problems(summaries: Sequence[BandSummary]) -> list[str]:
    """Bands that are empty, constant, or cannot be in the unit they are said to be in.

    Returns:
        One line for each such band, with what to do.
    """
    found = [_problem(summary) for summary in summaries]
    return [
        f"band '{summary.band.name}' {problem}"
        for summary, problem in zip(summaries, found, strict=True)
        if problem is not None
    ]


def _problem(summary: BandSummary) -> str | None:
    if summary.nodata == 1:
        return "has no valid pixel in any training chip"
    if not summary.std > 0:
        return "is constant over all training chips"
    return _UNIT_CHECKS[summary.band.unit](summary)


def _reflectance(summary: BandSummary) -> str | None:
    if summary.median <= _LARGEST_REFLECTANCE:
        return None
    return (
        f"is to be in reflectance but has the median {summary.median:.4g}: it looks like digital "
        "numbers; set data.units.scale"
    )


def _decibel(summary: BandSummary) -> str | None:
    plausible = summary.median >= _SMALLEST_DECIBELS and summary.high <= _LARGEST_DECIBELS
    if summary.minimum < 0 or plausible:
        return None
    return (
        f"is to be in dB but has no negative value and the median {summary.median:.4g}: it looks "
        "like linear amplitude or power; set data.units.to_db"
    )


def _linear(summary: BandSummary) -> str | None:
    if summary.minimum >= 0:
        return None
    return (
        f"is to be in {summary.band.unit.value} but has the negative value {summary.minimum:.4g}: "
        "it looks like dB; set data.sensor to one that carries dB, such as sar"
    )


def _anything(summary: BandSummary) -> str | None:
    return None


_UNIT_CHECKS: dict[Unit, Callable[[BandSummary], str | None]] = {
    Unit.REFLECTANCE: _reflectance,
    Unit.DECIBEL: _decibel,
    Unit.AMPLITUDE: _linear,
    Unit.POWER: _linear,
    Unit.DIGITAL_NUMBER: _anything,
}
