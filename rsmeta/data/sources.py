"""The registry of data sources: which function loads which section of a recipe."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rsmeta.data.chip_list import load_list
from rsmeta.data.chips import CachedChips, ChipSet, LabelledData
from rsmeta.data.cifar100 import load_cifar100
from rsmeta.data.dota import load_dota
from rsmeta.data.files import load_folder, load_table
from rsmeta.data.labelled_scene import load_labelled_scene
from rsmeta.data.packed import load_packed
from rsmeta.data.simulated import load_simulated
from rsmeta.data.torchgeo_sets import load_torchgeo
from rsmeta.data.units import ConvertedChips
from rsmeta.recipe import (
    Cifar100Data,
    DotaData,
    FolderData,
    LabelledSceneData,
    ListData,
    PackedData,
    Recipe,
    SimulatorData,
    TableData,
    TorchGeoData,
)

SOURCES: dict[type[Any], Callable[[Any, int], LabelledData]] = {
    SimulatorData: load_simulated,
    FolderData: load_folder,
    TableData: load_table,
    TorchGeoData: load_torchgeo,
    DotaData: load_dota,
    ListData: load_list,
    Cifar100Data: load_cifar100,
    LabelledSceneData: load_labelled_scene,
    PackedData: load_packed,
}


def load_data(recipe: Recipe) -> LabelledData:
    """Load the chips a recipe names, in the units of its bands; files are listed now, read later.

    Raises:
        DataError: Files or columns are missing.
    """
    data = SOURCES[type(recipe.data)](recipe.data, recipe.seed)
    packed = isinstance(recipe.data, PackedData)  # chips that were converted when packed
    units = None if packed else recipe.data.units

    def ready(chips: ChipSet) -> ChipSet:
        return CachedChips(chips if units is None else ConvertedChips(chips, units))

    return replace(data, train=ready(data.train), test=ready(data.test))
