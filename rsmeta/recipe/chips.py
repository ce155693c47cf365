"""Recipe keys that every source of chips has."""

from typing import Literal

from pydantic import Field

from rsmeta.recipe.section import Section

Clip = Literal["none", "percentiles"]
OnError = Literal["stop", "skip"]


class ChipOptions(Section):
    """What is done with values far out and with chips that cannot be used."""

    clip: Clip = Field(
        default="none",
        description="percentiles: values of each band are clipped to its 2nd and 98th percentile "
        "over the training chips, before they are normalised, in training and prediction alike.",
    )
    on_error: OnError = Field(
        default="stop",
        description="Chips that cannot be used: stop, naming each; or skip them and list them in "
        "skipped.csv of the run.",
    )
