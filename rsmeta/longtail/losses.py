"""Training losses, built from a recipe section and the class counts."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rsmeta.recipe import CrossEntropy, LogitAdjusted, Loss

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (batch, classes) and labels (batch,) to a scalar loss."""


def build_loss(config: Loss, counts: NDArray[np.int64]) -> Criterion:
    """The loss of a recipe.

    Args:
        config: Recipe section.
        counts: Training chips of each class, (classes,), all > 0.
    """
    return LOSSES[type(config)](config, counts)


def logit_adjusted(tau: float, counts: NDArray[np.int64]) -> Criterion:
    """Cross-entropy of f_y(x) + tau * log pi_y, pi the class shares (Menon et al. 2021, eq. 10)."""
    prior = torch.from_numpy(counts / counts.sum())
    adjustment = (tau * prior.log()).float()

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits + adjustment.to(logits), labels)

    return criterion


LOSSES: dict[type[CrossEntropy] | type[LogitAdjusted], Callable[..., Criterion]] = {
    CrossEntropy: lambda config, counts: F.cross_entropy,
    LogitAdjusted: lambda config, counts: logit_adjusted(config.tau, counts),
}
