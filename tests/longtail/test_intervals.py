import numpy as np
import pytest

from rsmeta.longtail.intervals import estimate, score_columns
from rsmeta.longtail.metrics import Group, compute_metrics

GROUPS = [Group.HEAD, Group.HEAD, Group.TAIL]
CONFUSION = np.array([[30, 8, 2], [5, 15, 0], [3, 1, 4]])


def chips(confusion):
    pairs = [(t, p) for (t, p), count in np.ndenumerate(confusion) for _ in range(count)]
    return np.array(pairs).T


def reference(confusion, draws):
    """Resamples chips one by one, and counts anew each time."""
    generator = np.random.default_rng(99)
    true, predicted = chips(confusion)
    found = []
    for _ in range(draws):
        members = [np.flatnonzero(true == label) for label in range(len(confusion))]
        drawn = np.concatenate([generator.choice(m, len(m)) for m in members])
        t, p = true[drawn], predicted[drawn]
        hits = np.array([np.sum((t == c) & (p == c)) for c in range(len(confusion))])
        said = np.array([np.sum(p == c) for c in range(len(confusion))])
        recall, precision = hits / np.bincount(t), hits / said
        f1 = 2 * recall * precision / (recall + precision)
        found.append([recall, precision, f1])
    return np.percentile(np.array(found), (2.5, 97.5), axis=0)


def test_intervals_are_those_of_resampled_chips():
    many = 5 * CONFUSION  # the ends of intervals of few chips jump from one chip to the next
    low, high = reference(many, 2000)
    found = estimate(many, GROUPS, draws=10_000)
    for place, result in enumerate((found.recall, found.precision, found.f1)):
        assert result.low == pytest.approx(low[place], abs=0.03)
        assert result.high == pytest.approx(high[place], abs=0.03)
        assert ((result.low <= result.value) & (result.value <= result.high)).all()


def test_values_are_those_of_the_metrics():
    names = ["a", "b", "c"]
    metrics = compute_metrics(CONFUSION, names, np.array([200, 120, 5]), GROUPS)
    found = estimate(CONFUSION, GROUPS)
    assert found.recall.value == pytest.approx([c.accuracy for c in metrics.classes], abs=1e-12)
    assert found.precision.value == pytest.approx([c.precision for c in metrics.classes], abs=1e-12)
    for name, value in metrics.summary().items():
        if value is None:
            assert np.isnan(found.summary[name].value) and np.isnan(found.summary[name].low)
        else:
            assert float(found.summary[name].value) == pytest.approx(value, abs=1e-12)
    assert found.f1.value[0] == pytest.approx(2 * 30 / (40 + 38), abs=1e-12)


def test_draws_depend_on_the_seed_alone():
    first, again, other = (score_columns(estimate(CONFUSION, GROUPS, s)) for s in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_what_is_not_defined_is_nan_without_a_warning(recwarn):
    confusion = np.array([[4, 0, 0], [2, 0, 0], [0, 0, 0]])
    found = estimate(confusion, GROUPS)
    assert found.recall.value[:2].tolist() == [1.0, 0.0]
    assert np.isnan([found.recall.value[2], found.recall.low[2], found.recall.high[2]]).all()
    assert np.isnan([found.precision.value[1], found.precision.high[1]]).all()
    assert found.f1.value[1] == 0 and np.isnan(found.f1.value[2])
    assert np.isnan(found.summary["tail"].value)
    assert not recwarn.list
