import numpy as np
import pytest
from scipy.spatial.distance import cosine

from rsmeta.longtail.geometry import class_distances


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [2, 17])
def test_they_are_those_between_mean_directions(seed, width):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(30) % 5)
    features = rng.normal(size=(30, width)) * rng.uniform(0.1, 40, size=(30, 1))
    found = class_distances(features, labels, 5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    means = [sum(unit[labels == label]) for label in range(5)]
    expected = [[cosine(a, b) for b in means] for a in means]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (np.diag(found) == 0).all()


def test_opposite_and_equal_directions():
    features = np.array([[1, 0], [3, 0], [0.1, 0], [-7, 0]])
    found = class_distances(features, np.array([0, 0, 1, 2]), 3)
    np.testing.assert_allclose(found, [[0, 0, 2], [0, 0, 2], [2, 2, 0]])


def test_a_class_without_chips_has_none():
    found = class_distances(np.eye(3), np.array([0, 2, 2]), 4)
    assert np.isnan(found[[1, 3]]).all() and np.isnan(found[:, [1, 3]]).all()
    assert np.isfinite(found[np.ix_([0, 2], [0, 2])]).all()
