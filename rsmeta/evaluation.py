"""Evaluation of a finished run on labelled chips, with intervals and calibration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from rsmeta.data.chips import ChipSet, WrappedChips
from rsmeta.data.datamodule import ChipDataset, collate
from rsmeta.data.inspection import load_inspected
from rsmeta.errors import RecipeError, RunError
from rsmeta.longtail.calibration import expected_calibration_error, reliability_table
from rsmeta.longtail.intervals import Estimate, Estimates, estimate, score_columns
from rsmeta.longtail.metrics import Group, Metrics, compute_metrics
from rsmeta.longtail.predictions import ChipPredictions
from rsmeta.prediction_table import write_predictions
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import read_values, validate
from rsmeta.report.run_files import RunFiles
from rsmeta.runs import TrainedModel, confusion_frame, load_run, write_json
from rsmeta.table_records import records

TOLERANCE = 1e-6
"""Largest difference between stored and recomputed results on one machine."""

_BATCH_SIZE = 64  # that of the test after training: other batches round otherwise


@dataclass(frozen=True)
class RunEvaluation:
    """Results of a run's model on labelled chips.

    Attributes:
        metrics: Accuracy and precision by class and group.
        estimates: The same and F1, with 95 % intervals.
        predictions: What the model says of each chip.
        chips: The chips.
        calibration_error: Expected calibration error, 0..1.
        reliability: See `rsmeta.longtail.calibration.reliability_table`.
    """

    metrics: Metrics
    estimates: Estimates
    predictions: ChipPredictions
    chips: ChipSet
    calibration_error: float
    reliability: pd.DataFrame

    @property
    def class_table(self) -> pd.DataFrame:
        """One row a class: name, group, chips, and recall, precision and F1 with intervals."""
        rows = self.metrics.classes
        columns: dict[str, Any] = {
            "class": [row.name for row in rows],
            "group": [row.group.value for row in rows],
            "train_chips": [row.train_chips for row in rows],
            "test_chips": [row.test_chips for row in rows],
        }
        return pd.DataFrame(columns | score_columns(self.estimates))

    def values(self) -> dict[str, Any]:
        """Everything as plain values for JSON; null where a result is not defined."""
        names = [row.name for row in self.metrics.classes]
        return {
            "chips": len(self.predictions.labels),
            "accuracy": self.metrics.summary(),
            "intervals": {name: _interval(found) for name, found in self.estimates.summary.items()},
            "classes": records(self.class_table),
            "confusion": {"classes": names, "counts": self.metrics.confusion.tolist()},
            "calibration": {
                "expected_calibration_error": self.calibration_error,
                "bins": records(self.reliability),
            },
        }

    @property
    def confusion_table(self) -> pd.DataFrame:
        """Column `true class`, then the chips of each predicted class."""
        return confusion_frame(self.metrics)

    def write(self, folder: Path) -> None:
        """Write `evaluation.json`, and as CSV the classes, confusion, reliability and chips.

        Raises:
            RunError: The folder cannot be written.
        """
        tables = {
            "per_class": self.class_table,
            "confusion": self.confusion_table,
            "reliability": self.reliability,
        }
        names = [row.name for row in self.metrics.classes]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "evaluation.json", self.values())
            for name, table in tables.items():
                table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
            write_predictions(folder, self.chips, names, self.predictions)
        except OSError as error:
            raise RunError(
                f"'{folder}' cannot be written: {error.strerror}; choose another folder with --out"
            ) from error


def evaluate_run(
    run: Path, data: Path | None = None, *, seed: int = 0, model: TrainedModel | None = None
) -> RunEvaluation:
    """Classify labelled chips with the model of a run.

    Args:
        run: Run folder.
        data: Recipe, or a file with its `data` section alone, whose test chips to take; its
            classes and bands must be among those of the run. None for the test chips of the run.
        seed: Seed of the bootstrap.
        model: The model of the run, if it is loaded already.

    Raises:
        RunError: The run is incomplete, or the chips do not fit it.
        RecipeError: The recipe is not valid.
        DataError: Chips cannot be used.
    """
    model = load_run(run) if model is None else model
    chips = _chips(model, run, data)
    predictions = classify(model, chips)
    stored = RunFiles.read(run).classes.set_index("class")
    _check_classes(run, model, stored)
    known = stored.loc[list(model.classes)]
    groups = [Group(name) for name in known["group"]]
    counts = known["train_chips"].to_numpy(dtype=np.int64)
    confusion = predictions.confusion(len(model.classes))
    return RunEvaluation(
        metrics=compute_metrics(confusion, model.classes, counts, groups),
        estimates=estimate(confusion, groups, seed),
        predictions=predictions,
        chips=chips,
        calibration_error=expected_calibration_error(predictions),
        reliability=reliability_table(predictions),
    )


def verify_run(run: Path) -> float:
    """Recompute the stored test results of a run from its stored model and its data.

    Returns:
        The largest difference that was found, at most `TOLERANCE`.

    Raises:
        RunError: A result differs by more, or is defined in one of the two only.
        DataError: Chips cannot be used.
    """
    stored, found = RunFiles.read(run), evaluate_run(run).metrics
    classes = stored.classes.set_index("class")
    pairs = {f"{name} accuracy": (stored.accuracy[name], v) for name, v in found.summary().items()}
    for row in found.classes:
        for column in ("test_chips", "accuracy", "precision"):
            pair = float(classes.loc[row.name, column]), float(getattr(row, column))
            pairs[f"{column.replace('_', ' ')} of class '{row.name}'"] = pair
    differences = {name: _difference(*pair) for name, pair in pairs.items()}
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= TOLERANCE:
        before, now = pairs[worst]
        raise RunError(
            f"run '{run}' does not give its stored results again: {worst} is {_text(now)}, stored "
            f"is {_text(before)}; its model, its data or the libraries have changed"
        )
    return differences[worst]


@torch.inference_mode()
def classify(model: TrainedModel, chips: ChipSet) -> ChipPredictions:
    """Classify chips as the test after training does.

    Raises:
        DataError: A chip cannot be read.
    """
    recipe = model.recipe
    size = recipe.backbone.image_size
    dataset = ChipDataset(chips, model.card.statistics, size, None, recipe.seed)
    loader = DataLoader(dataset, batch_size=_BATCH_SIZE, collate_fn=collate)
    found = [(model.logits(batch["image"]).cpu(), batch["label"]) for batch in loader]
    logits, labels = (torch.cat(column) for column in zip(*found, strict=True))
    return ChipPredictions.from_logits(logits / model.card.temperature, labels)


# --- labelled chips -------------------------------------------------------------------------------


def _chips(model: TrainedModel, run: Path, file: Path | None) -> ChipSet:
    """Test chips of the run's own data, or of others, with labels in the order of the run."""
    recipe = model.recipe if file is None else _with_data(model.recipe, file)
    data = load_inspected(recipe).data
    if file is None:
        if data.classes != model.classes:
            raise RunError(
                f"run '{run}': its data now have the classes {', '.join(data.classes)}, it was "
                f"trained on {', '.join(model.classes)}; restore the data"
            )
        return data.test
    unknown = [name for name in data.classes if name not in model.classes]
    if unknown:
        raise RunError(
            f"data of '{file}' have the class '{unknown[0]}', which run '{run}' does not know; "
            f"allowed: {', '.join(model.classes)}"
        )
    wanted = [(band.name, band.unit) for band in model.recipe.data.selected_bands]
    if [(band.name, band.unit) for band in data.bands] != wanted:
        raise RunError(
            f"data of '{file}' have the bands {_bands(data.bands)}, run '{run}' was trained on "
            f"{_bands(model.recipe.data.selected_bands)}; set data.bands and data.units to these"
        )
    place = np.array([model.classes.index(name) for name in data.classes], dtype=np.int64)
    return _Relabelled(data.test, place[data.test.labels])


class _Relabelled(WrappedChips):
    """Chips of another set under other labels."""

    def __init__(self, chips: ChipSet, labels: NDArray[np.int64]) -> None:
        super().__init__(chips)
        self.labels = labels


def _with_data(recipe: Recipe, file: Path) -> Recipe:
    """The recipe with the data section of a file, which is a recipe or such a section alone."""
    values = read_values(file)
    section = values.get("data", values)
    if not isinstance(section, Mapping) or "source" not in section:
        raise RecipeError(
            [f"'{file}' has no section of chips; give a recipe with data.source, or that section"]
        )
    return validate(Recipe, recipe.model_dump(mode="json") | {"data": section})


def _bands(bands: Any) -> str:
    return ", ".join(f"{band.name} ({band.unit.value})" for band in bands)


# --- comparing and writing ------------------------------------------------------------------------


def _check_classes(run: Path, model: TrainedModel, stored: pd.DataFrame) -> None:
    if set(stored.index) != set(model.classes):
        raise RunError(
            f"run '{run}': per_class.csv and the model name different classes; it was changed: "
            "make it again with rsmeta finetune"
        )


def _difference(before: float | None, now: float | None) -> float:
    """Distance of two results; infinite where one of them alone is defined."""
    first, second = (np.nan if value is None else value for value in (before, now))
    if np.isnan(first) and np.isnan(second):
        return 0.0
    return float("inf") if np.isnan(first) or np.isnan(second) else abs(first - second)


def _text(value: float | None) -> str:
    return "not defined" if value is None or np.isnan(value) else f"{value:.8g}"


def _interval(found: Estimate) -> list[float] | None:
    return None if np.isnan(found.low) else [float(found.low), float(found.high)]
