"""`features.csv` of a run: the features of its test chips on a plane, by t-SNE."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsmeta.longtail.outputs import ChipOutputs

FEATURES = "features.csv"

_STREAM = 51
_MOST = 500  # chips: more take long, and hide each other
_FEWEST = 5
_PERPLEXITY = 30.0


def embed(features: NDArray[np.float32], seed: int) -> NDArray[np.float32] | None:
    """Put features on a plane, so that those of like direction lie close together.

    t-SNE (van der Maaten and Hinton 2008) of the features at unit length, as the cosine head
    compares them.

    Args:
        features: (chips, width).
        seed: Seed of t-SNE.

    Returns:
        (chips, 2) without unit; None for fewer than 5 chips or if all are the same.
    """
    if len(features) < _FEWEST:
        return None
    length = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.maximum(length, np.finfo(np.float32).tiny)
    if np.ptp(directions, axis=0).max() == 0:
        return None
    from sklearn.manifold import TSNE  # takes long to load

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    plane: NDArray[np.float32] = TSNE(
        perplexity=perplexity, init="pca", random_state=seed
    ).fit_transform(directions)
    return plane


def write_feature_map(
    folder: Path, outputs: ChipOutputs, classes: Sequence[str], seed: int
) -> None:
    """Write the place of each chip, of 500 drawn chips where there are more.

    Args:
        folder: Run folder.
        outputs: What the model makes of the test chips.
        classes: Class names.
        seed: Seed of the draw and of t-SNE.
    """
    chips = np.arange(len(outputs.labels))
    if len(chips) > _MOST:
        generator = np.random.default_rng([seed, _STREAM])
        chips = np.sort(generator.choice(chips, _MOST, replace=False))
    plane = embed(outputs.features.numpy()[chips], seed)
    chips = chips if plane is not None else chips[:0]
    x, y = np.empty((2, 0)) if plane is None else plane.T.round(3)
    names, found = np.array(classes, dtype=object), outputs.predictions
    columns = {
        "chip": chips,
        "true class": names[found.labels[chips]],
        "predicted class": names[found.predicted[chips]],
        "x": x,
        "y": y,
    }
    pd.DataFrame(columns).to_csv(folder / FEATURES, index=False, lineterminator="\n")
