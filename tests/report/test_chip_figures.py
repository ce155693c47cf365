import numpy as np
import pandas as pd
import pytest
from drawing import draw, texts
from matplotlib.colors import to_hex

from rsmeta.longtail.metrics import Group
from rsmeta.palette import class_colours
from rsmeta.report.chip_figures import chip_pictures, feature_map
from rsmeta.report.style import GROUP_COLOURS


def chips(kind, count, shape=(8, 8)):
    rows = [
        {
            "kind": kind,
            "chip": f"{number}.tif",
            "true class": "ship",
            "predicted class": "$harbour" if number % 2 == 0 else "ship",
            "confidence": 0.9999,
            "true probability": 0.0004,
            "image": np.full((*shape, 4), 10 * number, dtype=np.uint8),
        }
        for number in range(count)
    ]
    return pd.DataFrame(rows)


def test_mistakes_say_how_sure_the_model_was():
    ax = draw(chip_pictures, chips("mistake", 1))
    assert texts(ax) == ["ship", r"→ \$harbour", "sure: >99 %"]


def test_tail_chips_say_what_the_true_class_got():
    ax = draw(chip_pictures, chips("tail", 2))
    assert texts(ax)[2:] == ["true class: <1 %", "ship", "✓", "true class: <1 %"]


@pytest.mark.parametrize("shape", [(8, 8), (3, 12), (12, 3)])
def test_pictures_keep_their_proportions_and_do_not_overlap(shape):
    ax = draw(chip_pictures, chips("mistake", 8, shape))
    boxes = [image.get_extent() for image in ax.images]
    for left, right, bottom, top in boxes:
        assert (right - left) / (bottom - top) == pytest.approx(shape[1] / shape[0])
        assert max(right - left, bottom - top) <= 1
    assert len({(box[0], box[2]) for box in boxes}) == 8
    assert max(box[1] for box in boxes) <= ax.get_xlim()[1]
    assert max(box[2] for box in boxes) <= ax.get_ylim()[0]


def features(classes, chips_a_class=4):
    rng = np.random.default_rng(1)
    rows = [
        (f"c{label}", "c0", label, ["head", "medium", "tail"][label % 3], *rng.normal(size=2))
        for label in range(classes)
        for _ in range(chips_a_class)
    ]
    columns = ["true class", "predicted class", "class_id", "group", "x", "y"]
    return pd.DataFrame(rows, columns=columns)


def test_few_classes_have_colours_and_names_of_their_own():
    ax = draw(feature_map, features(3))
    right, wrong = ax.collections
    assert len(right.get_offsets()) == 4 and len(wrong.get_offsets()) == 8
    found = {to_hex(colour) for points in (right, wrong) for colour in points.get_facecolor()}
    assert found == {to_hex([part / 255 for part in rgb]) for rgb in class_colours(3)}
    assert texts(ax) == ["c0", "c1", "c2"]


def test_many_classes_have_the_colours_of_their_groups():
    ax = draw(feature_map, features(21, 1))
    found = {to_hex(c) for points in ax.collections for c in points.get_facecolor()}
    assert found == set(GROUP_COLOURS.values())
    assert texts(ax) == []
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == [*(group.value for group in Group), "classified wrongly"]
