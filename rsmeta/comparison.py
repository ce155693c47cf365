"""Comparison of finished runs: results, modulators and what their recipes differ in."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rsmeta.drafts import final_path
from rsmeta.errors import RunError
from rsmeta.plain_yaml import read_yaml
from rsmeta.report.run_files import RunFiles
from rsmeta.runs import RECIPE
from rsmeta.table_records import records

NO_BLOCK = -1
"""Stands for the block of a band in an index, which takes no NaN."""

MISSING = "not set"
"""Stands for a key that the recipe of a run does not have."""


@dataclass(frozen=True)
class RunComparison:
    """Runs side by side; each table has one column a run, by its name.

    Attributes:
        accuracy: By group (index `group`); NaN where a group is empty.
        classes: Accuracy by class (index `class`); NaN where a run does not have the class.
        modulators: Gamma by site (index `block`, `position`; `NO_BLOCK` for a band); NaN
            where a run has none there.
        recipe: Keys (index `key`) whose values are not the same in all runs, with their values.
    """

    accuracy: pd.DataFrame
    classes: pd.DataFrame
    modulators: pd.DataFrame
    recipe: pd.DataFrame

    @property
    def runs(self) -> list[str]:
        """Names of the runs, in the order given."""
        return list(self.accuracy.columns)

    def values(self) -> dict[str, Any]:
        """Everything as plain values for JSON; null where a result is not defined."""
        tables = {
            "accuracy": self.accuracy,
            "classes": self.classes,
            "modulators": self.modulators,
            "recipe": self.recipe,
        }
        found = {name: records(table.reset_index()) for name, table in tables.items()}
        for row in found["modulators"]:
            row["block"] = None if row["block"] == NO_BLOCK else row["block"]
        return {"runs": self.runs} | found


def compare_runs(runs: Sequence[Path]) -> RunComparison:
    """Compare finished runs.

    Args:
        runs: Two or more run folders.

    Raises:
        RunError: There are fewer than two, one stands twice, or one is incomplete.
    """
    if len(runs) < 2:
        raise RunError("one run alone cannot be compared; name two or more")
    folders = [run.resolve() for run in runs]
    twice = [run for run, folder in zip(runs, folders, strict=True) if folders.count(folder) > 1]
    if twice:
        raise RunError(f"run '{twice[0]}' stands twice; name different runs")
    contents = dict(zip(_names(folders), map(RunFiles.read, runs), strict=True))
    recipes = {
        name: dict(_leaves(_recipe_values(run))) for name, run in zip(contents, runs, strict=True)
    }
    return RunComparison(
        accuracy=pd.DataFrame(
            {name: pd.Series(run.accuracy, dtype=float) for name, run in contents.items()}
        ).rename_axis("group"),
        classes=_side_by_side(
            {n: run.classes.set_index("class")["accuracy"] for n, run in contents.items()}
        ),
        modulators=_side_by_side({n: _gammas(run) for n, run in contents.items()}),
        recipe=_differing(recipes),
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """Names of the runs, with as much of their paths as tells them apart."""
    names = [final_path(folder).name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _recipe_values(run: Path) -> Mapping[str, Any]:
    try:
        values = read_yaml(run / RECIPE)
    except (OSError, ValueError) as error:
        raise RunError.damaged(run / RECIPE, error) from error
    if not isinstance(values, dict):
        raise RunError.damaged(run / RECIPE, "it must hold a mapping")
    return values


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; lists count as values."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _gammas(run: RunFiles) -> pd.Series:
    block = run.modulators["block"].fillna(NO_BLOCK).astype(int)
    return run.modulators.assign(block=block).set_index(["block", "position"])["gamma"]


def _side_by_side(columns: Mapping[str, pd.Series]) -> pd.DataFrame:
    """One column a run, rows in the order in which they come first."""
    rows = list(dict.fromkeys(itertools.chain.from_iterable(c.index for c in columns.values())))
    first = next(iter(columns.values())).index
    names = list(first.names)
    index = pd.MultiIndex.from_tuples(rows, names=names) if len(names) > 1 else pd.Index(rows)
    return pd.DataFrame({name: c.reindex(index) for name, c in columns.items()}).rename_axis(names)


def _differing(recipes: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    keys = dict.fromkeys(itertools.chain.from_iterable(recipes.values()))
    rows = {key: [recipe.get(key, MISSING) for recipe in recipes.values()] for key in keys}
    differing = {key: row for key, row in rows.items() if any(v != row[0] for v in row)}
    index = pd.Index(list(differing), name="key", dtype=object)
    columns = list(recipes)
    return pd.DataFrame(list(differing.values()), index=index, columns=columns, dtype=object)
