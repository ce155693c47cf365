"""Recipe section: a TorchGeo classification data set, and what is known of some of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from rsmeta.recipe.chips import ChipFileOptions
from rsmeta.recipe.section import Section

Argument = str | bool | int | float | list[str]
"""A value that a data set's constructor may be given."""


@dataclass(frozen=True)
class Images:
    """What the images of a data set hold.

    Attributes:
        sensor: Sensor name of rsmeta.bands.
        bands: Bands of the images, in their order.
        linear_power: Whether backscatter is stored as linear power; it is read in dB.
        arguments: What the data set's constructor needs so that it gives these bands.
    """

    sensor: str
    bands: tuple[str, ...]
    linear_power: bool = False
    arguments: dict[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownSet:
    """A data set whose bands and splits need not be said in the recipe.

    Attributes:
        images: Its images; the first where it has those of several sensors.
        splits: Names of its splits; none where it has none.
    """

    images: tuple[Images, ...]
    splits: tuple[str, ...] = ("train", "val", "test")

    def of_sensor(self, sensor: str) -> Images | None:
        """The images of a sensor; None where it has none."""
        return next((images for images in self.images if images.sensor == sensor), None)


_RGB = Images("rgb", ("R", "G", "B"))
# As digital numbers, 10000 times the reflectance.
_EUROSAT = Images(
    "sentinel2-l1c",
    ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"),
)
_SO2SAT_OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

KNOWN_SETS: dict[str, KnownSet] = {
    "EuroSAT": KnownSet((_EUROSAT,)),
    "EuroSATSpatial": KnownSet((_EUROSAT,)),
    "EuroSAT100": KnownSet((_EUROSAT,)),
    "So2Sat": KnownSet(
        (
            Images(
                "sentinel2-l1c",
                _SO2SAT_OPTICAL,
                arguments={"bands": [f"S2_{band}" for band in _SO2SAT_OPTICAL]},
            ),
            # Intensities after a refined Lee filter (Zhu et al. 2020, table 3); the other six
            # radar bands are parts of complex numbers.
            Images(
                "sentinel1",
                ("VH", "VV"),
                linear_power=True,
                arguments={"bands": ["S1_B5", "S1_B6"]},
            ),
        ),
        splits=("train", "validation", "test"),
    ),
    "RESISC45": KnownSet((_RGB,)),
    "UCMerced": KnownSet((_RGB,)),
    "PatternNet": KnownSet((_RGB,), splits=()),
    "QuakeSet": KnownSet(
        (
            Images(
                "sentinel1-pair",
                ("VV_before", "VH_before", "VV_after", "VH_after"),
                linear_power=True,
            ),
        )
    ),
}


class HeldOutDraw(Section):
    """Which chips of a data set without splits are the test: a share of each class, drawn."""

    fraction: float = Field(default=0.2, gt=0, lt=1, description="Share of each class.")
    seed: int = Field(
        default=0,
        ge=0,
        description="Not the recipe's seed, so that runs of different seeds have one test.",
    )


class TorchGeoData(ChipFileOptions):
    """Chips of a TorchGeo classification data set, with our bands and statistics, not its own.

    Values are as the data set stores them, not normalised; only backscatter of the known sets
    that is stored as linear power becomes dB. `sensor`, `bands`, `train_splits` and `test_split`
    of a known set may be left out; `bands` may then pick some, in any order. So2Sat has images of
    two sensors: sentinel2-l1c (default) and sentinel1.
    """

    source: Literal["torchgeo"]
    dataset: str = Field(
        description="Class name in torchgeo.datasets. Known: "
        f"{', '.join(KNOWN_SETS)}. Others need sensor, bands and splits."
    )
    root: Path = Field(description="Folder of the data set, as its TorchGeo class expects it.")
    download: bool = Field(default=False, description="Let TorchGeo download what is missing.")
    checksum: bool = Field(default=False, description="Let TorchGeo check the files' MD5 sums.")
    arguments: dict[str, Argument] = Field(
        default_factory=dict,
        description="Further arguments of the data set's class, e.g. So2Sat's version.",
    )
    train_splits: list[str] | None = Field(
        default=None, min_length=1, description="The data set's splits to train with."
    )
    test_split: str | None = Field(default=None, description="The data set's split to test with.")
    test_draw: HeldOutDraw | None = Field(
        default=None, description="In the place of both, for data sets without splits."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_what_is_known(cls, values: Any) -> Any:
        known = KNOWN_SETS.get(str(values.get("dataset"))) if isinstance(values, dict) else None
        if known is None:
            return values
        images = known.of_sensor(values.get("sensor", known.images[0].sensor))
        filled: dict[str, Any] = {"sensor": images.sensor} if images else {}
        if images and values.get("bands") is None:
            filled["bands"] = list(images.bands)
        if not known.splits:
            filled["test_draw"] = values.get("test_draw") or {}
        else:
            given = {key: value for key, value in values.items() if value is not None}
            filled["train_splits"] = given.get("train_splits", [known.splits[0]])
            filled["test_split"] = given.get("test_split", known.splits[-1])
        return values | filled

    @model_validator(mode="after")
    def _bands_are_those_of_the_set(self) -> "TorchGeoData":
        known = KNOWN_SETS.get(self.dataset)
        if known is None:
            return self
        images = known.of_sensor(self.sensor)
        if images is None:
            allowed = ", ".join(images.sensor for images in known.images)
            raise ValueError(
                f"{self.dataset} has no images of sensor '{self.sensor}'; allowed: {allowed}"
            )
        missing = [band.name for band in self.selected_bands if band.name not in images.bands]
        if missing:
            raise ValueError(
                f"{self.dataset} has no band {', '.join(missing)}; allowed: "
                f"{', '.join(images.bands)}"
            )
        return self

    @model_validator(mode="after")
    def _test_chips_are_others(self) -> "TorchGeoData":
        splits = self.train_splits or []
        named = (self.train_splits is not None, self.test_split is not None)
        if self.test_draw is not None:
            if any(named):
                raise ValueError(
                    "test_draw is for data sets without splits; leave out test_draw, or "
                    "train_splits and test_split"
                )
        elif not all(named):
            raise ValueError(
                f"the splits of {self.dataset} are not known: set train_splits and test_split, or "
                "test_draw if it has none"
            )
        if self.test_split in splits or len(set(splits)) < len(splits):
            raise ValueError(
                f"a split stands twice in train_splits {splits} and test_split '{self.test_split}'"
            )
        known = KNOWN_SETS.get(self.dataset)
        asked = splits if self.test_split is None else [*splits, self.test_split]
        unknown = set(asked).difference(known.splits if known else asked)
        if known is not None and unknown:
            raise ValueError(
                f"{self.dataset} has no split {', '.join(sorted(unknown))}; allowed: "
                f"{', '.join(known.splits) or 'none'}"
            )
        return self

    @property
    def images(self) -> Images:
        """What the data set's images hold."""
        known = KNOWN_SETS.get(self.dataset)
        images = known.of_sensor(self.sensor) if known else None
        names = tuple(band.name for band in self.selected_bands)
        return images or Images(self.sensor, names)
