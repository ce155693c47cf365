"""Running the cells of a study, each in a process of its own, and only once."""

import json
import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pandas as pd

from rsmeta.errors import RsmetaError, StudyError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import assign, validate
from rsmeta.study.cells import Cell
from rsmeta.study.table import StudyTable


def run_cells(cells: list[Cell], table: StudyTable, limit: int | None = None) -> Iterator[Cell]:
    """Run the cells that are not in the table yet, one after the other.

    Args:
        cells: Cells of a study, each after the one it takes its modulators from.
        table: Where results are kept.
        limit: Run at most so many; None for all.

    Yields:
        Each cell as soon as its result is in the table.

    Raises:
        StudyError: A cell failed; what was finished before it is in the table.
    """
    waiting = [cell for cell in cells if not table.done(cell)]
    for cell in waiting[:limit]:
        with tempfile.TemporaryDirectory() as folder:
            recipe = _with_modulators(cell, table, Path(folder))
            result, modulators = _in_new_process(cell, recipe)
        table.add(cell, result, modulators)
        yield cell


def _with_modulators(cell: Cell, table: StudyTable, folder: Path) -> Recipe:
    """The recipe to run: writes to a folder, and takes the modulators of the cell's source."""
    values = cell.recipe.model_dump()
    assign(Recipe, values, {"runs": str(folder / "runs")})
    if cell.source is not None:
        file = folder / "modulators.csv"
        table.gamma(cell.source).to_csv(file, index=False)
        assign(Recipe, values, {"peft.gamma_from": {"file": str(file), "pattern": cell.pattern}})
    return validate(Recipe, values)


def _in_new_process(cell: Cell, recipe: Recipe) -> tuple[dict[str, Any], pd.DataFrame]:
    """Memory is counted from zero, and nothing of one cell reaches the next."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(run_recipe, recipe).result()
        except RsmetaError as error:
            raise StudyError(f"cell '{cell}': {error}") from error
        except BrokenProcessPool as error:
            raise StudyError(f"cell '{cell}': its process ended without a result") from error


def run_recipe(recipe: Recipe) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fine-tune, and read from the run folder what a study keeps: a row, and the modulators."""
    from rsmeta.finetuning import finetune

    run = finetune(recipe).folder
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    resources = json.loads((run / "resources.json").read_text(encoding="utf-8"))
    history = pd.read_csv(run / "history.csv")
    row = {
        **metrics["accuracy"],
        "trainable_parameters": metrics["trainable_parameters"],
        "train_chips": metrics["train_chips"],
        "test_chips": metrics["test_chips"],
        "loss": history["loss"].iloc[-1],
        "skipped_outer_steps": int(history["skipped_outer_steps"].sum()),
        **resources,
    }
    return row, pd.read_csv(run / "modulators.csv")
