"""Recipe section: chips of a packed file."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rsmeta.bands import Band, sensor
from rsmeta.errors import BandError
from rsmeta.recipe.section import Section


class PackedData(Section):
    """Chips of a file that `rsmeta pack` has written."""

    source: Literal["packed"]
    file: Path
    sensor: str = Field(description="Sensor name of rsmeta.bands, that of the packed chips.")
    bands: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Bands of the packed chips in their order; default: all of the sensor.",
    )

    @model_validator(mode="after")
    def _bands_exist(self) -> "PackedData":
        try:
            self.selected_bands  # noqa: B018
        except BandError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def selected_bands(self) -> tuple[Band, ...]:
        """Bands of the chips, in order."""
        return sensor(self.sensor).select(self.bands)
