"""Recipe sections: chips, their augmentation and the groups of their classes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rsmeta.bands import Band, SimulatedSensor, sensor
from rsmeta.errors import BandError
from rsmeta.recipe.section import Section


class SimulatorData(Section):
    """Simulated chips with exponentially long-tailed training counts."""

    source: Literal["simulator"] = "simulator"
    sensor: SimulatedSensor = SimulatedSensor.SAR
    crop: int = Field(default=64, ge=16, le=96, description="Side of a chip in pixels.")
    largest_class: int = Field(default=200, ge=1, description="Training chips of the first class.")
    imbalance: float = Field(default=50.0, ge=1, description="Largest count over smallest.")
    test_per_class: int = Field(default=40, ge=1)
    looks: float = Field(default=3.0, gt=0, description="Number of looks of the simulated SAR.")

    @property
    def selected_bands(self) -> tuple[Band, ...]:
        """Bands of the chips, in order."""
        return self.sensor.bands


class _ChipFiles(Section):
    sensor: str = Field(description="Sensor name of rsmeta.bands, e.g. sentinel1 or rgb.")
    bands: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Bands of the chips in file order; default: all of the sensor.",
    )
    crop: int | None = Field(
        default=None, ge=8, description="Centre crop in pixels; default: the whole chip."
    )
    classes: list[str] | None = Field(
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
    def _bands_exist(self) -> "_ChipFiles":
        try:
            self.selected_bands  # noqa: B018
        except BandError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _largest_needs_imbalance(self) -> "_ChipFiles":
        if self.largest_class is not None and self.imbalance is None:
            raise ValueError("largest_class has no effect without imbalance; set both or neither")
        return self

    @property
    def selected_bands(self) -> tuple[Band, ...]:
        """Bands of the chips, in order."""
        return sensor(self.sensor).select(self.bands)


class FolderData(_ChipFiles):
    """Chips in folders: ROOT/train/CLASS/*.tif and ROOT/test/CLASS/*.tif."""

    source: Literal["folder"]
    root: Path
    train_split: str = "train"
    test_split: str = "test"


class TableData(_ChipFiles):
    """Chips listed in a CSV or Parquet table."""

    source: Literal["table"]
    file: Path = Field(description="Table; chip paths are relative to its folder.")
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"
    train_split: str = "train"
    test_split: str = "test"
    train_flag: str | None = Field(
        default=None, description="Column; only training rows where it is true (1) are used."
    )


Data = Annotated[SimulatorData | FolderData | TableData, Field(discriminator="source")]


GeometryName = Literal["none", "flips", "d4"]


class Augmentation(Section):
    """Random changes to training chips."""

    geometry: GeometryName = Field(
        default="none",
        description="none; flips; d4: flips and quarter turns. All change the look direction of "
        "a SAR chip.",
    )
    band_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Probability with which each whole band of a training chip becomes the "
        "training mean, but never all: makes bands that are missing at prediction safe.",
    )


class LongTail(Section):
    """Which classes count as head, medium and tail, by their training chips.

    The defaults are those of ImageNet-LT (Liu et al. 2019).
    """

    head_above: int = Field(default=100, ge=0, description="Head classes have more chips.")
    tail_below: int = Field(default=20, ge=0, description="Tail classes have fewer chips.")

    @model_validator(mode="after")
    def _ordered(self) -> "LongTail":
        if self.tail_below > self.head_above + 1:
            raise ValueError(
                f"tail_below {self.tail_below} is above head_above {self.head_above}: a class "
                "could be both; make tail_below the smaller"
            )
        return self
