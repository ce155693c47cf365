"""The registry of data sources: which function loads which section of a recipe."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rsmeta.data.chips import CachedChips, LabelledData
from rsmeta.data.files import load_folder, load_table
from rsmeta.data.packed import load_packed
from rsmeta.data.simulated import load_simulated
from rsmeta.recipe import FolderData, PackedData, Recipe, SimulatorData, TableData

SOURCES: dict[type[Any], Callable[[Any, int], LabelledData]] = {
    SimulatorData: load_simulated,
    FolderData: load_folder,
    TableData: load_table,
    PackedData: load_packed,
}


def load_data(recipe: Recipe) -> LabelledData:
    """Load the chips a recipe names; files are listed now and read later.

    Raises:
        DataError: Files, columns or classes are missing.
    """
    data = SOURCES[type(recipe.data)](recipe.data, recipe.seed)
    return replace(data, train=CachedChips(data.train), test=CachedChips(data.test))
