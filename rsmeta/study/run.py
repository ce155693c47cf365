"""Running the cells and searches of a study, each in a process of its own, and only once.

A study may be started several times over at once: the processes share out its cells and searches.
"""

import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from rsmeta.errors import StudyError
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import assign, validate
from rsmeta.study.cells import Cell, cells_of, searched_cells
from rsmeta.study.columns import PASSES
from rsmeta.study.config import Study
from rsmeta.study.processes import in_new_process
from rsmeta.study.search import TrialStore
from rsmeta.study.table import StudyTable


def run_study(study: Study, folder: Path, results: Path, limit: int | None = None) -> Iterator[str]:
    """Run what has not been run yet: the cells, then the trials of a search and their winners.

    Args:
        study: The study.
        folder: Folder of its file.
        results: Folder of its results.
        limit: Run at most so many cells and trials; None for all.

    Yields:
        A line for each cell and trial, as soon as its result is on disk.

    Raises:
        StudyError: A cell or a trial failed; what was finished before it is on disk.
    """
    return islice(_all(study, folder, results), limit)


def _all(study: Study, folder: Path, results: Path) -> Iterator[str]:
    table = StudyTable(results, study.name)
    cells = cells_of(study, folder)
    yield from _cells(cells, table)
    if study.search is None:
        return
    for store in searches_of(study, folder, results):
        with table.claim(f"search_{store.cell.key}") as free:
            if not free:
                continue
            for budget in sorted(study.search.budgets):
                for ended in store.run(budget):
                    yield f"{ended} of {budget} trials: {store.cell}"
                yield from _cells([store.winner(budget)], table)


def finished_cells(study: Study, folder: Path, results: Path) -> pd.DataFrame:
    """The results that are there, one cell a row, in the order of the study.

    Args:
        study: The study.
        folder: Folder of its file.
        results: Folder of its results.

    Raises:
        StudyError: There are none, or they cannot be read.
    """
    cells = cells_of(study, folder)
    if study.search is not None and (results / trials_file(study)).exists():
        for store in searches_of(study, folder, results):
            ended = len(store.finished())
            cells += [store.winner(b) for b in sorted(study.search.budgets) if b <= ended]
    found = StudyTable(results, study.name).of(cells)
    if found.empty:
        raise StudyError(f"no cell of study '{study.name}' has been run yet; raise --limit")
    return found


def searches_of(study: Study, folder: Path, results: Path) -> list[TrialStore]:
    """The searches of a study: one for each seed and combination of levels."""
    assert study.search is not None
    file = results / trials_file(study)
    return [TrialStore(file, cell, study.search) for cell in searched_cells(study, folder)]


def trials_file(study: Study) -> str:
    """Name of the journal that holds the trials of a study."""
    return f"{study.name}_trials.log"


def _cells(cells: list[Cell], table: StudyTable) -> Iterator[str]:
    """Run the cells that are not in the table; each stands after the one it takes gammas from."""
    for cell in cells:
        table.refresh()
        # Before the claim, which would keep a process off that can run it.
        if not _ready(cell, table):
            continue
        with table.claim(cell.key) as free:
            if not free or table.done(cell):
                continue
            with tempfile.TemporaryDirectory() as temporary:
                recipe = _with_modulators(cell, table, Path(temporary))
                result, modulators = in_new_process(f"cell '{cell}'", run_recipe, recipe)
            table.add(cell, result, modulators)
        yield f"{sum(map(table.done, cells))} of {len(cells)} cells: {cell}"


def _ready(cell: Cell, table: StudyTable) -> bool:
    """Whether a cell is still to be run and can be.

    One whose modulators come from a cell that another process is at is left to that process, in
    whose list it stands further on.
    """
    return not table.done(cell) and (cell.source is None or table.done(cell.source))


def _with_modulators(cell: Cell, table: StudyTable, folder: Path) -> Recipe:
    """The recipe to run: writes to a folder, and takes the modulators of the cell's source."""
    values = cell.recipe.model_dump()
    assign(Recipe, values, {"runs": str(folder / "runs")})
    if cell.source is not None:
        file = folder / "modulators.csv"
        table.gamma(cell.source).to_csv(file, index=False)
        assign(Recipe, values, {"peft.gamma_from": {"file": str(file), "pattern": cell.pattern}})
    return validate(Recipe, values)


def run_recipe(recipe: Recipe) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fine-tune, and read from the run folder what a study keeps: a row, and the modulators."""
    from rsmeta.finetuning import finetune

    run = finetune(recipe, report=False).folder
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
        "class_prior": history["class_prior"].iloc[-1],
        PASSES: int(history["passes"].sum()),
        **resources,
    }
    return row, pd.read_csv(run / "modulators.csv")
