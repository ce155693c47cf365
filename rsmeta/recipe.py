"""The recipe: everything that decides a fine-tuning run, typed and checked before it starts."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rsmeta.bands import Band, SimulatedSensor, sensor
from rsmeta.errors import BandError

_LAST_BLOCKS = re.compile(r"last:[1-9][0-9]*")


class Section(BaseModel):
    """Base of all sections: immutable, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _default_variants(cls, values: Any) -> Any:
        """A section that does not say which variant it is means the default one."""
        if not isinstance(values, dict):
            return values
        tags = {}
        for name, field in cls.model_fields.items():
            tag, section = field.discriminator, values.get(name)
            missing = isinstance(section, dict) and tag not in section
            if isinstance(tag, str) and isinstance(field.default, Section) and missing:
                tags[name] = {tag: getattr(field.default, tag), **values[name]}
        return values | tags


# --- data -----------------------------------------------------------------------------------------


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

    @model_validator(mode="after")
    def _bands_exist(self) -> "_ChipFiles":
        try:
            self.selected_bands  # noqa: B018
        except BandError as error:
            raise ValueError(str(error)) from error
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


# --- model ----------------------------------------------------------------------------------------


class BackboneConfig(Section):
    """The pretrained vision transformer."""

    name: str = Field(
        default="embedded",
        description="embedded | timm:ARCHITECTURE | torchgeo:WEIGHTS",
        examples=["embedded", "timm:vit_base_patch16_224.augreg_in21k"],
    )
    file: Path | None = Field(
        default=None, description="Weights in timm's layout, instead of a download."
    )
    image_size: int = Field(
        default=64, gt=0, description="Chips are resized to this side in pixels."
    )


class LinearProbe(Section):
    """Only the head is trained."""

    method: Literal["linear_probe"]


class Position(StrEnum):
    """Linear layers of a transformer block that an adapter may sit at."""

    Q = "q"
    K = "k"
    V = "v"
    OUT = "out"
    FC1 = "fc1"
    FC2 = "fc2"


BlockSelection = str | list[int]
"""`all`, `last:N`, or block indexes counted from the input."""


class AdditiveMethod(Section):
    """Methods that add gamma * adapter(x) at sites: one modulator per block and position."""

    blocks: BlockSelection = Field(default="all", description="all | [3, 4, 5] | last:4")
    modulators: Literal["fixed", "learned"] = Field(
        default="learned", description="learned: MetaPEFT, by the outer loop; fixed: plain PEFT."
    )
    gamma: float = Field(default=1.0, gt=0, description="Value of all modulators at the start.")

    @field_validator("blocks", mode="before")
    @classmethod
    def _known_blocks(cls, blocks: Any) -> Any:
        named = isinstance(blocks, str) and (blocks == "all" or _LAST_BLOCKS.fullmatch(blocks))
        listed = isinstance(blocks, list) and all(type(b) is int and b >= 0 for b in blocks)
        if not named and not (listed and blocks and len(set(blocks)) == len(blocks)):
            raise ValueError("allowed: all, last:N or a list of block indexes >= 0, each once")
        return blocks


class Lora(AdditiveMethod):
    """Low-rank adaptation (Hu et al. 2021)."""

    method: Literal["lora"] = "lora"
    positions: list[Position] = Field(default=list(Position), min_length=1)
    rank: int = Field(default=8, ge=1)
    alpha: float | None = Field(default=None, gt=0, description="Default: the rank.")

    @field_validator("positions")
    @classmethod
    def _once(cls, positions: list[Position]) -> list[Position]:
        if len(set(positions)) != len(positions):
            raise ValueError("a position stands twice; name each position once")
        return positions


Peft = Annotated[LinearProbe | Lora, Field(discriminator="method")]


class Head(Section):
    """Cosine classifier; its weights start at the class means of the frozen features."""

    scale: float = Field(default=30.0, gt=0)


# --- training -------------------------------------------------------------------------------------


class CrossEntropy(Section):
    """Plain cross-entropy."""

    name: Literal["cross_entropy"]


class LogitAdjusted(Section):
    """Cross-entropy of logits + tau * log prior (Menon et al. 2021, eq. 10)."""

    name: Literal["logit_adjusted"] = "logit_adjusted"
    tau: float = Field(default=1.0, ge=0)


Loss = Annotated[CrossEntropy | LogitAdjusted, Field(discriminator="name")]


class InnerLoop(Section):
    """Training of the adapters and the head."""

    epochs: int = Field(default=12, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    loss: Loss = LogitAdjusted()


class OuterLoop(Section):
    """Learning of the modulators; without effect where they are fixed."""

    engine: Literal["first_order"] = "first_order"
    every: int = Field(default=4, ge=1, description="Inner steps between two outer steps.")
    learning_rate: float = Field(default=0.05, gt=0, description="Of Adam, on rho.")
    fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the training chips kept for validation."
    )
    resample: Literal["epoch", "never"] = "epoch"
    balanced: bool = Field(default=True, description="Sample validation chips class-balanced.")
    batch_size: int = Field(default=32, ge=1)
    batches: int = Field(default=1, ge=1, description="Validation batches averaged a step.")


class Compute(Section):
    """Where and in which precision to compute."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"


class Recipe(Section):
    """A fine-tuning run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    seed: int = Field(default=0, ge=0, lt=2**31)
    runs: Path = Field(default=Path("runs"), description="Folder that run folders are made in.")
    data: Data
    augmentation: Augmentation = Augmentation()
    long_tail: LongTail = LongTail()
    backbone: BackboneConfig = BackboneConfig()
    peft: Peft = Lora()
    head: Head = Head()
    inner: InnerLoop = InnerLoop()
    outer: OuterLoop = OuterLoop()
    compute: Compute = Compute()

    @property
    def learns_modulators(self) -> bool:
        """Whether the outer loop runs."""
        return isinstance(self.peft, AdditiveMethod) and self.peft.modulators == "learned"
