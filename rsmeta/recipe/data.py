"""Recipe sections: chips, their augmentation and the groups of their classes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rsmeta.bands import Band, SimulatedSensor
from rsmeta.recipe.chips import ChipFileOptions, ChipOptions
from rsmeta.recipe.section import Section


class SimulatorData(ChipOptions):
    """Simulated chips with exponentially long-tailed training counts."""

    source: Literal["simulator"] = "simulator"
    sensor: SimulatedSensor = Field(
        default=SimulatedSensor.SAR,
        description="What to render: rgb, Sentinel-2 L2A, or VV and VH.",
    )
    crop: int = Field(default=64, ge=16, le=96, description="Side of a chip in pixels.")
    largest_class: int = Field(default=200, ge=1, description="Training chips of the first class.")
    imbalance: float = Field(default=50.0, ge=1, description="Largest count over smallest.")
    test_per_class: int = Field(default=40, ge=1, description="Test chips of each class.")
    looks: float = Field(default=3.0, gt=0, description="Number of looks of the simulated SAR.")

    @property
    def selected_bands(self) -> tuple[Band, ...]:
        """Bands of the chips, in order."""
        return self.sensor.bands

    @property
    def units(self) -> None:
        """Simulated chips need no conversion."""
        return None


class FolderData(ChipFileOptions):
    """Chips in folders: ROOT/train/CLASS/*.tif and ROOT/test/CLASS/*.tif."""

    source: Literal["folder"]
    root: Path = Field(description="The folder.")
    train_split: str = Field(default="train", description="Folder of the training chips in it.")
    test_split: str = Field(default="test", description="Folder of the test chips in it.")


class TableData(ChipFileOptions):
    """Chips listed in a CSV or Parquet table."""

    source: Literal["table"]
    file: Path = Field(description="Table; chip paths are relative to its folder.")
    path_column: str = Field(default="path", description="Column of the chip's path.")
    label_column: str = Field(default="label", description="Column of the class.")
    split_column: str = Field(default="split", description="Column of training or test.")
    train_split: str = Field(default="train", description="What it holds for a training chip.")
    test_split: str = Field(default="test", description="What it holds for a test chip.")
    train_flag: str | None = Field(
        default=None, description="Column; only training rows where it is true (1) are used."
    )


GeometryName = Literal["none", "flips", "quarter_turns", "d4"]
RadiometryName = Literal["none", "sar", "optical"]


class Augmentation(Section):
    """Random changes to training chips, of the inner and of the outer loop alike."""

    geometry: GeometryName = Field(
        default="none",
        description="none; flips: along rows, columns or both; quarter_turns; d4: both. All change "
        "the look direction of a SAR chip: shadow and layover then point where the sensor, which "
        "looks to one side of its track, never puts them.",
    )
    band_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Probability with which each whole band of a training chip becomes the "
        "training mean, but never all: makes bands that are missing at prediction safe.",
    )
    crop_scale: tuple[float, float] | None = Field(
        default=None,
        description="Least and largest share of a chip's area that a random crop keeps, e.g. "
        "[0.6, 1.0]; the crop has the chip's proportions and is resized as the chip would be.",
    )
    radiometry: RadiometryName = Field(
        default="none",
        description="sar: a random gain and speckle, in power; optical: a random gain and offset "
        "in units of the training standard deviation. For each band of each chip.",
    )
    speckle_looks: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="With sar: looks of the added speckle, whose relative standard deviation in "
        "power is looks ** -0.5; default: 10.",
    )
    gain_decibels: float | None = Field(
        default=None, ge=0, description="With sar: largest gain in dB, up or down; default: 1."
    )
    jitter: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="With optical: largest relative gain, up or down, and largest offset; "
        "default: 0.1.",
    )

    @model_validator(mode="after")
    def _crop_is_a_range(self) -> "Augmentation":
        if self.crop_scale is not None:
            least, largest = self.crop_scale
            if not 0 < least <= largest <= 1:
                raise ValueError(
                    f"crop_scale [{least}, {largest}] is no range of shares; give two numbers "
                    "above 0 and up to 1, the smaller first"
                )
        return self

    @model_validator(mode="after")
    def _settings_have_an_effect(self) -> "Augmentation":
        needs = {"speckle_looks": "sar", "gain_decibels": "sar", "jitter": "optical"}
        for name, radiometry in needs.items():
            if getattr(self, name) is not None and self.radiometry != radiometry:
                raise ValueError(
                    f"{name} has no effect without radiometry {radiometry}; set both or neither"
                )
        return self

    @property
    def changes(self) -> list[str]:
        """Keys of the changes that are made, each a function of the epoch."""
        made = {
            "geometry": self.geometry != "none",
            "crop_scale": self.crop_scale is not None,
            "radiometry": self.radiometry != "none",
            "band_dropout": self.band_dropout > 0,
        }
        return [name for name, is_made in made.items() if is_made]


class LongTail(Section):
    """Which classes count as head, medium and tail, by their training chips.

    The defaults are those of ImageNet-LT (Liu et al. 2019).
    """

    by: Literal["counts"] = "counts"
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


class GroupFile(Section):
    """Which classes count as head, medium and tail, from a file."""

    by: Literal["file"]
    file: Path = Field(
        description="CSV with the columns class and group (head, medium or tail); or YAML with the "
        "lists many_classes, med_classes and few_classes, as in the paper's code."
    )


ClassGroups = Annotated[LongTail | GroupFile, Field(discriminator="by")]
