"""What a model says of labelled chips, one by one."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class ChipPredictions:
    """Classes that a model gives to labelled chips.

    Attributes:
        labels: True class of each chip, (chips,).
        predicted: Class that the model gives it, (chips,).
        confidence: Probability of that class, (chips,), 0..1.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @classmethod
    def from_logits(cls, logits: Tensor, labels: Tensor) -> "ChipPredictions":
        """Take the most probable classes.

        Args:
            logits: (chips, classes).
            labels: (chips,).
        """
        # In float64, so that equal logits give equal digits in every file.
        confidence, predicted = logits.detach().to(torch.float64).softmax(dim=-1).max(dim=-1)
        return cls(labels.cpu().numpy(), predicted.cpu().numpy(), confidence.cpu().numpy())

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each chip is classified correctly, (chips,)."""
        correct: NDArray[np.bool_] = self.labels == self.predicted
        return correct

    @property
    def only_class(self) -> int | None:
        """The class that chips of several classes are all given; None where they differ."""
        several = len(np.unique(self.labels)) > 1
        given = np.unique(self.predicted)
        return int(given[0]) if several and len(given) == 1 else None

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """Counts, (classes, classes); rows are the true classes."""
        counts = np.bincount(self.labels * classes + self.predicted, minlength=classes**2)
        return counts.reshape(classes, classes).astype(np.int64)
