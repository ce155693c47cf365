"""Pictures of what sensors measure: true colours, or one band in grey; radar in decibels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rsmeta.band_names import colour, known_band

_PERCENTILES = (2, 98)
_POLARISATIONS = frozenset({"vv", "vh", "hh", "hv"})


def shown_bands(names: Sequence[str]) -> list[int]:
    """Positions of the bands to show: red, green and blue, else the first there is.

    Args:
        names: Names of the bands there are.
    """
    by_colour = {colour(name): place for place, name in enumerate(names)}
    tinted = [by_colour[c] for c in ("red", "green", "blue") if c in by_colour]
    if len(tinted) < 3 and {"B04", "B03", "B02"} <= set(names):
        tinted = [list(names).index(name) for name in ("B04", "B03", "B02")]
    return tinted if len(tinted) == 3 else list(range(len(names)))[:1]


def look(values: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.uint8]:
    """A picture, each band stretched between its 2nd and its 98th percentile.

    Args:
        values: The bands to show, one or three, (bands, rows, columns); NaN without data.
        names: Their names.

    Returns:
        Red, green, blue and opacity, (rows, columns, 4).
    """
    if names and all(known_band(name) in _POLARISATIONS for name in names):
        values = _decibels(values)
    seen = np.isfinite(values).all(axis=0)
    picture = np.zeros((*values.shape[1:], 4), dtype=np.uint8)
    if not seen.any():
        return picture
    for channel in range(3):
        band = values[channel % len(values)]
        low, high = np.percentile(band[seen], _PERCENTILES)
        stretched = (band - low) / max(high - low, np.finfo(np.float32).tiny)
        picture[..., channel] = np.nan_to_num(255 * np.clip(stretched, 0, 1))
    picture[..., 3] = 255 * seen
    return picture


def _decibels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decibels of linear values; what has negative values is in decibels already."""
    if not np.nanmin(values, initial=0) >= 0:
        return values
    found = np.full_like(values, np.nan)
    np.log10(values, out=found, where=values > 0)
    return 10 * found
