"""Bands of scenes as the calls take them."""

from collections.abc import Mapping, Sequence

from rsmeta.scenes import parse_bands
from rsmeta.scenes.inputs import BandNames, BandPlaces

Bands = str | Sequence[str] | Mapping[str, str] | None
"""Names in file order, or of each its file or STAC asset; a text is read as that of `--bands`."""


def named_bands(bands: Bands) -> BandNames | BandPlaces | None:
    """Bands as `rsmeta.scenes.scene_sources` takes them."""
    if isinstance(bands, str):
        return parse_bands([bands])
    return bands if bands is None or isinstance(bands, Mapping) else tuple(bands)
