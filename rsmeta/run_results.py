"""What a trained model is worth on its test chips, and the run folder that tells it."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rsmeta.chip_gallery import write_gallery
from rsmeta.data.chips import LabelledData
from rsmeta.data.datamodule import ChipDataModule
from rsmeta.data.statistics import BandStatistics
from rsmeta.feature_map import write_feature_map
from rsmeta.longtail.geometry import class_distances
from rsmeta.longtail.groups import class_groups
from rsmeta.longtail.metrics import Metrics, compute_metrics
from rsmeta.longtail.outputs import ChipOutputs
from rsmeta.model_card import ModelCard, current_versions
from rsmeta.models.classifier import BuiltModel, ChipClassifier
from rsmeta.models.contribution import contributions
from rsmeta.peft.sites import AnySite, modulated_sites
from rsmeta.prediction_table import write_predictions
from rsmeta.recipe import Recipe
from rsmeta.runs import (
    write_json,
    write_model,
    write_modulators,
    write_plan,
    write_recipe,
    write_results,
)
from rsmeta.train.calibration import Calibration, calibrate
from rsmeta.train.module import FinetuningModule
from rsmeta.train.peak_memory import peak_memory
from rsmeta.train.trainer import build_trainer, quiet_lightning

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """What was found about a trained model.

    Attributes:
        metrics: Results on the test chips.
        outputs: What the model makes of each test chip.
        contributions: Of each site, see `rsmeta.models.contribution`; measured on training chips.
        trained_parameters: Number of trained parameters: adapters, head and learned modulators.
        seconds: Time that the test took.
        calibration: The temperature of its confidences.
    """

    metrics: Metrics
    outputs: ChipOutputs
    contributions: dict[AnySite, float]
    trained_parameters: int
    seconds: float
    calibration: Calibration


def evaluate(
    recipe: Recipe, data: LabelledData, statistics: BandStatistics, classifier: ChipClassifier
) -> Evaluation:
    """Calibrate, classify the test chips, and measure the sites' contributions on training chips.

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
    resampled = recipe.outer.resample == "epoch"
    calibration = calibrate(
        classifier, datamodule, balanced=recipe.outer.balanced, resampled=resampled
    )
    started = time.perf_counter()
    with quiet_lightning():
        build_trainer(recipe, []).test(module, datamodule, verbose=False)
    seconds = round(time.perf_counter() - started, 2)
    outputs = ChipOutputs(*module.tested, calibration.temperature)
    if (only := outputs.predictions.only_class) is not None:
        _LOGGER.warning(
            "all test chips are classified as '%s': training has collapsed, or was too short; try "
            "a lower inner.learning_rate, a lower peft.gamma, or more epochs",
            data.classes[only],
        )
    return Evaluation(
        compute_metrics(outputs.predictions.confusion(len(counts)), data.classes, counts, groups),
        outputs,
        contributions(classifier, datamodule.balanced_batches()),
        sum(tensor.numel() for tensor in classifier.parameters() if tensor.requires_grad),
        seconds,
        calibration,
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
    """Write all files but the report of a run folder that holds its history already.

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
        temperature=evaluation.calibration.temperature,
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
        "temperature": evaluation.calibration.temperature,
        "temperature_fitted_on": evaluation.calibration.fitted_on,
        "temperature_chips": evaluation.calibration.chips,
        "calibration_error_before": evaluation.outputs.calibration_errors[0],
        "calibration_error": evaluation.outputs.calibration_errors[1],
    }
    write_results(folder, evaluation.metrics, facts)
    outputs, groups = evaluation.outputs, [row.group for row in evaluation.metrics.classes]
    write_predictions(folder, data.test, data.classes, outputs.predictions, outputs.uncalibrated)
    write_gallery(folder, data, outputs, groups)
    write_feature_map(folder, outputs, data.classes, recipe.seed)
    _write_class_distances(folder / "class_distances.csv", outputs, data.classes)
    write_modulators(folder, built.plan, built.classifier, evaluation.contributions)
    resources: dict[str, Any] = {**seconds, "test_seconds": evaluation.seconds}
    resources |= {"peak_memory_megabytes": peak_memory(), **card.versions}
    write_json(folder / "resources.json", resources)


def _write_class_distances(path: Path, outputs: ChipOutputs, classes: Sequence[str]) -> None:
    """Write how far apart the classes of the test chips lie: one row and one column a class."""
    distances = class_distances(outputs.features.numpy(), outputs.labels.numpy(), len(classes))
    table = pd.DataFrame(distances.round(6), columns=list(classes))
    table.insert(0, "class", list(classes), allow_duplicates=True)
    table.to_csv(path, index=False, lineterminator="\n")
