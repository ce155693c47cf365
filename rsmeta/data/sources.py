"""The registry of data sources: which function loads which section of a recipe."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rsmeta.data.chip_list import load_list
from rsmeta.data.chips import CachedChips, LabelledData
from rsmeta.data.cifar100 import load_cifar100
from rsmeta.data.combined import combine
from rsmeta.data.dota import load_dota
from rsmeta.data.files import load_folder, load_table
from rsmeta.data.labelled_scene import load_labelled_scene
from rsmeta.data.packed import load_packed
from rsmeta.data.simulated import load_simulated
from rsmeta.data.torchgeo_sets import load_torchgeo
from rsmeta.data.units import ConvertedChips
from rsmeta.errors import DataError
from rsmeta.recipe import (
    Cifar100Data,
    CombinedData,
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
from rsmeta.recipe.sources import Data

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
        DataError: Files or columns are missing, or there is nothing to test with.
    """
    data = _load(recipe.data, recipe.seed)
    if isinstance(recipe.data, CombinedData | LabelledSceneData) and not len(data.test):
        raise DataError(
            "no chips are tested with: all labelled scenes have split: train; set one to blocks"
        )
    return replace(data, train=CachedChips(data.train), test=CachedChips(data.test))


def _load(section: Data, seed: int) -> LabelledData:
    if isinstance(section, CombinedData):
        return combine([_load(part, seed) for part in section.parts])
    data = SOURCES[type(section)](section, seed)
    # Chips that were packed were converted then.
    units = None if isinstance(section, PackedData) else section.units
    if units is None:
        return data
    return replace(
        data, train=ConvertedChips(data.train, units), test=ConvertedChips(data.test, units)
    )
