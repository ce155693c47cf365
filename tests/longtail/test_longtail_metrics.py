import numpy as np
import pytest

from rsmeta.longtail.groups import assign_groups
from rsmeta.longtail.metrics import Group, compute_metrics
from rsmeta.recipe import LongTail

NAMES = ["field", "ship", "tank", "plane"]
COUNTS = np.array([500, 60, 12, 3])
CONFUSION = np.array([[8, 1, 1, 0], [2, 2, 0, 0], [0, 1, 3, 1], [1, 0, 0, 0]])
DEFAULT = LongTail()


def metrics(confusion=CONFUSION, counts=COUNTS, thresholds=DEFAULT):
    groups = assign_groups(np.array(counts), thresholds)
    return compute_metrics(np.array(confusion), NAMES[: len(counts)], np.array(counts), groups)


@pytest.mark.parametrize(
    ("count", "group"),
    [
        (101, Group.HEAD),
        (100, Group.MEDIUM),
        (20, Group.MEDIUM),
        (19, Group.TAIL),
        (1, Group.TAIL),
        (10**6, Group.HEAD),
    ],
)
def test_groups_have_the_limits_of_imagenet_lt(count, group):
    assert assign_groups(np.array([count]), DEFAULT) == [group]


def test_thresholds_that_meet_leave_no_medium():
    groups = assign_groups(np.array([6, 5]), LongTail(head_above=5, tail_below=6))
    assert groups == [Group.HEAD, Group.TAIL]


def test_all_numbers_agree_with_a_computation_by_hand():
    found = metrics()
    assert [c.group.value for c in found.classes] == ["head", "medium", "tail", "tail"]
    assert [c.name for c in found.classes] == NAMES
    assert [c.train_chips for c in found.classes] == COUNTS.tolist()
    assert [c.test_chips for c in found.classes] == [10, 4, 5, 1]
    assert [c.accuracy for c in found.classes] == pytest.approx([0.8, 0.5, 0.6, 0.0])
    assert [c.precision for c in found.classes] == pytest.approx([8 / 11, 2 / 4, 3 / 4, 0.0])
    assert found.summary() == pytest.approx(
        {"head": 0.8, "medium": 0.5, "tail": 0.3, "average": 1.9 / 4, "overall": 13 / 20}
    )


def test_a_class_without_test_chips_does_not_count():
    confusion = CONFUSION.copy()
    confusion[2] = 0
    found = metrics(confusion)
    assert np.isnan(found.classes[2].accuracy)
    assert found.classes[2].test_chips == 0
    assert found.classes[2].precision == 0  # one chip was taken for it, wrongly
    assert found.summary() == pytest.approx(
        {"head": 0.8, "medium": 0.5, "tail": 0.0, "average": 1.3 / 3, "overall": 10 / 15}
    )


def test_a_class_that_is_never_predicted_has_no_precision():
    confusion = CONFUSION.copy()
    confusion[:, 3] = 0
    assert np.isnan(metrics(confusion).classes[3].precision)
    assert metrics(confusion).classes[3].accuracy == 0


@pytest.mark.parametrize(
    ("counts", "empty"),
    [
        ([500, 500, 500, 500], {"medium", "tail"}),
        ([50, 50, 50, 50], {"head", "tail"}),
        ([5, 5, 5, 5], {"head", "medium"}),
        ([500, 500, 5, 5], {"medium"}),
    ],
)
def test_a_group_without_classes_is_none(counts, empty):
    summary = metrics(counts=counts).summary()
    assert {name for name, value in summary.items() if value is None} == empty
    assert summary["average"] == pytest.approx(1.9 / 4)


def test_a_group_whose_classes_have_no_test_chips_is_none():
    confusion = CONFUSION.copy()
    confusion[0] = 0
    assert metrics(confusion).summary()["head"] is None


def test_without_any_test_chip_no_accuracy_is_claimed():
    assert set(metrics(np.zeros((4, 4), dtype=np.int64)).summary().values()) == {None}
