import numpy as np
import pytest
from scipy.stats import entropy

from rsmeta.scenes.informativeness import diverse_batch, informativeness, rarity


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_informativeness_is_entropy_times_expected_rarity(classes):
    rng = np.random.default_rng(classes)
    probabilities = rng.dirichlet(np.full(classes, 0.3), 50)
    counts = rng.integers(1, 300, classes)
    expected = [
        entropy(row, base=classes)
        * sum(p * (counts.max() / n) ** 0.5 for p, n in zip(row, counts, strict=True))
        for row in probabilities
    ]
    assert np.allclose(informativeness(probabilities, rarity(counts)), expected, atol=1e-12)


def test_certain_tiles_tell_nothing_and_rare_classes_tell_more():
    weights = rarity(np.array([100, 100, 1]))
    assert list(weights) == [1, 1, 10]
    certain, common, rare = informativeness(
        np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]]), weights
    )
    assert certain == 0
    assert rare == pytest.approx(5.5 * common)


def reference(features, scores, places, apart, count):
    """The rule by loops."""
    chosen = []
    for _ in range(count):
        best = None
        for i, place in enumerate(places):
            if any(max(abs(place - places[j])) < apart for j in chosen):
                continue
            distance = 1.0
            for j in chosen:
                product = np.linalg.norm(features[i]) * np.linalg.norm(features[j])
                distance = min(distance, 1 - features[i] @ features[j] / product)
            gain = scores[i] * max(distance, 0.0)
            if best is None or gain > best[0]:
                best = gain, i
        if best is None:
            break
        chosen.append(best[1])
    return chosen


@pytest.mark.parametrize(("apart", "count"), [(1, 10), (2, 10), (2, 100), (4, 100)])
def test_batches_are_those_of_the_rule(apart, count):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(81, 6))
    scores = rng.random(81)
    places = np.stack(np.divmod(np.arange(81), 9), axis=1)
    chosen = diverse_batch(features, scores, places, apart, count)
    assert chosen.tolist() == reference(features, scores, places, apart, count)
    assert chosen[0] == scores.argmax()
    gaps = np.abs(places[chosen][:, None] - places[chosen][None]).max(axis=2)
    assert gaps[~np.eye(len(chosen), dtype=bool)].min() >= apart


def test_what_looks_alike_is_chosen_once():
    features = np.repeat(np.eye(3), 10, axis=0)
    places = np.stack([np.arange(30) * 2, np.zeros(30, dtype=int)], axis=1)
    scores = np.repeat([3.0, 2.0, 1.0], 10)
    chosen = diverse_batch(features, scores, places, 1, 3)
    assert sorted(chosen // 10) == [0, 1, 2]
