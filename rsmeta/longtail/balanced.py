"""Cross-entropy in which all classes weigh alike."""

from torch import Tensor
from torch.nn import functional as F


def balanced_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the classes that occur of the mean cross-entropy of their chips.

    Args:
        logits: (chips, classes).
        labels: (chips,), int64.

    Returns:
        A scalar.
    """
    _, members, counts = labels.unique(return_inverse=True, return_counts=True)
    losses = F.cross_entropy(logits, labels, reduction="none")
    mean: Tensor = (losses / counts[members]).sum() / len(counts)
    return mean
