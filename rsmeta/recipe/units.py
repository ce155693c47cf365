"""Recipe section: how the values of chip files and scenes become the units of the bands.

The conversion comes after what a file itself declares (nodata, scale and offset of GDAL). It is the
same for training chips and for scenes to predict, see `rsmeta.data.units`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from rsmeta.bands import Band, Unit
from rsmeta.errors import BandError
from rsmeta.recipe.section import Section


class ToDecibel(Section):
    """Linear radar values in files: 20 log10 of an amplitude, 10 log10 of a power."""

    to_db: Literal["amplitude", "power"] = Field(
        description="What the files hold; zero and negative values are no data."
    )

    def converted(self, band: Band) -> Band:
        """The band with its unit after the conversion.

        Raises:
            BandError: The band is optical, or its sensor carries the other linear unit.
        """
        if not band.is_radar:
            raise BandError(
                f"units.to_db is for radar bands; band '{band.name}' is optical: leave it out, or "
                "set units.scale if the files hold digital numbers"
            )
        other = {"amplitude": Unit.POWER, "power": Unit.AMPLITUDE}[self.to_db]
        if band.unit is other:
            raise BandError(
                f"units.to_db '{self.to_db}' does not fit band '{band.name}', whose sensor carries "
                f"{other.value}; change one of the two"
            )
        return replace(band, unit=Unit.DECIBEL)


class Scaling(Section):
    """Digital numbers of optical bands in files: reflectance = (number + offset) * scale.

    Sentinel-2 products of processing baseline 04.00 and later (from 25 January 2022) carry an
    additive offset: reflectance = (number - 1000) / 10000, so scale 0.0001 and offset -1000 (ESA,
    Sentinel-2 Products Specification Document, BOA_ADD_OFFSET and RADIO_ADD_OFFSET). Older ones,
    and collections that were harmonised to them, have the offset 0. It is never guessed.
    """

    scale: float = Field(gt=0, allow_inf_nan=False, description="Reflectance of one number.")
    offset: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="Added to the numbers first; -1000 for Sentinel-2 baseline 04.00 and later.",
    )

    def converted(self, band: Band) -> Band:
        """The band with its unit after the conversion.

        Raises:
            BandError: The band is a radar channel.
        """
        if band.is_radar:
            raise BandError(
                f"units.scale is for optical bands; band '{band.name}' is a radar channel "
                f"({band.unit.value}): leave it out, or set units.to_db if the files are linear"
            )
        return replace(band, unit=Unit.REFLECTANCE)


def _variant(values: Any) -> str | None:
    """Name of the section that values, or a section, stand for."""
    if isinstance(values, Section):
        return type(values).__name__
    if not isinstance(values, Mapping):
        return None
    if "to_db" in values:
        return ToDecibel.__name__
    return Scaling.__name__ if {"scale", "offset"} & set(values) else None


Units = Annotated[
    Annotated[ToDecibel, Tag(ToDecibel.__name__)] | Annotated[Scaling, Tag(Scaling.__name__)],
    Discriminator(
        _variant,
        custom_error_type="units",
        custom_error_message="give {to_db: amplitude} or {to_db: power} for radar bands, or "
        "{scale: ..., offset: ...} for optical ones",
    ),
]
