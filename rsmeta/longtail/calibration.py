"""Whether a model is right as often as it says: reliability and expected calibration error."""

import numpy as np
import pandas as pd
import torch
from torchmetrics.functional.classification import binary_calibration_error

from rsmeta.longtail.predictions import ChipPredictions

BINS = 15
"""Bins of equal width, as in Guo et al. 2017."""

_BELOW_ONE = np.nextafter(1.0, 0.0)


def expected_calibration_error(predictions: ChipPredictions, bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over bins, weighted by their chips.

    Of the confidence in the predicted class (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", equation 3).

    Args:
        predictions: At least one chip.
        bins: Number of bins of equal width.

    Returns:
        0 (confidence is accuracy) to 1.
    """
    # torchmetrics opens a bin of its own for a confidence of exactly 1.
    confidence = torch.from_numpy(np.minimum(predictions.confidence, _BELOW_ONE))
    correct = torch.from_numpy(predictions.correct).int()
    return float(binary_calibration_error(confidence, correct, n_bins=bins, norm="l1"))


def reliability_table(predictions: ChipPredictions, bins: int = BINS) -> pd.DataFrame:
    """Confidence and accuracy of chips by confidence: the data of a reliability diagram.

    Args:
        predictions: The chips.
        bins: Number of bins of equal width.

    Returns:
        One row a bin: lower and upper (its limits), chips, and their mean confidence and accuracy;
        NaN where a bin has no chips.
    """
    place = np.minimum((predictions.confidence * bins).astype(np.int64), bins - 1)
    chips = np.bincount(place, minlength=bins)
    sums = {
        "confidence": np.bincount(place, predictions.confidence, minlength=bins),
        "accuracy": np.bincount(place, predictions.correct, minlength=bins),
    }
    edges = np.linspace(0, 1, bins + 1)
    table = pd.DataFrame({"lower": edges[:-1], "upper": edges[1:], "chips": chips})
    means = {
        name: np.divide(total, chips, out=np.full(bins, np.nan), where=chips > 0)
        for name, total in sums.items()
    }
    return table.assign(**means)
