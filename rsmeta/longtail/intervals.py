"""Bootstrap intervals of the results on test chips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsmeta.longtail.metrics import Group

DRAWS = 1000
"""Bootstrap samples: the ends of a 95 % interval then rest on 25 samples each."""

_PERCENTILES = (2.5, 97.5)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Values with their 95 % intervals, arrays of one shape; NaN where not defined.

    Attributes:
        value: As measured.
        low: Lower ends.
        high: Upper ends.
    """

    value: Values
    low: Values
    high: Values


@dataclass(frozen=True)
class Estimates:
    """Results of a test with their intervals.

    Attributes:
        recall: Of each class, (classes,): its share of right chips, its accuracy.
        precision: Of each class: share of the chips classified as it that are of it.
        f1: Of each class: harmonic mean of both, 2 hits / (chips of it + chips classified as it).
        summary: `head`, `medium`, `tail`, `average` and `overall` accuracy, each of shape ().
    """

    recall: Estimate
    precision: Estimate
    f1: Estimate
    summary: dict[str, Estimate]


def estimate(
    confusion: NDArray[np.int64], groups: Sequence[Group], seed: int = 0, draws: int = DRAWS
) -> Estimates:
    """Derive all results and their percentile intervals from a confusion matrix.

    Chips are drawn with replacement within their true class, so that every sample has as many of
    each class as the test (Efron and Tibshirani 1993, chapter 8: several samples). Chips of one
    class differ in their predicted class alone, so a draw is multinomial in it. A class of few
    chips that are all right, or all wrong, gets an interval of no width: count its chips too.

    Args:
        confusion: (classes, classes) counts, rows true, columns predicted.
        groups: Group of each class.
        seed: Seed of the draws.
        draws: Number of bootstrap samples.
    """
    hits = np.diag(confusion).astype(np.float64)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    measured = _results(hits, true, predicted.astype(np.float64), groups)
    drawn = _results(*_resample(confusion, seed, draws), groups)
    found = {name: _with_interval(value, drawn[name]) for name, value in measured.items()}
    per_class = {name: found.pop(name) for name in ("recall", "precision", "f1")}
    return Estimates(**per_class, summary=found)


def score_columns(estimates: Estimates) -> dict[str, Values]:
    """Recall, precision and F1 of the classes as columns: `recall`, `recall_low`, and so on."""
    columns: dict[str, Values] = {}
    for name in ("recall", "precision", "f1"):
        found: Estimate = getattr(estimates, name)
        columns |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return columns


def _resample(
    confusion: NDArray[np.int64], seed: int, draws: int
) -> tuple[Values, NDArray[np.int64], Values]:
    """Hits (draws, classes), chips of a class (classes,) and predicted as it (draws, classes)."""
    generator = np.random.default_rng(seed)
    hits, predicted = np.zeros((2, draws, len(confusion)))
    for label, row in enumerate(confusion):
        (reached,) = np.nonzero(row)
        if not len(reached):
            continue
        sample = generator.multinomial(row.sum(), row[reached] / row.sum(), size=draws)
        predicted[:, reached] += sample
        hits[:, label] = sample[:, reached == label].sum(axis=1)
    return hits, confusion.sum(axis=1), predicted


def _results(
    hits: Values, true: NDArray[np.int64], predicted: Values, groups: Sequence[Group]
) -> dict[str, Values]:
    """All results from hits and predicted chips, each (..., classes)."""
    recall = _divide(hits, np.broadcast_to(true, hits.shape))
    present = true > 0
    members = {
        group.value: present & np.array([one is group for one in groups], dtype=np.bool_)
        for group in Group
    }
    members["average"] = present
    shape = hits.shape[:-1]
    means = {
        name: recall[..., chosen].mean(axis=-1) if chosen.any() else np.full(shape, np.nan)
        for name, chosen in members.items()
    }
    overall = _divide(hits.sum(axis=-1), np.broadcast_to(true.sum(), shape))
    return {
        "recall": recall,
        "precision": _divide(hits, predicted),
        "f1": _divide(2 * hits, true + predicted),
        **means,
        "overall": overall,
    }


def _divide(part: Values, whole: NDArray[np.int64] | Values) -> Values:
    shares: Values = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return shares


def _with_interval(value: Values, drawn: Values) -> Estimate:
    defined = np.isfinite(drawn).any(axis=0)
    # A class that is never predicted in any sample has no precision; percentiles would warn.
    ends = np.nanpercentile(np.where(defined, drawn, 0.0), _PERCENTILES, axis=0)
    low, high = np.where(defined & np.isfinite(value), ends, np.nan)
    return Estimate(value, low, high)
