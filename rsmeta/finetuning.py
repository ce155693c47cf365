"""Fine-tuning from recipe to run folder."""

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console

from rsmeta.data.cautions import cautions
from rsmeta.data.chips import LabelledData
from rsmeta.data.datamodule import ChipDataModule
from rsmeta.data.inspection import load_inspected
from rsmeta.data.outer_split import SMALLEST_SPLIT_CLASS
from rsmeta.data.statistics import BandStatistics
from rsmeta.longtail.groups import class_groups
from rsmeta.longtail.metrics import Metrics, compute_metrics
from rsmeta.longtail.predictions import ChipPredictions
from rsmeta.models.classifier import BuiltModel, ChipClassifier, build_classifier
from rsmeta.models.contribution import contributions
from rsmeta.models.frozen_prefix import require_frozen_prefix
from rsmeta.models.normalisation import require_normalised
from rsmeta.models.pruned import keep_sites
from rsmeta.peft.sites import AnySite, modulated_sites
from rsmeta.prediction_table import write_predictions
from rsmeta.recipe import Recipe
from rsmeta.report.run_report import write_report
from rsmeta.runs import (
    ModelCard,
    current_versions,
    final_path,
    new_run,
    write_history,
    write_inspection,
    write_json,
    write_model,
    write_modulators,
    write_plan,
    write_recipe,
    write_results,
)
from rsmeta.train.module import EpochRecord, FinetuningModule
from rsmeta.train.progress import TrainingProgress
from rsmeta.train.pruning import PruneWhileTraining
from rsmeta.train.trainer import build_trainer, quiet_lightning, seed_everything

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


@dataclass(frozen=True)
class Evaluation:
    """What was found about a trained model.

    Attributes:
        metrics: Results on the test chips.
        predictions: What the model says of each test chip.
        contributions: Of each site, see `rsmeta.models.contribution`; measured on training chips.
        trained_parameters: Number of trained parameters: adapters, head and learned modulators.
        seconds: Time that the test took.
    """

    metrics: Metrics
    predictions: ChipPredictions
    contributions: dict[AnySite, float]
    trained_parameters: int
    seconds: float


def finetune(recipe: Recipe, console: Console | None = None) -> FinishedRun:
    """Train and test a recipe's model and write the run folder.

    Args:
        recipe: The recipe.
        console: Where to show the plan and the progress; None for nowhere.

    Raises:
        DataError: One line for each chip that cannot be used, or what else is wrong with the data.
        BackboneError: The backbone cannot be loaded.
        RecipeError: The recipe does not fit the backbone.
        RunError: The run folder cannot be written.
    """
    with new_run(recipe.runs, recipe.name) as draft:
        inspected = load_inspected(recipe)
        data, statistics = inspected.data, inspected.statistics
        seed_everything(recipe.seed)
        built = build_classifier(recipe, data.bands, len(data.classes), statistics)
        require_normalised(built.classifier, data, recipe.seed)
        built.classifier.store_frozen_low()
        if console is not None:
            console.print(built.plan_table())
        started = time.perf_counter()
        callbacks = [] if console is None else [TrainingProgress(console)]
        history = train(recipe, data, statistics, built, callbacks)
        seconds = {"training_seconds": round(time.perf_counter() - started, 2)}
        bank = built.classifier.modulators
        if bank is not None and bank.left != bank.sites:
            built = keep_sites(recipe, data.bands, statistics, built.classifier, bank.left)
        found = evaluate(recipe, data, statistics, built.classifier)
        write_history(draft, history)
        write_inspection(draft, inspected)
        write_run(draft, recipe, data, statistics, built, found, seconds)
    return FinishedRun(final_path(draft), found.metrics)


def train(
    recipe: Recipe,
    data: LabelledData,
    statistics: BandStatistics,
    built: BuiltModel,
    callbacks: Sequence[L.Callback] = (),
) -> list[EpochRecord]:
    """Train a model in place.

    Args:
        recipe: Its recipe.
        data: Its chips; those of the test are not read.
        statistics: Statistics that normalise the bands.
        built: The model.
        callbacks: What Lightning is to call besides.

    Returns:
        What happened, epoch by epoch.

    Raises:
        DataError: A chip cannot be read.
    """
    datamodule = ChipDataModule(recipe, data, statistics)
    _tell_shared_classes(datamodule, data)
    for line in cautions(recipe, data.bands):
        _LOGGER.warning(line)
    counts = data.train_counts
    groups = class_groups(recipe.long_tail, data.classes, counts)
    module = FinetuningModule(recipe, built.classifier, counts, groups, datamodule)
    every = list(callbacks)
    if recipe.pruning is not None:
        every.append(PruneWhileTraining(recipe.pruning, len(modulated_sites(built.plan))))
    trainer = build_trainer(recipe, every)
    if recipe.compute.cache_features:
        _cache_features(datamodule, built.classifier, trainer.strategy.root_device)
    with quiet_lightning():
        trainer.fit(module, datamodule)
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


def evaluate(
    recipe: Recipe, data: LabelledData, statistics: BandStatistics, classifier: ChipClassifier
) -> Evaluation:
    """Classify the test chips, and measure the contributions of the sites on training chips.

    Args:
        recipe: The classifier's recipe.
        data: Its chips.
        statistics: Statistics that normalise the bands.
        classifier: The trained classifier.

    Raises:
        DataError: A chip is missing or unreadable.
    """
    datamodule = ChipDataModule(recipe, data, statistics)
    counts = data.train_counts
    groups = class_groups(recipe.long_tail, data.classes, counts)
    module = FinetuningModule(recipe, classifier, counts, groups, datamodule)
    started = time.perf_counter()
    with quiet_lightning():
        build_trainer(recipe, []).test(module, datamodule, verbose=False)
    seconds = round(time.perf_counter() - started, 2)
    predictions = module.predictions
    return Evaluation(
        compute_metrics(predictions.confusion(len(counts)), data.classes, counts, groups),
        predictions,
        contributions(classifier, datamodule.balanced_batches()),
        sum(tensor.numel() for tensor in classifier.parameters() if tensor.requires_grad),
        seconds,
    )


def write_run(
    folder: Path,
    recipe: Recipe,
    data: LabelledData,
    statistics: BandStatistics,
    built: BuiltModel,
    evaluation: Evaluation,
    seconds: Mapping[str, float],
) -> None:
    """Write all files of a run folder that holds its history already.

    Args:
        folder: A folder of `new_run`.
        recipe: The model's recipe.
        data: Its chips.
        statistics: Statistics that normalise the bands.
        built: The trained model.
        evaluation: Its results.
        seconds: Times for `resources.json`, besides that of the test.

    Raises:
        RunError: The history is missing, or a file cannot be written.
    """
    card = ModelCard(
        classes=data.classes,
        bands=tuple(band.name for band in data.bands),
        statistics=statistics,
        tile_size=data.tile_size,
        backbone=recipe.backbone.name,
        backbone_sha256=built.backbone_sha256,
        sites=tuple(modulated_sites(built.plan)),
        versions=current_versions(),
        pixel_size=data.pixel_size,
    )
    write_recipe(folder, recipe)
    write_plan(folder, built.plan)
    write_model(folder, built.classifier, card)
    facts = {
        "method": recipe.peft.method,
        "trainable_parameters": evaluation.trained_parameters,
        "backbone_parameters": built.backbone_parameters,
        "train_chips": len(data.train),
        "test_chips": len(data.test),
    }
    write_results(folder, evaluation.metrics, facts)
    write_predictions(folder, data.test, data.classes, evaluation.predictions)
    write_modulators(folder, built.plan, built.classifier, evaluation.contributions)
    resources: dict[str, Any] = {**seconds, "test_seconds": evaluation.seconds}
    resources |= {"peak_memory_megabytes": _peak_memory(), **card.versions}
    write_json(folder / "resources.json", resources)
    write_report(folder)


def _peak_memory() -> int | None:
    """Peak memory of this process in megabytes; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
