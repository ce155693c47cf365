"""The data sources a recipe may name."""

from typing import Annotated

from pydantic import Field

from rsmeta.recipe.data import FolderData, SimulatorData, TableData
from rsmeta.recipe.dota import DotaData
from rsmeta.recipe.torchgeo import TorchGeoData

Data = Annotated[
    SimulatorData | FolderData | TableData | TorchGeoData | DotaData,
    Field(discriminator="source"),
]
