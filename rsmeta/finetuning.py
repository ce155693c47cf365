"""Fine-tuning from recipe to run folder."""

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from rsmeta.data.chips import LabelledData
from rsmeta.data.datamodule import ChipDataModule
from rsmeta.data.outer_split import SMALLEST_SPLIT_CLASS
from rsmeta.data.sources import load_data
from rsmeta.data.statistics import BandStatistics, band_statistics
from rsmeta.longtail.metrics import Metrics, compute_metrics
from rsmeta.models.classifier import BuiltModel, ChipClassifier, build_classifier
from rsmeta.models.frozen_prefix import require_frozen_prefix
from rsmeta.peft.sites import modulated_sites
from rsmeta.recipe import Recipe
from rsmeta.report.run_report import write_report
from rsmeta.runs import (
    ModelCard,
    current_versions,
    final_path,
    new_run,
    write_json,
    write_model,
    write_modulators,
    write_plan,
    write_recipe,
    write_results,
)
from rsmeta.train.module import FinetuningModule
from rsmeta.train.progress import TrainingProgress
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
class _Training:
    """What training leaves behind."""

    module: FinetuningModule
    metrics: Metrics
    seconds: dict[str, float]


def finetune(recipe: Recipe, console: Console | None = None) -> FinishedRun:
    """Train and test a recipe's model and write the run folder.

    Args:
        recipe: The recipe.
        console: Where to show the plan and the progress; None for nowhere.

    Raises:
        DataError: Chips are missing or unreadable.
        BackboneError: The backbone cannot be loaded.
        RecipeError: The recipe does not fit the backbone.
        RunError: The run folder cannot be written.
    """
    with new_run(recipe.runs, recipe.name) as draft:
        data = load_data(recipe)
        statistics = band_statistics(data.train, data.bands)
        seed_everything(recipe.seed)
        built = build_classifier(recipe, data.bands, len(data.classes), statistics)
        built.classifier.store_frozen_low()
        write_plan(draft, built.plan)
        if console is not None:
            console.print(built.plan_table())
        training = _train(recipe, data, statistics, built, console)
        _write(draft, recipe, data, statistics, built, training)
    return FinishedRun(final_path(draft), training.metrics)


def _train(
    recipe: Recipe,
    data: LabelledData,
    statistics: BandStatistics,
    built: BuiltModel,
    console: Console | None,
) -> _Training:
    datamodule = ChipDataModule(recipe, data, statistics)
    _tell_shared_classes(datamodule, data)
    module = FinetuningModule(recipe, built.classifier, data.train_counts, datamodule)
    trainer = build_trainer(recipe, [] if console is None else [TrainingProgress(console)])
    started = time.perf_counter()
    if recipe.compute.cache_features:
        _cache_features(datamodule, built.classifier, trainer.strategy.root_device)
    with quiet_lightning():
        trainer.fit(module, datamodule)
        trained = time.perf_counter()
        trainer.test(module, datamodule, verbose=False)
    seconds = {
        "training_seconds": round(trained - started, 2),
        "test_seconds": round(time.perf_counter() - trained, 2),
    }
    metrics = compute_metrics(module.confusion, data.classes, data.train_counts, recipe.long_tail)
    return _Training(module, metrics, seconds)


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


def _write(
    folder: Path,
    recipe: Recipe,
    data: LabelledData,
    statistics: BandStatistics,
    built: BuiltModel,
    training: _Training,
) -> None:
    classifier = built.classifier
    card = ModelCard(
        classes=data.classes,
        bands=tuple(band.name for band in data.bands),
        statistics=statistics,
        tile_size=data.tile_size,
        backbone=recipe.backbone.name,
        backbone_sha256=built.backbone_sha256,
        sites=tuple(modulated_sites(built.plan)),
        versions=current_versions(),
    )
    write_recipe(folder, recipe)
    write_model(folder, classifier, card)
    facts = {
        "method": recipe.peft.method,
        "trainable_parameters": sum(t.numel() for t in classifier.trained_state().values()),
        "backbone_parameters": built.backbone_parameters,
        "train_chips": len(data.train),
        "test_chips": len(data.test),
    }
    write_results(folder, training.metrics, training.module.history, facts)
    write_modulators(folder, built.plan, classifier)
    resources = training.seconds | {"peak_memory_megabytes": _peak_memory(), **card.versions}
    write_json(folder / "resources.json", resources)
    write_report(folder)


def _peak_memory() -> int | None:
    """Peak memory of this process in megabytes; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
