import numpy as np
import pytest
from pydantic import ValidationError

from rsmeta.data.chips import ChipArray, WrappedChips
from rsmeta.data.long_tail_draw import draw_long_tail
from rsmeta.errors import DataError
from rsmeta.recipe import FolderData

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [40, 50, 60, 45, 55]))


def counts(drawn):
    return np.bincount(LABELS[drawn], minlength=5)


@pytest.mark.parametrize("imbalance", [1.0, 4.0, 10.0, 20.0])
@pytest.mark.parametrize("seed", range(4))
def test_counts_fall_exponentially_from_largest_to_smallest(imbalance, seed):
    found = np.sort(counts(draw_long_tail(LABELS, imbalance, 40, seed)))[::-1]
    assert found.tolist() == [round(40 * imbalance ** (-rank / 4)) for rank in range(5)]


def test_the_seed_draws_which_classes_are_frequent():
    orders = {tuple(np.argsort(counts(draw_long_tail(LABELS, 20, 40, s)))) for s in range(20)}
    assert len(orders) > 10
    again = [draw_long_tail(LABELS, 20, 40, 3) for _ in range(2)]
    assert np.array_equal(*again)


@pytest.mark.parametrize("seed", range(10))
def test_by_default_as_many_are_drawn_as_every_class_allows(seed):
    drawn = draw_long_tail(LABELS, 10, None, seed)
    found = np.sort(counts(drawn))[::-1]
    assert len(set(drawn.tolist())) == len(drawn)
    assert found[0] >= 40
    assert abs(found[0] / found[-1] - 10) < 1.5


def test_more_than_there_are_is_one_line():
    with pytest.raises(DataError, match=r"data\.largest_class 200 asks for 200 chips"):
        draw_long_tail(LABELS, 10, 200, 0)


def test_a_subset_reads_the_chips_of_its_indexes():
    images = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
    subset = WrappedChips(ChipArray(images, np.array([0, 1, 0, 1])), np.array([3, 0]))
    assert len(subset) == 2
    assert subset.labels.tolist() == [1, 0]
    assert [subset.read(index).item() for index in range(2)] == [3, 0]
    assert subset.describe(0) == "chip 3"


def test_largest_class_without_imbalance_is_an_error():
    with pytest.raises(ValidationError, match="no effect without imbalance"):
        FolderData(source="folder", root=".", sensor="rgb", largest_class=5)
