"""What files call their bands, and which of them are the bands that a model wants."""

import re
from collections.abc import Sequence

from rsmeta.bands import SENSORS

_CODE = re.compile(r"b0*(\d+a?)")
_CODES = re.compile(r"b\d+a?|vv|vh|hh|hv")


def _normalised(name: str) -> str:
    """Lower case, without the zeros that some products pad a number with: `B04` is `b4`."""
    plain = name.strip().casefold()
    code = _CODE.fullmatch(plain)
    return plain if code is None else f"b{code[1]}"


_ALL_BANDS = [band for sensor in SENSORS.values() for band in sensor.bands]
_KNOWN = frozenset(_normalised(band.name) for band in _ALL_BANDS) | {"red", "green", "blue"}


def _colours() -> dict[str, str]:
    """Colour of each name that has the same one in all sensors: `b2` is green or blue, so none."""
    meanings: dict[str, set[str | None]] = {}
    for band in _ALL_BANDS:
        meanings.setdefault(band.name.casefold(), set()).add(band.colour)
    only = {name: next(iter(found)) for name, found in meanings.items() if len(found) == 1}
    return {name: colour for name, colour in only.items() if colour is not None}


_COLOURS = {colour: colour for colour in ("red", "green", "blue")} | _colours()


def known_band(description: str) -> str | None:
    """Normalised name of the sensor band that a description names, e.g. `Gamma0_VV`: `vv`.

    A description names a band if it is its name, or if exactly one of its words is a number code
    (`B04, central wavelength 665 nm`) or a polarisation.
    """
    whole = _normalised(description)
    if whole in _KNOWN:
        return whole
    words = {_normalised(word) for word in re.findall(r"[a-z0-9]+", whole)}
    codes = [word for word in words & _KNOWN if _CODES.fullmatch(word)]
    return codes[0] if len(codes) == 1 else None


def colour(name: str) -> str | None:
    """`red`, `green` or `blue` where the name says so whatever the sensor is, else None."""
    return _COLOURS.get(name.strip().casefold())


def same_band(description: str, wanted: str) -> bool:
    """Whether a description names the wanted band, or its colour."""
    by_name = _normalised(wanted) in (known_band(description), _normalised(description))
    return by_name or (colour(wanted) is not None and colour(description) == colour(wanted))


def find_bands(descriptions: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...] | None:
    """Positions of the wanted bands among descriptions; None where not each is there once.

    A name that agrees (in upper or lower case) goes before a colour that does.
    """
    places = _places(descriptions, wanted)
    found = [place[0] for place in places if len(place) == 1]
    complete = len(found) == len(places) and len(set(found)) == len(found)
    return tuple(found) if complete else None


def find_some_bands(
    descriptions: Sequence[str], wanted: Sequence[str]
) -> tuple[int | None, ...] | None:
    """Positions of the wanted bands, None for those that are missing.

    Or None instead of all, where none is there or one is there twice.
    """
    places = _places(descriptions, wanted)
    found = [place[0] for place in places if place]
    once = all(len(place) <= 1 for place in places) and len(set(found)) == len(found)
    return tuple(place[0] if place else None for place in places) if found and once else None


def _places(descriptions: Sequence[str], wanted: Sequence[str]) -> list[list[int]]:
    """All positions of each wanted band."""
    plain = [_normalised(text) for text in descriptions]
    known = [known_band(text) or own for text, own in zip(descriptions, plain, strict=True)]
    by_whole, by_known = _positions(plain), _positions(known)
    by_colour = _positions([colour(text) for text in descriptions])

    def places(want: str) -> list[int]:
        # What no sensor has is told by the whole name alone.
        name = _normalised(want)
        by_name = (by_known if name in _KNOWN else by_whole).get(name, [])
        if by_name or colour(want) is None:
            return by_name
        return by_colour.get(colour(want), [])

    return [places(want) for want in wanted]


def _positions(texts: Sequence[str | None]) -> dict[str | None, list[int]]:
    """All positions of each text."""
    found: dict[str | None, list[int]] = {}
    for place, text in enumerate(texts):
        found.setdefault(text, []).append(place)
    return found


def contradicts(descriptions: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a description proves that the bands are not the wanted ones in this order.

    It does where it names another one of the wanted bands, or where it and the wanted name are
    those of two bands of known sensors.
    """
    others = {_normalised(want) for want in wanted}

    def comparable(text: str, want: str) -> bool:
        both = known_band(text) is not None and _normalised(want) in _KNOWN
        return both or _normalised(text) in others

    pairs = zip(descriptions, wanted, strict=False)
    return any(comparable(text, want) and not same_band(text, want) for text, want in pairs)
