"""The classes of a map: their values, names and colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmeta.class_names import unprintable
from rsmeta.errors import SceneError
from rsmeta.palette import class_colours
from rsmeta.scenes.blend import NO_CLASS, UNCLASSIFIED

UNKNOWN = "unknown"
"""Name of the class of what the model is not confident about."""

_UNKNOWN_COLOUR = (64, 64, 64)
_LARGEST = 65_534


@dataclass(frozen=True)
class Legend:
    """What the values of a class map mean.

    Attributes:
        classes: Class names of the model; their indexes are the values.
        minimum_confidence: Least confidence of a class, below which the value is that of
            `unknown`; None for no such class.
    """

    classes: tuple[str, ...]
    minimum_confidence: float | None = None

    def __post_init__(self) -> None:
        for name in self.classes:
            character = unprintable(name)
            if character is not None:
                raise SceneError(
                    f"the model has a class {name!r} with the character {character}, which no "
                    "legend can show; rename the class and train again"
                )
        if self.minimum_confidence is not None and UNKNOWN in self.classes:
            raise SceneError(
                f"the model has a class '{UNKNOWN}' of its own, which --min-confidence would be "
                "mixed up with; leave that option out, or rename the class and train again"
            )
        if len(self.names) > _LARGEST:
            raise SceneError(
                f"the model has {len(self.classes)} classes; a class map of 16 bits holds at most "
                f"{_LARGEST}: merge classes"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each value: the classes, and `unknown` where it can occur."""
        return self.classes if self.minimum_confidence is None else (*self.classes, UNKNOWN)

    @property
    def colours(self) -> list[tuple[int, int, int]]:
        """Colour of each value; red, green and blue in 0..255."""
        own = class_colours(len(self.classes))
        return own if self.minimum_confidence is None else [*own, _UNKNOWN_COLOUR]

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The smaller of uint8 and uint16 that holds all values and that of no class."""
        return np.dtype(np.uint8 if len(self.names) <= NO_CLASS else np.uint16)

    @property
    def no_class(self) -> int:
        """Value of what has no class, the map's nodata: 255 or 65535."""
        return int(np.iinfo(self.dtype).max)

    def values(
        self, classes: NDArray[np.uint16], confidence: NDArray[np.float32]
    ) -> NDArray[np.unsignedinteger[Any]]:
        """Turn class indexes, `UNCLASSIFIED` for none, into values of the map."""
        values = np.where(classes == UNCLASSIFIED, self.no_class, classes).astype(self.dtype)
        if self.minimum_confidence is not None:
            unsure = (classes != UNCLASSIFIED) & (confidence < self.minimum_confidence)
            values[unsure] = len(self.classes)
        return values


def hex_colour(colour: Sequence[int]) -> str:
    """Red, green and blue in 0..255 as six hexadecimal digits."""
    return "".join(f"{part:02X}" for part in colour)
