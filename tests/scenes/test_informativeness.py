import numpy as np
import pytest
from scipy.stats import entropy

from rsmeta.scenes.informativeness import diverse_batch, informativeness, mean_around, rarity


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_informativeness_is_rarity_and_uncertainty_of_tiles_like_their_neighbours(classes):
    rng = np.random.default_rng(classes)
    probabilities = rng.dirichlet(np.full(classes, 1 / classes), 200)
    around = rng.dirichlet(np.full(classes, 0.3), 200)
    around[::2] = probabilities[::2]
    counts = rng.integers(1, 300, classes)
    expected = []
    for p, q in zip(probabilities, around, strict=True):
        same = sum(p[c] * q[c] for c in range(classes))
        weight = sum(p[c] * counts.max() / counts[c] for c in range(classes))
        expected.append(weight * (1 + entropy(p, base=classes)) * same * same * same)
    found = informativeness(probabilities, rarity(counts), around)
    assert np.allclose(found, expected, atol=1e-12)


def test_rare_classes_tell_more_uncertain_tiles_too_and_border_tiles_little():
    weights = rarity(np.array([100, 100, 1]))
    assert list(weights) == [1, 1, 100]
    common, doubtful, rare = [1.0, 0, 0], [0.8, 0.2, 0], [0.0, 0, 1]
    tiles = np.array([common, doubtful, rare, rare])
    around = np.array([common, common, rare, [0.9, 0, 0.1]])
    certain, uncertain, inside, border = informativeness(tiles, weights, around)
    assert certain == 1
    assert uncertain / 0.8**3 > certain
    assert inside == 100
    assert border == pytest.approx(0.1)


def test_the_mean_around_is_that_of_the_eight_neighbours():
    values = np.random.default_rng(0).random((4, 5, 3))
    values[1, 2] = np.nan
    alone = np.full((1, 1, 3), 0.2)
    found = mean_around(values)
    for row in range(4):
        for column in range(5):
            around = [
                values[y, x]
                for y in range(max(0, row - 1), min(4, row + 2))
                for x in range(max(0, column - 1), min(5, column + 2))
                if (y, x) not in [(row, column), (1, 2)]
            ]
            assert np.allclose(found[row, column], np.mean(around, axis=0))
    assert np.array_equal(mean_around(alone), alone)


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
