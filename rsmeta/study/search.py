"""Optuna's search (Akiba et al. 2019), each trial once, in a process of its own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsmeta.bands import sensor
from rsmeta.errors import StudyError
from rsmeta.models.backbones import build_backbone
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import assign, validate
from rsmeta.study.cells import Cell
from rsmeta.study.columns import PASSES
from rsmeta.study.config import Search
from rsmeta.study.processes import in_new_process
from rsmeta.study.space import suggest
from rsmeta.study.trial import validation_accuracy

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_SEARCH_STREAM = 7
_STARTUP_TRIALS = 5


class TrialStore:
    """The trials of one cell in a journal, a text file that optuna-dashboard reads.

    Args:
        file: The journal; made where it is missing. It may hold other cells' trials as well.
        cell: The cell whose recipe trials change; its key names the search.
        config: Settings of the search.

    Attributes:
        cell: The cell.

    Raises:
        StudyError: Optuna is not installed.
        BackboneError: The backbone cannot be loaded.
    """

    def __init__(self, file: Path, cell: Cell, config: Search) -> None:
        _require_optuna()
        self._file = file
        self.cell = cell
        self._config = config
        self._blocks = _blocks(cell.recipe)

    def finished(self) -> "list[FrozenTrial]":
        """All trials that ended, in order, as completed or as pruned."""
        from optuna.trial import TrialState

        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return _open(self._file, self.cell).get_trials(deepcopy=False, states=ended)

    def run(self, trials: int) -> Iterator[int]:
        """Run trials until so many have ended.

        Yields:
            How many have ended, after each.

        Raises:
            StudyError: A trial failed.
        """
        while (ended := len(self.finished())) < trials:
            what = f"trial {ended} of '{self.cell}'"
            in_new_process(what, run_trial, self._file, self.cell, self._config, self._blocks)
            yield ended + 1

    def best(self, budget: int) -> "tuple[FrozenTrial, float]":
        """The best of the first trials, and the passes that all of them took.

        Raises:
            StudyError: None of them was completed.
        """
        from optuna.trial import TrialState

        first = self.finished()[:budget]
        complete = [trial for trial in first if trial.state is TrialState.COMPLETE]
        if not complete:
            raise StudyError(f"none of the first {budget} trials of '{self.cell}' was completed")
        passes = sum(trial.user_attrs[PASSES] for trial in first)
        return max(complete, key=lambda trial: trial.value or 0.0), passes

    def winner(self, budget: int) -> Cell:
        """The cell that trains the best of the first trials on all training chips.

        Raises:
            StudyError: None of them was completed.
        """
        trial, passes = self.best(budget)
        recipe = _trial_recipe(trial, self.cell.recipe, self._config, self._blocks)
        variant = f"{self.cell.variant}, {budget} trials"
        return replace(self.cell, variant=variant, recipe=recipe, search_passes=passes)


def run_trial(file: Path, cell: Cell, config: Search, blocks: int) -> None:
    """Run the next trial of a stored search.

    The sampler is seeded by the number of the trial, so that a search which was interrupted goes
    on as it would have.

    Args:
        file: The journal.
        cell: The cell whose recipe the trial changes.
        config: Settings of the search.
        blocks: Number of blocks of its backbone.
    """
    study = _open(file, cell)

    def objective(trial: "Trial") -> float:
        recipe = _trial_recipe(trial, cell.recipe, config, blocks)
        return validation_accuracy(trial, recipe, config.fraction)

    study.optimize(objective, n_trials=1)


def _open(file: Path, cell: Cell) -> "Study":
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    study = optuna.create_study(
        storage=storage, study_name=cell.key, direction="maximize", load_if_exists=True
    )
    study.sampler = _sampler(cell.seed, len(study.get_trials(deepcopy=False)))
    study.pruner = optuna.pruners.MedianPruner(
        n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=cell.recipe.inner.epochs // 3
    )
    return study


def _trial_recipe(
    trial: "Trial | FrozenTrial", recipe: Recipe, config: Search, blocks: int
) -> Recipe:
    values = assign(Recipe, recipe.model_dump(), config.set)
    assign(Recipe, values, suggest(trial, validate(Recipe, values), blocks))
    return validate(Recipe, values)


def _blocks(recipe: Recipe) -> int:
    config = recipe.backbone
    model = build_backbone(config.name, config.file, config.image_size, sensor("rgb").bands).model
    return len(model.blocks)


def _sampler(seed: int, number: int) -> "BaseSampler":
    import optuna

    key = np.random.SeedSequence([seed, _SEARCH_STREAM, number])
    return optuna.samplers.TPESampler(
        seed=int(key.generate_state(1)[0]), n_startup_trials=_STARTUP_TRIALS
    )


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise StudyError("a search needs Optuna: pip install 'rsmeta[search]'") from error
