from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmeta.data.outer_split import OuterSplitter, class_balanced_draw, random_draw

LABELS = np.repeat(np.arange(6), [50, 20, 5, 3, 2, 1])

label_vectors = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(
    lambda values: np.array(values, dtype=np.int64)
)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**31 - 1)


def split(labels=LABELS, fraction=0.2, resample="epoch", seed=0, epoch=0):
    return OuterSplitter(labels, fraction, resample, seed).split(epoch)


@given(label_vectors, fractions, seeds, st.integers(0, 1000))
def test_parts_cover_all_chips_and_share_those_of_tiny_classes_alone(labels, fraction, seed, epoch):
    parts = split(labels, fraction, seed=seed, epoch=epoch)
    inner, outer = parts.inner.tolist(), parts.outer.tolist()
    assert inner == sorted(set(inner))
    assert outer == sorted(set(outer))
    assert set(inner) | set(outer) == set(range(len(labels)))
    counts = Counter(labels.tolist())
    tiny = {index for index, label in enumerate(labels.tolist()) if counts[label] < 3}
    assert set(inner) & set(outer) == tiny
    for label, count in counts.items():
        held = int((labels[parts.outer] == label).sum())
        assert (labels[parts.inner] == label).any()
        assert held >= 1
        if count >= 3 and 1 <= fraction * count <= count - 1:
            assert abs(held - fraction * count) <= 0.5


def test_each_class_gives_its_share_to_the_outer_part():
    held = np.bincount(LABELS[split().outer]).tolist()
    assert held == [10, 4, 1, 1, 2, 1]
    assert np.bincount(LABELS[split().inner]).tolist() == [40, 16, 4, 2, 2, 1]


def test_a_class_gives_at_most_so_many_chips_to_the_outer_part():
    parts = OuterSplitter(LABELS, 0.2, "epoch", 0, most_per_class=3).split(0)
    assert np.bincount(LABELS[parts.outer]).tolist() == [3, 3, 1, 1, 2, 1]
    assert np.bincount(LABELS[parts.inner]).tolist() == [47, 17, 4, 2, 2, 1]


@pytest.mark.parametrize("resample", ["epoch", "never"])
def test_the_same_seed_and_epoch_give_the_same_split(resample):
    first, again = (split(resample=resample, seed=3, epoch=5) for _ in range(2))
    np.testing.assert_array_equal(first.inner, again.inner)
    np.testing.assert_array_equal(first.outer, again.outer)


def test_splits_are_drawn_afresh_each_epoch():
    outers = {tuple(split(epoch=epoch).outer) for epoch in range(10)}
    assert len(outers) == 10


def test_splits_that_are_never_resampled_stay():
    outers = {tuple(split(resample="never", epoch=epoch).outer) for epoch in range(10)}
    assert len(outers) == 1


def test_seeds_differ():
    assert len({tuple(split(seed=seed, resample="never").outer) for seed in range(10)}) == 10


def test_every_chip_of_a_large_class_is_held_out_some_day():
    held = set().union(*(split(epoch=epoch).outer.tolist() for epoch in range(60)))
    assert held == set(range(len(LABELS)))


def test_classes_too_small_to_split_are_named():
    assert OuterSplitter(LABELS, 0.2, "epoch", 0).shared_classes() == [4, 5]


@given(label_vectors, st.integers(1, 80), seeds, st.data())
def test_a_balanced_draw_takes_classes_in_turn_from_the_pool_alone(labels, size, seed, data):
    chosen = data.draw(st.lists(st.integers(0, len(labels) - 1), min_size=1, unique=True))
    pool = np.array(sorted(chosen), dtype=np.int64)
    drawn = class_balanced_draw(labels, pool, size, (seed, 0, 0))
    assert drawn.shape == (size,)
    assert set(drawn.tolist()) <= set(pool.tolist())
    counts = [int((labels[drawn] == label).sum()) for label in np.unique(labels[pool])]
    assert max(counts) - min(counts) <= 1
    for label in np.unique(labels[pool]):  # within a class, no chip twice before each came once
        members = pool[labels[pool] == label]
        times = Counter(drawn[labels[drawn] == label].tolist())
        often = [times[member] for member in members.tolist()]
        assert max(often) - min(often) <= 1


@pytest.mark.parametrize("size", [1, 3, 7])
def test_every_class_gets_its_turn_to_be_drawn_when_there_are_more_than_fit(size):
    pool = np.arange(len(LABELS))
    counts = np.zeros(6)
    for step in range(600):
        counts += np.bincount(
            LABELS[class_balanced_draw(LABELS, pool, size, (0, 0, step))], minlength=6
        )
    np.testing.assert_allclose(counts / counts.sum(), 1 / 6, atol=0.04)


def test_balanced_draws_are_a_function_of_their_key():
    pool = np.arange(len(LABELS))
    draws = {
        key: tuple(class_balanced_draw(LABELS, pool, 12, key))
        for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    }
    assert len(set(draws.values())) == 4
    assert draws[0, 0, 1] == tuple(class_balanced_draw(LABELS, pool, 12, (0, 0, 1)))


@given(st.integers(1, 30), st.integers(1, 80), seeds)
def test_a_random_draw_repeats_no_chip_before_all_came(count, size, seed):
    pool = np.arange(100, 100 + count)
    drawn = random_draw(pool, size, (seed, 0, 0))
    assert drawn.shape == (size,)
    assert set(drawn.tolist()) <= set(pool.tolist())
    often = [Counter(drawn.tolist())[member] for member in pool.tolist()]
    assert max(often) - min(often) <= 1


def test_without_a_split_all_chips_are_in_both_parts():
    splitter = OuterSplitter(LABELS, None, "epoch", 0)
    split = splitter.split(3)
    assert split.inner.tolist() == split.outer.tolist() == list(range(len(LABELS)))
    assert splitter.shared_classes() == []
