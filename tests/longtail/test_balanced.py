import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from rsmeta.longtail.balanced import balanced_cross_entropy


@pytest.mark.parametrize("counts", [(7,), (90, 9, 1), (3, 0, 2, 60)])
@pytest.mark.parametrize("size", [0.1, 5.0, 300.0])
def test_it_is_the_mean_over_classes_of_the_means_over_their_chips(counts, size):
    generator = np.random.default_rng(len(counts))
    labels = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    logits = size * generator.normal(size=(len(labels), len(counts)))
    losses = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    means = [losses[labels == label].mean() for label in np.unique(labels)]
    found = balanced_cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(found) == pytest.approx(np.mean(means), rel=1e-12)
