"""What a recipe, a run or a scene is, in a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from rsmeta.api.bands import named_bands
from rsmeta.api.card import Fold, card
from rsmeta.api.recipe import Recipe
from rsmeta.api.run import Run, RunLike, folders
from rsmeta.errors import TargetError
from rsmeta.inspecting.recipe import measure_training, recipe_values
from rsmeta.inspecting.run import inspect_run
from rsmeta.inspecting.scene import fit_of, inspect_scene
from rsmeta.inspecting.target import Kind, kind_of
from rsmeta.prediction import single_scene
from rsmeta.validation import validate_recipe


@dataclass(frozen=True)
class Inspection:
    """What was found; the same as `rsmeta inspect --json`.

    Attributes:
        target: What was looked at.
        kind: Whether that is a recipe, a run or a scene.
        values: What it is, as plain values.
    """

    target: str
    kind: Kind
    values: Mapping[str, Any]

    def _repr_html_(self) -> str:
        facts = {key: value for key, value in self.values.items() if not _is_part(value)}
        folds = [
            Fold(key, pd.DataFrame(value) if isinstance(value, list) else value)
            for key, value in self.values.items()
            if _is_part(value)
        ]
        return card(self.kind.value.capitalize(), self.target, facts, folds)


def inspect(
    target: Recipe | RunLike,
    *,
    run: RunLike | None = None,
    bands: Sequence[str] | None = None,
    measure: bool = False,
) -> Inspection:
    """Tell what a recipe, a run or a scene is.

    Args:
        target: A recipe or the path of one, a run or its folder, or a scene.
        run: Of a scene: tell whether this run fits it, as `fit`.
        bands: Of a scene: names of its bands in file order.
        measure: Of a recipe: train a few steps, to tell the time that training takes.

    Raises:
        TargetError: The target is none of the three, or an argument does not go with it.
        RsmetaError: What is wrong with it.
    """
    kind = Kind.RECIPE if isinstance(target, Recipe) else _kind(target)
    if kind is not Kind.SCENE and (run is not None or bands is not None):
        raise TargetError(f"run and bands go with a scene; the target is a {kind.value}")
    if kind is not Kind.RECIPE and measure:
        raise TargetError(f"measure goes with a recipe; the target is a {kind.value}")
    if isinstance(target, Recipe):
        return Inspection(target.name, kind, _recipe(target, measure))
    name = str(target.folder if isinstance(target, Run) else target)
    if kind is Kind.RECIPE:
        return Inspection(name, kind, _recipe(Recipe.read(name), measure))
    if kind is Kind.RUN:
        return Inspection(name, kind, inspect_run(Path(name)).values())
    return Inspection(name, kind, _scene(name, run, bands))


def _kind(target: str | PathLike[str] | Run) -> Kind:
    return Kind.RUN if isinstance(target, Run) else kind_of(str(target))


def _recipe(recipe: Recipe, measure: bool) -> Mapping[str, Any]:
    checked = validate_recipe(recipe)
    time = measure_training(recipe, checked) if measure else None
    return recipe_values(recipe, checked, time)


def _scene(name: str, run: RunLike | None, bands: Sequence[str] | None) -> Mapping[str, Any]:
    source = single_scene(name, named_bands(bands))
    if run is None:
        return inspect_scene(source).values()
    (folder,) = folders([run])
    fit = fit_of(folder, source)
    return inspect_scene(source, folder).values() | {"fit": fit.values()}


def _is_part(value: Any) -> bool:
    """Whether a value is a section or a table of its own."""
    rows = isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
    return rows or (isinstance(value, dict) and bool(value))
