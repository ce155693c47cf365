"""Accuracy per class and over the head, medium and tail groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Group(StrEnum):
    """Groups of classes by their number of training chips."""

    HEAD = "head"
    MEDIUM = "medium"
    TAIL = "tail"


@dataclass(frozen=True)
class ClassMetrics:
    """Results of one class on the test chips; NaN where they are not defined.

    Attributes:
        name: Class name.
        group: Head, medium or tail.
        train_chips: Number of training chips.
        test_chips: Number of test chips.
        accuracy: Share of its test chips that are classified as it (recall).
        precision: Share of chips classified as it that are of it.
    """

    name: str
    group: Group
    train_chips: int
    test_chips: int
    accuracy: float
    precision: float


@dataclass(frozen=True)
class Metrics:
    """Test results of a run.

    Attributes:
        classes: Results by class.
        confusion: (classes, classes) counts; rows are the true classes.
        overall: Share of all test chips classified correctly.
    """

    classes: tuple[ClassMetrics, ...]
    confusion: NDArray[np.int64]
    overall: float

    @property
    def average(self) -> float:
        """Mean accuracy over the classes that have test chips."""
        return _mean([c.accuracy for c in self.classes])

    @property
    def imbalance_factor(self) -> float:
        """Training chips of the most frequent class over those of the rarest."""
        counts = [c.train_chips for c in self.classes]
        return max(counts) / min(counts)

    def of_group(self, group: Group) -> float:
        """Mean accuracy over the classes of a group; NaN where it has none."""
        return _mean([c.accuracy for c in self.classes if c.group is group])

    def summary(self) -> dict[str, float | None]:
        """Head, medium, tail, average and overall accuracy; None where a group is empty."""
        values = {group.value: self.of_group(group) for group in Group}
        values |= {"average": self.average, "overall": self.overall}
        return {name: None if np.isnan(value) else value for name, value in values.items()}


def compute_metrics(
    confusion: NDArray[np.int64],
    names: Sequence[str],
    train_counts: NDArray[np.int64],
    groups: Sequence[Group],
) -> Metrics:
    """Derive all results from a confusion matrix.

    Args:
        confusion: (classes, classes) counts, rows true, columns predicted.
        names: Class names.
        train_counts: Training chips of each class.
        groups: Group of each class.
    """
    hits = np.diag(confusion).astype(np.float64)
    test_counts, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    accuracy, precision = _divide(hits, test_counts), _divide(hits, predicted)
    overall = float(hits.sum() / confusion.sum()) if confusion.any() else float("nan")
    classes = tuple(
        ClassMetrics(
            name,
            groups[i],
            int(train_counts[i]),
            int(test_counts[i]),
            float(accuracy[i]),
            float(precision[i]),
        )
        for i, name in enumerate(names)
    )
    return Metrics(classes, confusion, overall)


def _divide(hits: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(hits, counts, out=np.full_like(hits, np.nan), where=counts > 0)


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
