"""Temperature calibration: one number that makes confidences agree with hit rates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from rsmeta.data.datamodule import ChipDataModule
from rsmeta.models.classifier import ChipClassifier
from rsmeta.train.held_out import held_out_logits

LOWEST, HIGHEST = 0.05, 20.0
"""Range of temperatures: chips that are all classified right, or none, have no finite optimum."""

SMALLEST_SAMPLE = 10
"""Fewer held-out chips than this say nothing about confidences."""


@dataclass(frozen=True)
class Calibration:
    """A temperature and what it was fitted on.

    Attributes:
        temperature: Divides the logits before the softmax; 1 where nothing was held out.
        chips: Number of chips that it was fitted on; 0 where it was not fitted.
        fitted_on: Which chips these are, or why there are none.
    """

    temperature: float
    chips: int
    fitted_on: str


def fit_temperature(
    logits: NDArray[np.float64], labels: NDArray[np.int64], *, balanced: bool
) -> float:
    """Find the temperature of least negative log-likelihood.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.

    Args:
        logits: (chips, classes).
        labels: (chips,), true classes.
        balanced: Whether every class that occurs weighs the same, else every chip.

    Returns:
        The temperature, in `LOWEST`..`HIGHEST`.
    """
    counts = np.bincount(labels, minlength=logits.shape[1])
    weights = 1 / counts[labels] if balanced else np.ones(len(labels))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-np.average(scores[rows, labels], weights=weights))

    # Convex in 1 / temperature, and so with a single valley in its logarithm.
    found = minimize_scalar(
        loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def calibrate(
    classifier: ChipClassifier, datamodule: ChipDataModule, *, balanced: bool, resampled: bool
) -> Calibration:
    """Fit the temperature on training chips that did not train in the last epoch.

    These are the outer part of the last epoch. Where it is drawn afresh each epoch, its chips
    trained in earlier ones, and the model is surer of them than of new chips: a temperature below
    1 would make it surer still, and is not believed. Test chips would not have this fault, but
    their results would no longer be a test.

    Args:
        classifier: The trained model; its mode stays as it was.
        datamodule: Its chips.
        balanced: Whether classes weigh alike, as in the outer loop.
        resampled: Whether the outer part was drawn afresh each epoch.

    Returns:
        The temperature; 1 where no chips, or fewer than `SMALLEST_SAMPLE`, were held out.
    """
    held_out = datamodule.held_out()
    if len(held_out) == 0:
        return Calibration(1.0, 0, "nothing: all training chips trained in the last epoch")
    if len(held_out) < SMALLEST_SAMPLE:
        return Calibration(1.0, 0, f"nothing: {len(held_out)} chips are too few")
    logits, labels = held_out_logits(classifier, datamodule.plain_batches(held_out))
    temperature = fit_temperature(logits.numpy(), labels.numpy(), balanced=balanced)
    if resampled and temperature < 1:
        reason = "the outer split of the last epoch; below 1, but its chips trained before"
        return Calibration(1.0, len(held_out), reason)
    return Calibration(temperature, len(held_out), "the outer split of the last epoch")
