"""The registry of data sources: which function loads which section of a recipe."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rsmeta.data.chips import CachedChips, ChipSet, LabelledData
from rsmeta.data.files import load_folder, load_table
from rsmeta.data.simulated import load_simulated
from rsmeta.data.units import ConvertedChips
from rsmeta.recipe import FolderData, Recipe, SimulatorData, TableData

SOURCES: dict[type[Any], Callable[[Any, int], LabelledData]] = {
    SimulatorData: load_simulated,
    FolderData: load_folder,
    TableData: load_table,
}


def load_data(recipe: Recipe) -> LabelledData:
    """Load the chips a recipe names, in the units of its bands; files are listed now, read later.

    Raises:
        DataError: Files or columns are missing.
    """
    data = SOURCES[type(recipe.data)](recipe.data, recipe.seed)
    units = recipe.data.units

    def ready(chips: ChipSet) -> ChipSet:
        return CachedChips(chips if units is None else ConvertedChips(chips, units))

    return replace(data, train=ready(data.train), test=ready(data.test))
