"""`predictions.csv` of a run: what the model says of each test chip."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rsmeta.data.chips import ChipSet
from rsmeta.errors import RunError
from rsmeta.longtail.predictions import ChipPredictions

PREDICTIONS = "predictions.csv"
_COLUMNS = ["chip", "true class", "predicted class", "confidence"]
_UNCALIBRATED = "uncalibrated confidence"


def write_predictions(
    folder: Path,
    chips: ChipSet,
    classes: Sequence[str],
    predictions: ChipPredictions,
    uncalibrated: ChipPredictions | None = None,
) -> None:
    """Write each chip with its true class, its predicted class and the confidence in that.

    Args:
        folder: Where `predictions.csv` is to be.
        chips: The chips.
        classes: Class names.
        predictions: What the model says of the chips.
        uncalibrated: The same with the confidences before calibration, for a column of these.
    """
    names = np.array(classes, dtype=object)
    columns = (
        [chips.describe(index) for index in range(len(chips))],
        names[predictions.labels],
        names[predictions.predicted],
        predictions.confidence,
    )
    table = pd.DataFrame(dict(zip(_COLUMNS, columns, strict=True)))
    if uncalibrated is not None:
        table[_UNCALIBRATED] = uncalibrated.confidence
    table.to_csv(folder / PREDICTIONS, index=False, lineterminator="\n")


def read_predictions(
    run: Path, classes: Sequence[str], *, calibrated: bool = True
) -> ChipPredictions | None:
    """Read what `write_predictions` wrote.

    Args:
        run: Run folder.
        classes: Class names.
        calibrated: Whether to take the confidences after calibration or those before.

    Returns:
        The predictions; None where the run has none, as those of older versions.

    Raises:
        RunError: The file is damaged, or it names other classes.
    """
    path = run / PREDICTIONS
    if not path.is_file():
        return None
    index = {name: number for number, name in enumerate(classes)}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        true, predicted = (
            np.array([index[name] for name in table[column]], dtype=np.int64)
            for column in _COLUMNS[1:3]
        )
        if not calibrated and _UNCALIBRATED not in table.columns:
            return None
        column = _COLUMNS[3] if calibrated else _UNCALIBRATED
        confidence = table[column].to_numpy().astype(np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise RunError.damaged(path, error) from error
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise RunError.damaged(path, "a confidence is not in 0 to 1")
    return ChipPredictions(true, predicted, confidence)
