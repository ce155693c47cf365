"""Means, and differences in pairs with a bootstrap interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsmeta.study.columns import SEED, VARIANT

_RESAMPLES = 10_000
_LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """A paired difference: mean and the limits of its bootstrap 95 % interval.

    Attributes:
        mean: Mean over the pairs.
        low, high: Limits of the interval; equal to the mean where there is one pair.
        pairs: Number of pairs.
    """

    mean: float
    low: float
    high: float
    pairs: int


def summarise(results: pd.DataFrame, by: Sequence[str], scores: Sequence[str]) -> pd.DataFrame:
    """Mean and standard error over seeds.

    Args:
        results: One row a cell.
        by: Columns that tell groups apart.
        scores: Columns to average.

    Returns:
        One row a group in the order of their first rows, indexed by it; columns (score, `mean` |
        `error`) and (`seeds`, `count`). The error of one seed is NaN.
    """
    groups = results.groupby(list(by), sort=False, dropna=False)
    parts = {}
    for score in scores:
        parts[score, "mean"] = groups[score].mean()
        parts[score, "error"] = groups[score].sem()
    parts["seeds", "count"] = groups[SEED].count()
    return pd.DataFrame(parts)


def paired_differences(
    results: pd.DataFrame, variant: str, baseline: str, pair: Sequence[str], score: str
) -> NDArray[np.float64]:
    """Score of a variant minus that of the baseline, for all pairs of which both are there.

    Args:
        results: One row a cell.
        variant: Name of a variant.
        baseline: Name of another.
        pair: Columns that must agree within a pair: seed and axes.
        score: Column to compare.
    """
    sides = [
        results[results[VARIANT] == name].set_index(list(pair))[score]
        for name in (variant, baseline)
    ]
    both = pd.concat(sides, axis=1, join="inner", keys=["variant", "baseline"])
    found: NDArray[np.float64] = (both["variant"] - both["baseline"]).dropna().to_numpy(float)
    return found


def bootstrap(differences: NDArray[np.float64], seed: int = 0) -> Difference:
    """Mean of paired differences with its percentile bootstrap interval (Efron 1979).

    Args:
        differences: (pairs,), at least one.
        seed: Seed of the resampling.

    Raises:
        ValueError: There is no pair.
    """
    if len(differences) == 0:
        raise ValueError("no pair to compare")
    generator = np.random.default_rng(seed)
    drawn = generator.choice(differences, (_RESAMPLES, len(differences))).mean(axis=1)
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Difference(float(differences.mean()), float(low), float(high), len(differences))
