"""How large modulators start by `peft.stability`, and the results that a bound of it leaves alone.

    python benchmarks/bounded_starts.py recipes/studies/stable_scale.yaml

For each cell with `peft.largest_scale` of which the same without that bound has been run: the start
is measured. Where it lies under the bound, the bound changes nothing, training is the same to the
last bit, and the result is taken over instead of being run again. The starts are in
`benchmarks/results/starts.csv`; those that are there are not measured again.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd

from rsmeta.finetuning import finetune
from rsmeta.recipe import AdditiveMethod, Recipe
from rsmeta.recipe_reading import assign, read_recipe, validate
from rsmeta.study.cells import Cell, cells_of, digest
from rsmeta.study.columns import KEY, PATTERN, RECORD, SEED, SOURCE, VARIANT
from rsmeta.study.config import Study
from rsmeta.study.table import StudyTable
from rsmeta.train.module import FinetuningModule

_COLUMNS = [KEY, "study", "of", "gamma"]


class _StartedError(Exception):
    """Training has begun, and its start is known."""

    def __init__(self, gamma: float) -> None:
        super().__init__(f"modulators start at {gamma:g}")
        self.gamma = gamma


class _EndAtStart(L.Callback):
    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        assert isinstance(module, FinetuningModule) and module.classifier.modulators is not None
        raise _StartedError(max(module.classifier.modulators.values().values()))


def start_of(recipe: Recipe) -> float:
    """The largest modulator of a recipe before its first step.

    Args:
        recipe: The recipe; nothing is written to its folder of runs.

    Raises:
        RsmetaError: See `rsmeta.finetuning.finetune`.
    """
    with tempfile.TemporaryDirectory() as folder:
        values = recipe.model_dump()
        assign(Recipe, values, {"runs": folder})
        try:
            finetune(validate(Recipe, values), callbacks=[_EndAtStart()], report=False)
        except _StartedError as started:
            return started.gamma
    raise AssertionError("training ended without a step")


def without_bound(cell: Cell) -> str:
    """The key of a cell whose recipe is this one's without `peft.largest_scale`."""
    record = json.loads(cell.record)
    record["peft"]["largest_scale"] = None
    return digest(json.dumps(record, sort_keys=True), "", "")


def take_over(cell: Cell, table: StudyTable, starts: dict[str, float]) -> str | None:
    """Measure a cell's start and, if it is under the bound, take the result without the bound.

    Returns:
        What was done; None where nothing was to do.
    """
    peft = cell.recipe.peft
    if not isinstance(peft, AdditiveMethod) or peft.largest_scale is None or table.done(cell):
        return None
    same = table.results[table.results[KEY] == without_bound(cell)]
    if same.empty:
        return None
    if cell.key not in starts:
        starts[cell.key] = start_of(cell.recipe)
    gamma = starts[cell.key]
    if gamma >= (1 - 1e-6) * peft.largest_scale * peft.gamma:  # at the bound, as float32 has it
        return f"{cell}: starts at the bound, {gamma:g}; to be run"
    modulators = table.modulators[table.modulators[KEY] == same[KEY].iloc[0]]
    own = [KEY, VARIANT, SEED, SOURCE, PATTERN, RECORD, *cell.levels]
    table.add(cell, _plain(same.drop(columns=own).iloc[0]), modulators)
    return f"{cell}: starts at {gamma:g}, under the bound; taken over"


def _plain(row: "pd.Series[Any]") -> Mapping[str, Any]:
    return {str(name): value for name, value in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    study = read_recipe(Study, arguments.study)
    file = arguments.results / "starts.csv"
    known = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=_COLUMNS)
    starts = dict(zip(known[KEY], known["gamma"], strict=True))
    table = StudyTable(arguments.results, study.name)
    for cell in cells_of(study, arguments.study.parent):
        told = take_over(cell, table, starts)
        if told is None:
            continue
        if cell.key not in set(known[KEY]):
            row = [cell.key, study.name, str(cell), starts[cell.key]]
            known = pd.concat([known, pd.DataFrame([row], columns=_COLUMNS)])
            known.to_csv(file, index=False, float_format="%.6g", lineterminator="\n")
        print(told, flush=True)


if __name__ == "__main__":
    main()
