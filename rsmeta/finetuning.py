"""Fine-tuning from recipe to run folder."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import lightning as L
import torch
from rich.console import Console

from rsmeta.data.cautions import cautions
from rsmeta.data.chips import LabelledData
from rsmeta.data.datamodule import ChipDataModule
from rsmeta.data.inspection import InspectedData, load_inspected
from rsmeta.data.outer_split import SMALLEST_SPLIT_CLASS
from rsmeta.data.statistics import BandStatistics
from rsmeta.drafts import final_path, hidden_folder, new_run, unfinished_run
from rsmeta.errors import RunError
from rsmeta.gamma_history import write_gamma_history
from rsmeta.longtail.groups import class_groups
from rsmeta.longtail.metrics import Metrics
from rsmeta.models.classifier import BuiltModel, ChipClassifier, build_classifier
from rsmeta.models.frozen_prefix import require_frozen_prefix
from rsmeta.models.normalisation import require_normalised
from rsmeta.models.pruned import keep_sites
from rsmeta.origin import origin_of, require_same
from rsmeta.peft.sites import modulated_sites
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.report.run_report import write_report
from rsmeta.run_results import evaluate, write_run
from rsmeta.runs import (
    RECIPE,
    write_history,
    write_inspection,
    write_recipe,
)
from rsmeta.train.checkpoint import CHECKPOINT, StateDict, read_checkpoint
from rsmeta.train.checkpointing import Checkpointing
from rsmeta.train.loggers import open_loggers
from rsmeta.train.module import FinetuningModule
from rsmeta.train.nonfinite import NonFiniteError, told
from rsmeta.train.progress import TrainingProgress
from rsmeta.train.pruning import PruneWhileTraining
from rsmeta.train.records import EpochRecord
from rsmeta.train.trainer import (
    build_trainer,
    fit,
    follows,
    seed_everything,
    slow_precision,
    start_at,
)

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A run that has been written.

    Attributes:
        folder: The run folder.
        metrics: Results on the test chips.
    """

    folder: Path
    metrics: Metrics


def finetune(
    recipe: Recipe,
    console: Console | None = None,
    callbacks: Sequence[L.Callback] = (),
    *,
    report: bool = True,
) -> FinishedRun:
    """Train and test a recipe's model and write the run folder.

    Args:
        recipe: The recipe.
        console: Where to show the plan and the progress; None for nowhere.
        callbacks: What Lightning is to call besides.
        report: Whether the run gets a report, whose figures take some seconds.

    Raises:
        DataError: One line for each chip that cannot be used, or what else is wrong with the data.
        BackboneError: The backbone cannot be loaded.
        RecipeError: The recipe does not fit the backbone.
        RunError: The run folder cannot be written.
    """
    if follows(recipe):
        _train_along(recipe, None)
    with new_run(recipe.runs, recipe.name) as draft:
        write_recipe(draft, recipe)
        metrics = _finish(draft, recipe, console, callbacks)
        if report:
            write_report(draft)
    return FinishedRun(final_path(draft), metrics)


def resume(
    run: Path, console: Console | None = None, callbacks: Sequence[L.Callback] = ()
) -> FinishedRun:
    """Go on with a run that was interrupted, to the same end on the same machine.

    Args:
        run: The path that the run will have.
        console: See `finetune`.
        callbacks: See `finetune`.

    Raises:
        RsmetaError: See `finetune`.
        RunError: There is no such unfinished run, or its recipe, its chips, the backbone or the
            software have changed.
    """
    draft = hidden_folder(run)
    if (draft / RECIPE).is_file() and follows(recipe := read_recipe(Recipe, draft / RECIPE)):
        _train_along(recipe, draft)
    with unfinished_run(run):
        if not (draft / RECIPE).is_file():
            raise RunError(f"run '{run}' was interrupted before it began; start it afresh")
        metrics = _finish(draft, read_recipe(Recipe, draft / RECIPE), console, callbacks)
        write_report(draft)
    return FinishedRun(final_path(draft), metrics)


def _finish(
    draft: Path, recipe: Recipe, console: Console | None, callbacks: Sequence[L.Callback]
) -> Metrics:
    """Train, from the folder's checkpoint if there is one, test, and write the run's files."""
    inspected = load_inspected(recipe)
    data, statistics = inspected.data, inspected.statistics
    built = _built(recipe, inspected)
    if console is not None:
        console.print(built.plan_table())
    with open_loggers(recipe, draft, final_path(draft).name) as log:
        shown = [] if console is None else [TrainingProgress(console)]
        others = [log, *shown, *callbacks]
        history, seconds = _train_with_checkpoints(draft, recipe, inspected, built, others)
        log.tell(history)
        bank = built.classifier.modulators
        sites = () if bank is None else bank.sites
        if bank is not None and bank.left != bank.sites:
            built = keep_sites(recipe, data.bands, statistics, built.classifier, bank.left)
        found = evaluate(recipe, data, statistics, built.classifier)
        log.tell_test(found.metrics)
    write_history(draft, history)
    write_gamma_history(draft, history, sites)
    write_inspection(draft, inspected)
    times = {"training_seconds": round(seconds, 2)}
    write_run(draft, recipe, data, statistics, built, found, times)
    return found.metrics


def _train_along(recipe: Recipe, draft: Path | None) -> NoReturn:
    """Train in a process that another one leads, which tests and writes; then end it.

    Args:
        recipe: The recipe.
        draft: Folder of the run that goes on; None for one that begins.

    Raises:
        SystemExit: Training is done.
    """
    logging.getLogger("rsmeta").setLevel(logging.ERROR)  # the other one says it
    inspected = load_inspected(recipe)
    built = _built(recipe, inspected)
    state = None
    if draft is not None and (draft / CHECKPOINT).is_file():
        state = read_checkpoint(draft / CHECKPOINT).state
    train(recipe, inspected.data, inspected.statistics, built, (), state)
    raise SystemExit(0)


def _built(recipe: Recipe, inspected: InspectedData) -> BuiltModel:
    """The model before training."""
    data = inspected.data
    seed_everything(recipe.seed)
    built = build_classifier(recipe, data.bands, len(data.classes), inspected.statistics)
    require_normalised(built.classifier, data, recipe.seed)
    built.classifier.store_frozen_low()
    return built


def _train_with_checkpoints(
    draft: Path,
    recipe: Recipe,
    inspected: InspectedData,
    built: BuiltModel,
    others: Sequence[L.Callback],
) -> tuple[list[EpochRecord], float]:
    """What happened in each epoch, and how many seconds training took."""
    data, statistics = inspected.data, inspected.statistics
    origin = origin_of(recipe, data, statistics, built)
    begun = None
    if (draft / CHECKPOINT).is_file():
        begun = read_checkpoint(draft / CHECKPOINT)
        require_same(str(final_path(draft)), begun.origin, origin)
    done = 0.0 if begun is None else begun.seconds
    checkpointing = Checkpointing(draft, origin, recipe.compute.checkpoint_every, done)
    try:
        state = None if begun is None else begun.state
        history = train(recipe, data, statistics, built, [checkpointing, *others], state)
    except NonFiniteError as error:
        raise told(error, data, draft) from error
    return history, checkpointing.seconds


def train(
    recipe: Recipe,
    data: LabelledData,
    statistics: BandStatistics,
    built: BuiltModel,
    callbacks: Sequence[L.Callback] = (),
    state: StateDict | None = None,
) -> list[EpochRecord]:
    """Train a model in place.

    Args:
        recipe: Its recipe.
        data: Its chips; those of the test are not read.
        statistics: Statistics that normalise the bands.
        built: The model.
        callbacks: What Lightning is to call besides.
        state: Where to go on, of `FinetuningModule.training_state`; None: at the start.

    Returns:
        What happened, epoch by epoch.

    Raises:
        DataError: A chip cannot be read.
        NonFiniteError: A loss or a weight is infinite or not a number.
    """
    datamodule = ChipDataModule(recipe, data, statistics)
    _tell_shared_classes(datamodule, data)
    for line in cautions(recipe, data.bands, built.unread_bands):
        _LOGGER.warning(line)
    counts = data.train_counts
    groups = class_groups(recipe.long_tail, data.classes, counts)
    module = FinetuningModule(recipe, built.classifier, counts, groups, datamodule)
    every = list(callbacks)
    if recipe.pruning is not None:
        every.append(PruneWhileTraining(recipe.pruning, len(modulated_sites(built.plan))))
    trainer = build_trainer(recipe, every, distributed=recipe.compute.processes > 1)
    device = trainer.strategy.root_device
    if slow := slow_precision(recipe.compute, device):
        _LOGGER.warning(slow)
    if recipe.compute.cache_features:
        _cache_features(datamodule, built.classifier, device)
    if state is not None:
        module.resume(state)
        datamodule.skip(state["epoch"], state["batches"])
        start_at(trainer, state["epoch"], state["steps"])
    if state is None or state["epoch"] < recipe.inner.epochs:
        fit(trainer, module, datamodule)
    return module.history


def _tell_shared_classes(datamodule: ChipDataModule, data: LabelledData) -> None:
    shared = [] if datamodule.splitter is None else datamodule.splitter.shared_classes()
    if shared:
        names = ", ".join(f"'{data.classes[label]}'" for label in shared)
        _LOGGER.warning(
            "outer split: fewer than %d training chips in %s; they are in both the inner and the "
            "outer part",
            SMALLEST_SPLIT_CLASS,
            names,
        )


def _cache_features(
    datamodule: ChipDataModule, classifier: ChipClassifier, device: torch.device
) -> None:
    require_frozen_prefix(classifier.backbone)
    classifier.to(device).eval()
    datamodule.keep_tokens(lambda images: classifier.frozen_tokens(images.to(device)))
    classifier.train()
