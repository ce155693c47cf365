"""Recipe keys that sources of chips have in common."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from rsmeta.bands import Band, sensor
from rsmeta.errors import BandError
from rsmeta.recipe.section import Section
from rsmeta.recipe.units import Units

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


class SensorChips(ChipOptions):
    """Chips of a sensor, by its bands and by what their values mean."""

    sensor: str = Field(description="Sensor name of rsmeta.bands, e.g. sentinel1 or rgb.")
    bands: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Bands of the chips in their order; default: all of the sensor.",
    )
    units: Units | None = Field(
        default=None,
        description="Conversion of the values in files, and in scenes to predict, to dB or "
        "reflectance; default: they are in the unit of the sensor already.",
    )

    @model_validator(mode="after")
    def _bands_exist(self) -> "SensorChips":
        try:
            self.selected_bands  # noqa: B018
        except BandError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def selected_bands(self) -> tuple[Band, ...]:
        """Bands of the chips, in order, with their units after the conversion."""
        bands = sensor(self.sensor).select(self.bands)
        units = self.units
        return bands if units is None else tuple(units.converted(band) for band in bands)


def each_class_once(classes: list[str] | None) -> list[str] | None:
    """Check that no class stands twice: chips would get the number of the last one.

    Raises:
        ValueError: One does.
    """
    if classes is not None and len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f"class '{twice}' stands twice; name each class once")
    return classes


Classes = Annotated[list[str] | None, AfterValidator(each_class_once)]


class ChipFileOptions(SensorChips):
    """Chips that stand alone, of listed classes, from which a long tail may be drawn."""

    crop: int | None = Field(
        default=None, ge=8, description="Centre crop in pixels; default: the whole chip."
    )
    classes: Classes = Field(
        default=None, description="Class names in order; default: those of the training labels."
    )
    imbalance: float | None = Field(
        default=None,
        ge=1,
        description="Draw an exponential long tail from the training chips: largest class count "
        "over smallest; the seed draws which classes are frequent. Default: all chips.",
    )
    largest_class: int | None = Field(
        default=None,
        ge=1,
        description="With imbalance: chips of the most frequent class; default: as many as can be.",
    )

    @model_validator(mode="after")
    def _largest_needs_imbalance(self) -> "ChipFileOptions":
        if self.largest_class is not None and self.imbalance is None:
            raise ValueError("largest_class has no effect without imbalance; set both or neither")
        return self
