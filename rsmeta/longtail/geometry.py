"""How far apart the classes lie in the space of features."""

import numpy as np
from numpy.typing import NDArray


def class_distances(
    features: NDArray[np.floating], labels: NDArray[np.integer], classes: int
) -> NDArray[np.float64]:
    """Cosine distance between the mean directions of classes.

    The direction of a chip is its feature at unit length, as the cosine head compares it.

    Args:
        features: (chips, width).
        labels: Class of each chip, (chips,).
        classes: Number of classes.

    Returns:
        (classes, classes), 0 (same direction) to 2 (opposite); NaN for classes without chips.
    """
    directions = _unit(features.astype(np.float64))
    means = np.full((classes, features.shape[1]), np.nan)
    for label in np.unique(labels):
        means[label] = directions[labels == label].mean(axis=0)
    means = _unit(means)
    distances = 1 - np.clip(means @ means.T, -1, 1)
    np.fill_diagonal(distances, np.where(np.isnan(means[:, 0]), np.nan, 0))
    return distances


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = vectors / np.maximum(length, np.finfo(np.float64).tiny)
    return unit
