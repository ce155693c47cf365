"""From the values that files hold to the units of the bands: one function for chips and scenes."""

import numpy as np
from numpy.typing import NDArray

from rsmeta.data.chips import ChipSet, WrappedChips
from rsmeta.recipe import Scaling, ToDecibel

_FACTORS = {"amplitude": 20, "power": 10}


def convert_units(
    values: NDArray[np.float32], units: ToDecibel | Scaling | None
) -> NDArray[np.float32]:
    """Convert values of a file as a recipe says.

    Args:
        values: Any shape; NaN where there is no data, which stays.
        units: The recipe's section; None to leave values as they are.

    Returns:
        Decibels, 10 log10 of power and 20 log10 of amplitude, NaN where a value is not positive; or
        reflectance, (value + offset) * scale.
    """
    if units is None:
        return values
    if isinstance(units, Scaling):
        return (values + np.float32(units.offset)) * np.float32(units.scale)
    positive = values > 0
    decibels = np.full_like(values, np.nan)
    np.log10(values, out=decibels, where=positive)
    return decibels * np.float32(_FACTORS[units.to_db])


class ConvertedChips(WrappedChips):
    """Chips of another set in other units.

    Args:
        chips: The other set, as files hold it.
        units: The recipe's section.
    """

    def __init__(self, chips: ChipSet, units: ToDecibel | Scaling) -> None:
        super().__init__(chips)
        self._units = units

    def read(self, index: int) -> NDArray[np.float32]:
        """The chip; see `ChipSet.read`."""
        return convert_units(self._chips.read(index), self._units)
