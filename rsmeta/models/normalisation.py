"""Whether the band statistics of a model suit the chips it trains on."""

import numpy as np
import torch
from numpy.typing import NDArray

from rsmeta.data.chips import LabelledData
from rsmeta.data.statistics import BandMoments
from rsmeta.errors import DataError
from rsmeta.models.classifier import ChipClassifier

SMALLEST_STD, LARGEST_STD = 0.2, 5.0
"""Allowed standard deviation of a normalised band."""

_BATCHES, _BATCH_SIZE = 4, 32
_FIRST_STREAM = 8


@torch.no_grad()
def require_normalised(classifier: ChipClassifier, data: LabelledData, seed: int) -> None:
    """Check that chips have about unit variance in every band once the classifier normalised them.

    They have not where a few extreme pixels make up the standard deviation of all chips, or where
    the statistics are those of other data. Four batches of 32 training chips, drawn by the seed,
    are normalised, before they are resized; the standard deviation of their valid pixels, the
    median over the batches, is to be within 0.2..5 in each band.

    Args:
        classifier: The model.
        data: Its chips.
        seed: Seed of the draw.

    Raises:
        DataError: One line for each band that is outside.
    """
    generator = np.random.default_rng([seed, _FIRST_STREAM])
    order = generator.permutation(len(data.train))[: _BATCHES * _BATCH_SIZE]
    batches = np.array_split(order, max(1, len(order) // _BATCH_SIZE))
    spreads = []
    for batch in batches:
        moments = BandMoments(len(data.bands))
        for index in batch:
            chip = torch.from_numpy(data.train.read(int(index)))
            normalised: NDArray[np.float32] = classifier.normalise(chip[None])[0].numpy()
            moments.add(normalised.reshape(len(data.bands), -1))
        spreads.append(np.where(moments.count > 0, moments.std, np.nan))
    found = np.nanmedian(np.stack(spreads), axis=0)
    wrong = [
        f"band '{band.name}': normalised training batches have the standard deviation {std:.3g}; "
        f"allowed: {SMALLEST_STD} to {LARGEST_STD}; a few extreme pixels make up its statistics: "
        "set data.clip to percentiles, or convert linear radar values by data.units"
        for band, std in zip(data.bands, found.tolist(), strict=True)
        if not SMALLEST_STD <= std <= LARGEST_STD
    ]
    if wrong:
        raise DataError("\n".join(wrong))
