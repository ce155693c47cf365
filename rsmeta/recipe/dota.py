"""Recipe section: objects of DOTA, cut out of its images as chips."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rsmeta.recipe.chips import ChipFileOptions, each_class_once

PAPER_CLASSES = (
    "baseball-diamond",
    "basketball-court",
    "bridge",
    "ground-track-field",
    "harbor",
    "helicopter",
    "large-vehicle",
    "plane",
    "roundabout",
    "ship",
    "small-vehicle",
    "soccer-ball-field",
    "storage-tank",
    "swimming-pool",
    "tennis-court",
)
"""The classes of DOTA 1.0, in the order of the index files of debLoRA and MetaPEFT."""

_LATER_CLASSES = {
    "1.0": (),
    "1.5": ("container-crane",),
    "2.0": ("container-crane", "airport", "helipad"),
}


class DotaData(ChipFileOptions):
    """Objects of DOTA (Xia et al. 2018, arXiv 1711.10398), read by TorchGeo and cut into chips.

    The chips of split train are trained with, those of split val are the test. They are cut once
    and kept in `cache`, whatever their size; the pipeline resizes them. The defaults are the chips
    of the paper: horizontal boxes of version 1.0 without margin, difficult objects included. Its
    head, medium and tail classes are those with more than 10,000 training chips, between, and
    with fewer than 1,000: set `long_tail.head_above` and `long_tail.tail_below` so.
    """

    source: Literal["dota"]
    root: Path = Field(description="Folder of DOTA as TorchGeo expects it.")
    cache: Path = Field(description="Folder for the chips and their table, of this setting alone.")
    version: Literal["1.0", "1.5", "2.0"] = Field(default="1.0", description="Of the data set.")
    boxes: Literal["horizontal", "oriented"] = Field(
        default="horizontal",
        description="horizontal: the rectangle around the object; oriented: along its box, turned "
        "so that the object's first side is at the top.",
    )
    margin: float = Field(
        default=0.0,
        ge=0,
        le=4,
        description="Context on each side, as a share of the box's side. A horizontal chip ends at "
        "the image's edge, an oriented one has no data beyond it.",
    )
    minimum_side: float = Field(
        default=1.0, ge=1, description="Pixels; objects with a shorter side are left out."
    )
    download: bool = Field(default=False, description="Let TorchGeo download what is missing.")
    checksum: bool = Field(default=False, description="Let TorchGeo check the archives' MD5 sums.")
    sensor: str = Field(default="rgb", description="Always rgb.")
    bands: None = Field(default=None, description="All three; not to be set.")
    crop: None = Field(default=None, description="Chips are cut to their boxes; not to be set.")
    classes: list[str] = Field(
        default_factory=lambda: list(PAPER_CLASSES),
        min_length=2,
        description="Classes to cut out, in order; default: the 15 of version 1.0.",
    )

    @model_validator(mode="after")
    def _images_are_photographs(self) -> "DotaData":
        if self.sensor != "rgb":
            raise ValueError(f"sensor '{self.sensor}': DOTA's images are rgb; leave sensor out")
        return self

    @model_validator(mode="after")
    def _classes_exist(self) -> "DotaData":
        allowed = (*PAPER_CLASSES, *_LATER_CLASSES[self.version])
        unknown = [name for name in self.classes if name not in allowed]
        if unknown:
            raise ValueError(
                f"DOTA {self.version} has no class {', '.join(unknown)}; allowed: "
                f"{', '.join(allowed)}"
            )
        each_class_once(self.classes)
        return self
