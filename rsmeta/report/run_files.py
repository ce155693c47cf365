"""The tables and numbers of a run folder, read and checked for the report."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsmeta.chip_gallery import read_gallery
from rsmeta.errors import RunError
from rsmeta.feature_map import FEATURES
from rsmeta.gamma_history import GAMMA_HISTORY
from rsmeta.longtail.metrics import Group
from rsmeta.longtail.predictions import ChipPredictions
from rsmeta.prediction_table import read_predictions
from rsmeta.runs import require_files

_SHOWN_ELSEWHERE = ("accuracy", "groups", "train_counts")
_ACCURACIES = (*(group.value for group in Group), "average", "overall")


@dataclass(frozen=True)
class RunFiles:
    """What a report is made of.

    Attributes:
        recipe: The resolved recipe, as written.
        accuracy: Head, medium, tail, average and overall accuracy; None where undefined.
        facts: Further entries of `metrics.json`, e.g. method and trainable parameters.
        resources: Entries of `resources.json`.
        classes: `per_class.csv`.
        confusion: `confusion.csv`.
        modulators: `modulators.csv`; no rows for a method without sites.
        history: `history.csv`.
        predictions: `predictions.csv`; None for a run of an older version.
        uncalibrated: The same with the confidences before calibration; None likewise.
        gammas: `gamma_history.csv`, see `rsmeta.gamma_history`; no rows for an older version.
        features: `features.csv`, see `rsmeta.feature_map`; no rows for an older version.
        chips: See `rsmeta.chip_gallery.read_gallery`; None for an older version.
    """

    recipe: str
    accuracy: dict[str, float | None]
    facts: dict[str, Any]
    resources: dict[str, Any]
    classes: pd.DataFrame
    confusion: pd.DataFrame
    modulators: pd.DataFrame
    history: pd.DataFrame
    predictions: ChipPredictions | None
    uncalibrated: ChipPredictions | None
    gammas: pd.DataFrame
    features: pd.DataFrame
    chips: pd.DataFrame | None

    @classmethod
    def read(cls, run: Path) -> "RunFiles":
        """Read a run folder.

        Raises:
            RunError: The folder or one of its files is missing or damaged.
        """
        require_files(run)
        metrics = _read_json(run / "metrics.json")
        classes = _read_classes(run / "per_class.csv")
        return cls(
            recipe=_read_text(run / "recipe.yaml"),
            accuracy=_accuracy(run / "metrics.json", metrics.get("accuracy")),
            facts={key: metrics[key] for key in metrics if key not in _SHOWN_ELSEWHERE},
            resources=_read_json(run / "resources.json"),
            classes=classes,
            confusion=_read_confusion(run / "confusion.csv", list(classes["class"])),
            modulators=_read_modulators(run / "modulators.csv"),
            history=_read_history(run / "history.csv"),
            predictions=read_predictions(run, list(classes["class"])),
            uncalibrated=read_predictions(run, list(classes["class"]), calibrated=False),
            gammas=_read_gammas(run / GAMMA_HISTORY),
            features=_read_features(run / FEATURES, classes),
            chips=read_gallery(run),
        )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunError(
            f"run '{path.parent}' lacks {path.name}; it is not a complete run folder: "
            "choose another or make it again: rsmeta finetune"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunError.damaged(path, error) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_read_text(path))
    except ValueError as error:
        raise RunError.damaged(path, error) from error
    if not isinstance(values, dict):
        raise RunError.damaged(path, "it must hold a mapping")
    return values


def _accuracy(path: Path, values: Any) -> dict[str, float | None]:
    if not isinstance(values, dict):
        raise RunError.damaged(path, "'accuracy' must be a mapping")
    checked: dict[str, float | None] = {}
    for name in _ACCURACIES:
        value = values.get(name, "missing")
        # Python's JSON writes NaN as a number; to a reader it means the same as null.
        if value is None or (isinstance(value, float) and math.isnan(value)):
            checked[name] = None
        elif isinstance(value, (int, float)) and 0 <= value <= 1:
            checked[name] = float(value)
        else:
            raise RunError.damaged(path, f"accuracy '{name}' is {value!r}, allowed: null or 0 to 1")
    return checked


def _read_classes(path: Path) -> pd.DataFrame:
    whole = {"train_chips": False, "test_chips": False}
    table = _read_table(path, ("class", "group"), whole | {"accuracy": True, "precision": True})
    unknown = set(map(str, table["group"])) - {group.value for group in Group}
    if unknown:
        allowed = ", ".join(Group)
        raise RunError.damaged(path, f"group '{min(unknown)}' is unknown, allowed: {allowed}")
    if table["class"].duplicated().any():
        twice = table["class"][table["class"].duplicated()].iloc[0]
        raise RunError.damaged(path, f"class '{twice}' stands twice")
    return table


def _read_confusion(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    table = _read_table(path, ("true class",), {})
    counts = table.columns[1:]
    if table.columns[0] != "true class" or len(counts) != len(table):
        raise RunError.damaged(
            path, f"{len(table)} true classes but {len(counts)} predicted classes"
        )
    if list(table["true class"]) != list(classes):
        raise RunError.damaged(path, "its classes are not those of per_class.csv in their order")
    table = _to_numbers(path, table, dict.fromkeys(counts, False))
    numbers = table[counts].to_numpy()
    if (numbers < 0).any() or (numbers % 1 != 0).any():
        raise RunError.damaged(path, "a count is negative or no whole number")
    return table


def _read_modulators(path: Path) -> pd.DataFrame:
    whole = {"rank": False, "parameters": False}
    # A band has no block.
    table = _read_table(path, ("position", "method"), whole | {"block": True, "gamma": True})
    if (table["block"] < 0).any():
        raise RunError.damaged(path, f"block {table['block'].min():.0f} is negative")
    if table.duplicated(["block", "position"]).any():
        raise RunError.damaged(path, "a position of a block stands twice")
    if "contribution" not in table.columns:  # in runs of older versions
        return table.assign(contribution=np.nan)
    return _to_numbers(path, table, {"contribution": True})


def _read_history(path: Path) -> pd.DataFrame:
    table = _read_table(path, (), {"epoch": False, "loss": True, "outer_loss": True})
    if "trial_loss" not in table.columns:  # in runs of older versions
        return table.assign(trial_loss=np.nan)
    return _to_numbers(path, table, {"gamma_mean": True, "trial_loss": True})


def _read_gammas(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame([], columns=["epoch", "block", "position", "gamma"])
    return _read_table(path, ("position",), {"epoch": False, "block": True, "gamma": False})


def _read_features(path: Path, classes: pd.DataFrame) -> pd.DataFrame:
    """The features with the number and the group of each chip's class."""
    columns = "true class", "predicted class"
    if not path.is_file():
        return pd.DataFrame([], columns=[*columns, "x", "y", "class_id", "group"])
    table = _read_table(path, columns, {"x": False, "y": False})
    known = classes.reset_index(names="class_id").set_index("class")
    unknown = set(table["true class"]) - set(known.index)
    if unknown:
        raise RunError.damaged(path, f"class '{min(unknown)}' is not one of the run's")
    own = known.loc[table["true class"], ["class_id", "group"]]
    return table.assign(class_id=own["class_id"].to_numpy(), group=own["group"].to_numpy())


def _read_table(path: Path, texts: tuple[str, ...], numbers: Mapping[str, bool]) -> pd.DataFrame:
    """Read a CSV whose `numbers` columns hold numbers, or none where the value is True."""
    if not path.is_file():
        _read_text(path)  # raises, and says which file of which run
    try:
        # Everything as text first: a class may be called "NA", "None" or "007".
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise RunError.damaged(path, error) from error
    missing = [name for name in (*texts, *numbers) if name not in table.columns]
    if missing:
        raise RunError.damaged(path, f"column '{missing[0]}' is missing")
    return _to_numbers(path, table, numbers)


def _to_numbers(path: Path, table: pd.DataFrame, optional: Mapping[str, bool]) -> pd.DataFrame:
    converted = {}
    for name, may_be_empty in optional.items():
        try:
            values = np.array([float(cell or "nan") for cell in table[name]])
        except ValueError as error:
            raise RunError.damaged(path, f"column '{name}': {error}") from error
        if not (may_be_empty or np.isfinite(values).all()):
            raise RunError.damaged(path, f"column '{name}' has a cell that is empty or not finite")
        converted[name] = values
    return table.assign(**converted)
