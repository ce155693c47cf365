import numpy as np
import pytest
import shapely

from rsmeta.data.spatial_blocks import block_split, overlapping_pairs

NO_PAIRS = np.empty((0, 2), dtype=np.int64)


def scattered(seed, count=400, side=10):
    """Chips of long-tailed classes in clusters: blocks, labels, overlapping pairs, footprints."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(4, count, p=[0.6, 0.25, 0.1, 0.05])
    clusters = generator.uniform(0, 1000, (4, 12, 2))
    middles = clusters[labels, generator.integers(12, size=count)]
    corners = np.round(middles + generator.normal(0, 25, (count, 2)))
    boxes = shapely.box(*(corners + 0.01).T, *(corners + side - 0.01).T)
    blocks = np.unique((corners // 100).astype(int), axis=0, return_inverse=True)[1].reshape(-1)
    return blocks, labels, overlapping_pairs(boxes), corners


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_splits_of_scattered_chips(seed, fraction):
    blocks, labels, pairs, corners = scattered(seed)
    split = block_split(blocks, labels, pairs, fraction, seed)
    assert not (split.train & split.test).any()
    assert set(labels[split.train]) == set(labels[split.test]) == set(labels)
    for block in np.unique(blocks):
        assert len(np.unique(split.test[blocks == block])) == 1
    apart = np.abs(corners[split.train][:, None] - corners[split.test][None]).max(axis=2)
    assert apart.min() >= 10
    for chip in np.flatnonzero(~split.train & ~split.test):
        assert np.abs(corners[chip] - corners[split.test]).max(axis=1).min() < 10
    for label in np.unique(labels):
        assert split.test[labels == label].mean() == pytest.approx(fraction, abs=0.12)


def test_a_split_does_not_depend_on_the_order_of_the_chips_but_on_the_seed():
    blocks, labels, _, _ = scattered(0)
    order = np.random.default_rng(1).permutation(len(labels))
    split = block_split(blocks, labels, NO_PAIRS, 0.2, 3)
    shuffled = block_split(blocks[order], labels[order], NO_PAIRS, 0.2, 3)
    np.testing.assert_array_equal(split.test[order], shuffled.test)
    alike = np.arange(40)
    tests = [block_split(alike, alike % 2, NO_PAIRS, 0.2, seed).test for seed in (0, 1)]
    assert not np.array_equal(*tests)
    assert [int(test.sum()) for test in tests] == [8, 8]


def test_a_class_in_a_single_block_stays_in_training():
    blocks = np.array([0, 0, 0, 1, 2, 3, 4])
    labels = np.array([0, 0, 1, 1, 1, 1, 1])
    split = block_split(blocks, labels, NO_PAIRS, 0.2, 0)
    assert split.train[:2].all()
    assert split.test.sum() == 1


def test_a_class_of_two_blocks_is_in_both_parts():
    split = block_split(np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1]), NO_PAIRS, 0.2, 0)
    assert split.test.tolist().count(True) == 2
    assert split.train.tolist().count(True) == 2


def test_overlap_never_takes_the_last_training_chips_of_a_class():
    """Each chip of class 0 overlaps the other, in two blocks: neither can be tested with."""
    pairs = np.array([[0, 1], [1, 0]])
    split = block_split(np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1]), pairs, 0.4, 0)
    assert split.train[:2].all()
    assert sorted(split.test[2:].tolist()) == [False, True]


def test_training_chips_beside_test_chips_are_dropped():
    pairs = np.array([[0, 1], [1, 0]])
    labels = np.zeros(4, dtype=int)
    split = block_split(np.arange(4), labels, pairs, 0.25, 0)
    beside = split.test[[1, 0]]
    np.testing.assert_array_equal(split.train[:2], ~split.test[:2] & ~beside)


def test_one_block_cannot_be_split():
    split = block_split(np.zeros(5, dtype=int), np.array([0, 0, 1, 1, 1]), NO_PAIRS, 0.5, 0)
    assert split.train.all()
    assert not split.test.any()
