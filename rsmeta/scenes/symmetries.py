"""Test-time augmentation: the mean over the symmetries of the square."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rsmeta.prediction_options import TestTimeAugmentation
from rsmeta.scenes.classifier import TileClassifier


def mean_probabilities(
    classifier: TileClassifier, tiles: NDArray[np.float32], augmentation: TestTimeAugmentation
) -> NDArray[np.float32]:
    """Classify tiles as they are, or in all eight orientations.

    Args:
        classifier: The model.
        tiles: Physical units, (tiles, bands, size, size).
        augmentation: `none`, or `d4` for the mean probabilities over the dihedral group of the
            square, i.e. four rotations of the tile and of its mirror image. The sum is in
            float64, so that equal probabilities have exactly themselves as mean.

    Returns:
        (tiles, classes).
    """
    if augmentation == "none":
        return classifier.probabilities(tiles)
    total = np.zeros((), dtype=np.float64)
    for turned in orientations(tiles):
        total = total + classifier.probabilities(np.ascontiguousarray(turned)).astype(np.float64)
    return (total / 8).astype(np.float32)


def orientations(tiles: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Views of tiles (..., size, size) in the eight orientations, the given one first."""
    for mirrored in (tiles, tiles[..., ::-1]):
        for turns in range(4):
            yield np.rot90(mirrored, turns, axes=(-2, -1))
