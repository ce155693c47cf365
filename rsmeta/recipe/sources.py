"""The data sources a recipe may name."""

from typing import Annotated

from pydantic import Field

from rsmeta.recipe.chip_list import ListData
from rsmeta.recipe.cifar100 import Cifar100Data
from rsmeta.recipe.combined import CombinedData
from rsmeta.recipe.data import FolderData, SimulatorData, TableData
from rsmeta.recipe.dota import DotaData
from rsmeta.recipe.labelled_scene import LabelledSceneData
from rsmeta.recipe.packed import PackedData
from rsmeta.recipe.torchgeo import TorchGeoData

Data = Annotated[
    SimulatorData
    | FolderData
    | TableData
    | ListData
    | Cifar100Data
    | TorchGeoData
    | DotaData
    | LabelledSceneData
    | CombinedData
    | PackedData,
    Field(discriminator="source"),
]
