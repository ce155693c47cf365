"""The cells of a study: one recipe each, in an order in which each finds what it needs."""

import copy
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import assign, read_values, validate
from rsmeta.study.config import Study, Variant


@dataclass(frozen=True)
class Cell:
    """A variant at one level of every axis and one seed.

    Attributes:
        variant: Name of the variant.
        levels: Level of each axis.
        seed: Seed of the recipe.
        recipe: The resolved recipe; where modulators come from another cell, still without them.
        folder: Folder of the study, which the paths of its record are relative to.
        source: The cell whose learned modulators this one trains with; None for its own.
        pattern: What is made of them; see `rsmeta.recipe.GammaTable`.
        search_passes: Chips passed forward and backward to find the recipe.
    """

    variant: str
    levels: Mapping[str, str]
    seed: int
    recipe: Recipe
    folder: Path
    source: "Cell | None" = None
    pattern: str = ""
    search_passes: float = 0

    @cached_property
    def record(self) -> str:
        """The recipe as JSON, alike on every machine: without name and place, paths relative."""
        values = self.recipe.model_dump(exclude={"name", "runs", "loggers"})
        return json.dumps(_portable(values, self.folder), sort_keys=True)

    @cached_property
    def key(self) -> str:
        """Digest of all that decides the result; the same cell is never run twice."""
        return digest(self.record, "" if self.source is None else self.source.key, self.pattern)

    def __str__(self) -> str:
        return ", ".join([self.variant, *self.levels.values(), f"seed {self.seed}"])


def digest(record: str, source: str, pattern: str) -> str:
    """The key of a cell.

    Args:
        record: Its recipe; see `Cell.record`.
        source: Key of the cell it takes its modulators from; empty for none.
        pattern: What it makes of them; empty for nothing.
    """
    text = json.dumps([record, source, pattern])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def present_record(record: str) -> str | None:
    """A record that another version wrote, as this one writes it; None where it has no meaning now.

    What is new since is at its default in it; what was a default is in it as it was then.
    """
    try:
        recipe = Recipe.model_validate({"name": "record", **json.loads(record)})
    except (TypeError, ValueError):  # a recipe of other rules, or something else
        return None
    values = recipe.model_dump(exclude={"name", "runs", "loggers"})
    return json.dumps(_portable(values, None), sort_keys=True)


def _portable(value: Any, folder: Path | None) -> Any:
    """Values for JSON; paths relative to a folder, or as they are."""
    if isinstance(value, dict):
        return {key: _portable(item, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item, folder) for item in value]
    if not isinstance(value, Path):
        return value
    return (value if folder is None else Path(os.path.relpath(value, folder))).as_posix()


def cells_of(study: Study, folder: Path) -> list[Cell]:
    """All cells: seed by seed, so that an interrupted study is complete for the first seeds.

    Args:
        study: The study.
        folder: Folder of its file.

    Raises:
        RecipeError: The recipe cannot be read or a cell is not valid.
    """
    base = read_values(folder / study.recipe)
    cells = []
    for seed in study.seeds:
        for levels in _combinations(study):
            own = {
                name: _cell(study, base, folder, name, variant, levels, seed)
                for name, variant in study.variants.items()
            }
            cells += [own[name] for name, v in study.variants.items() if v.gamma_of is None]
            cells += [
                replace(own[name], source=own[v.gamma_of.variant], pattern=v.gamma_of.pattern)
                for name, v in study.variants.items()
                if v.gamma_of is not None
            ]
    return cells


def searched_cells(study: Study, folder: Path) -> list[Cell]:
    """What a search starts from: the recipe at every combination of levels and every seed.

    Raises:
        RecipeError: The recipe cannot be read or is not valid.
    """
    base = read_values(folder / study.recipe)
    return [
        _cell(study, base, folder, "Optuna", Variant(), levels, seed)
        for seed in study.seeds
        for levels in _combinations(study)
    ]


def _combinations(study: Study) -> Iterator[dict[str, str]]:
    for levels in product(*(axis for axis in study.axes.values())):
        yield dict(zip(study.axes, levels, strict=True))


def _cell(
    study: Study,
    base: Mapping[str, Any],
    folder: Path,
    name: str,
    variant: Variant,
    levels: Mapping[str, str],
    seed: int,
) -> Cell:
    values = copy.deepcopy(dict(base))
    assign(Recipe, values, study.set)
    for axis, level in levels.items():
        assign(Recipe, values, study.axes[axis][level])
    assign(Recipe, values, variant.set)
    if variant.gamma_of is not None:
        assign(Recipe, values, {"peft.modulators": "fixed"})
    assign(Recipe, values, {"seed": seed})
    return Cell(name, levels, seed, validate(Recipe, values), folder)
