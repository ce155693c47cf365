"""Recipe section: chips of a packed file."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from rsmeta.recipe.chips import SensorChips


class PackedData(SensorChips):
    """Chips of a file that `rsmeta pack` has written, with sensor, bands and units of its recipe.

    Packed chips are converted already; `units` is for the scenes to predict.
    """

    source: Literal["packed"]
    file: Path = Field(description="The file.")
