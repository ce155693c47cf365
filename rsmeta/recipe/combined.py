"""Recipe section: chips of several sources together."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rsmeta.bands import Band
from rsmeta.recipe.chip_list import ListData
from rsmeta.recipe.chips import ChipOptions
from rsmeta.recipe.cifar100 import Cifar100Data
from rsmeta.recipe.data import FolderData, SimulatorData, TableData
from rsmeta.recipe.dota import DotaData
from rsmeta.recipe.labelled_scene import LabelledSceneData
from rsmeta.recipe.torchgeo import TorchGeoData
from rsmeta.recipe.units import Units

Single = (
    SimulatorData
    | FolderData
    | TableData
    | ListData
    | Cifar100Data
    | TorchGeoData
    | DotaData
    | LabelledSceneData
)
"""The sources that may stand alone or be combined."""

Part = Annotated[Single, Field(discriminator="source")]


class CombinedData(ChipOptions):
    """Training and test chips of several sources, with the classes of all."""

    source: Literal["combined"]
    parts: list[Part] = Field(
        min_length=2,
        description="Sources of chips of the same bands, e.g. a folder, and a labelled scene with "
        "labels that were added later. Training chips that overlap a test chip are dropped.",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "CombinedData":
        first = self.parts[0]
        for number, part in enumerate(self.parts):
            wanted, found = (
                [(b.name, b.unit.value) for b in p.selected_bands] for p in (first, part)
            )
            if found != wanted or part.units != first.units:
                raise ValueError(
                    f"parts: part {number} has the bands {_listed(found)}, part 0 {_listed(wanted)}"
                    "; give all the same bands, in the same order and units"
                )
            if (part.clip, part.on_error) != ("none", "stop"):
                raise ValueError(
                    f"parts: part {number} sets clip or on_error, which hold for all parts: set "
                    "data.clip and data.on_error"
                )
        return self

    @property
    def selected_bands(self) -> tuple[Band, ...]:
        """Bands of the chips, in order."""
        return self.parts[0].selected_bands

    @property
    def units(self) -> Units | None:
        """Conversion of the values, the same for all parts."""
        return self.parts[0].units


def _listed(bands: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({unit})" for name, unit in bands)
