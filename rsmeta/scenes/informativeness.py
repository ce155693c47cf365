"""Which tiles of a scene are worth a label: of rare classes, uncertain, and unlike each other."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr


def rarity(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weight of each class: the largest training count over its own, 1 for the most frequent.

    Args:
        counts: (classes,), training chips of each class, 1 or more.
    """
    weights: NDArray[np.float64] = counts.max() / counts
    return weights


def informativeness(
    probabilities: NDArray[np.floating],
    weights: NDArray[np.float64],
    around: NDArray[np.floating],
) -> NDArray[np.float64]:
    """How much the label of each tile is expected to tell.

    (sum_c p_c w_c) (1 + u) s^3, with

    - the expected weight of the true class, sum_c p_c w_c: of rare classes even a label that the
      model is sure of tells something, as a few hundred labels of the others do not;
    - the uncertainty u, the entropy of the prediction over its largest value,
      - sum_c p_c ln p_c / ln C (Settles 2009, Active Learning Literature Survey, section 3.1);
    - the probability s = sum_c p_c q_c that a tile and one that overlaps it are of one class. A
      tile across the border of two things is uncertain whatever the model learns, and nobody can
      label it; the cube weighs that as much as rarity.

    Args:
        probabilities: p, (tiles, classes), calibrated, two classes at least.
        weights: w, (classes,), see `rarity`.
        around: q, (tiles, classes), mean probabilities of the tiles that overlap each tile.

    Returns:
        (tiles,), 0 or more.
    """
    exact = probabilities.astype(np.float64)
    uncertainty = entr(exact).sum(axis=1) / np.log(exact.shape[1])
    same = (exact * around).sum(axis=1)
    scores: NDArray[np.float64] = (exact @ weights) * (1 + uncertainty) * same**3
    return scores


def mean_around(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean probabilities of the eight tiles around each, of itself where there is none.

    Args:
        probabilities: (tile rows, tile columns, classes), NaN where a tile was not classified.

    Returns:
        The same shape.
    """
    rows, columns, _ = probabilities.shape
    known = np.isfinite(probabilities[..., :1])
    padded = np.pad(np.where(known, probabilities, 0.0), ((1, 1), (1, 1), (0, 0)))
    counted = np.pad(known.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    around = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    total = sum(padded[y : y + rows, x : x + columns] for y, x in around)
    count = sum(counted[y : y + rows, x : x + columns] for y, x in around)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), probabilities)
    return mean


def diverse_batch(
    features: NDArray[np.floating],
    scores: NDArray[np.float64],
    places: NDArray[np.int64],
    apart: int,
    count: int,
) -> NDArray[np.int64]:
    """Choose tiles that are informative and unlike each other, one after the other.

    Greedy k-centre (Sener and Savarese 2018, arXiv 1708.00489) with weights, as the gradient
    embeddings of BADGE (Ash et al. 2020, arXiv 1906.03671) have them in their length: the next tile
    has the largest product of its score and its cosine distance to the nearest one chosen. The
    first has the highest score. Tiles that overlap a chosen one are passed over.

    Args:
        features: (tiles, width), what the head reads.
        scores: (tiles,), 0 or more.
        places: (tiles, 2), tile row and column.
        apart: Rows or columns from which on tiles do not overlap.
        count: How many to choose.

    Returns:
        Indexes in the order of the choice, fewer than `count` where tiles run out. Of equally good
        tiles it is the first.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    free = np.ones(len(features), dtype=np.bool_)
    distance = np.ones(len(features))
    chosen: list[int] = []
    while free.any() and len(chosen) < count:
        gain = np.where(free, scores * distance, -1.0)
        best = int(gain.argmax())
        chosen.append(best)
        distance = np.minimum(distance, np.maximum(1 - directions @ directions[best], 0.0))
        free &= (np.abs(places - places[best]) >= apart).any(axis=1)
    return np.array(chosen, dtype=np.int64)
