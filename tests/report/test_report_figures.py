from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from drawing import draw, texts, ticks
from matplotlib.colors import to_hex
from report_tables import class_table, confusion_table, history_table, modulator_table

from rsmeta.longtail.metrics import Group
from rsmeta.report import figures

MANY = [f"class {number}" for number in range(45)]


def bar_colours(ax):
    return [to_hex(patch.get_facecolor()) for patch in ax.patches]


def boxes_overlap(labels):
    boxes = [label.get_window_extent() for label in labels]
    return any(a.overlaps(b) for a, b in pairwise(boxes))


def test_modulator_map_has_a_gamma_in_every_site():
    table = modulator_table(range(4), ("fc2", "q"))
    ax = draw(figures.modulator_map, table)
    assert sorted(texts(ax)) == sorted(f"{gamma:.2f}" for gamma in table["gamma"])
    assert ticks(ax.yaxis) == ["q", "fc2"]  # order of the layers in a block, not of the table
    assert ticks(ax.xaxis) == ["0", "1", "2", "3"]


def test_modulator_map_puts_each_gamma_at_its_site():
    table = modulator_table(range(3), ("q", "v"))
    table["gamma"] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    ax = draw(figures.modulator_map, table)
    at = {(t.get_position()[0] - 0.5, t.get_position()[1] - 0.5): t.get_text() for t in ax.texts}
    assert at[(0, 0)] == "0.10" and at[(0, 1)] == "0.20"
    assert at[(2, 0)] == "0.50" and at[(2, 1)] == "0.60"


def test_modulator_map_is_centred_on_one():
    table = modulator_table(range(4)).assign(gamma=1.0)
    mesh = draw(figures.modulator_map, table).collections[0]
    assert mesh.norm(1.0) == pytest.approx(0.5)
    assert mesh.norm(1.001) == pytest.approx(0.5, abs=0.01)  # noise does not fill the scale


def test_modulator_map_hatches_sites_without_an_adapter():
    table = modulator_table([2, 3], ("q",))
    ax = draw(figures.modulator_map, table)
    assert len(texts(ax)) == 2
    assert [patch.get_xy() for patch in ax.patches] == [(0, 0), (1, 0)]
    assert all(patch.get_hatch() for patch in ax.patches)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["no adapter"]


def test_modulator_map_shows_a_gamma_that_is_not_a_number():
    table = modulator_table(range(2), ("q",))
    table.loc[0, "gamma"] = np.nan
    ax = draw(figures.modulator_map, table)
    assert "nan" in texts(ax)
    assert not ax.patches


def test_modulator_map_of_a_deep_backbone_is_not_annotated():
    ax = draw(figures.modulator_map, modulator_table(range(48)))
    assert not texts(ax)
    assert not boxes_overlap(ax.get_xticklabels())


def test_confusion_rows_are_shares_of_the_true_class():
    table = confusion_table(class_table(["a", "b"]))
    table.iloc[:, 1:] = [[3, 1], [0, 8]]
    ax = draw(figures.confusion_matrix, table)
    np.testing.assert_allclose(ax.collections[0].get_array(), [[75, 25], [0, 100]])
    assert texts(ax) == ["75", "25", "100"]
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["a", "b"]


def test_confusion_never_rounds_to_none_or_all():
    table = confusion_table(class_table(["a", "b"]))
    table.iloc[:, 1:] = [[999, 1], [0, 8]]
    assert texts(draw(figures.confusion_matrix, table)) == [">99", "<1", "100"]


def test_confusion_marks_classes_without_test_chips():
    ax = draw(figures.confusion_matrix, confusion_table(class_table("abc", unseen=("b",))))
    assert {patch.get_y() for patch in ax.patches} == {1}
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["no test chips"]


@pytest.mark.parametrize(("count", "annotated"), [(15, True), (16, False), (45, False)])
def test_confusion_is_annotated_up_to_fifteen_classes(count, annotated):
    ax = draw(figures.confusion_matrix, confusion_table(class_table(MANY[:count])))
    assert bool(texts(ax)) is annotated
    assert len(ticks(ax.xaxis)) == count


def test_distribution_is_sorted_and_coloured_by_group():
    table = class_table(MANY[:10]).sample(frac=1, random_state=0)
    ax = draw(figures.class_distribution, table)
    heights = [patch.get_y() + patch.get_height() for patch in ax.patches]
    assert heights == sorted(table["train_chips"], reverse=True)
    ordered = figures.by_training_chips(table)
    assert bar_colours(ax) == [figures.GROUP_COLOURS[Group(name)] for name in ordered["group"]]
    assert ax.get_yscale() == "log"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["head", "medium", "tail"]


def test_distribution_holds_classes_with_one_chip_and_with_none():
    table = class_table(["many", "one", "none"]).assign(train_chips=[200, 1, 0])
    ax = draw(figures.class_distribution, table)
    assert [patch.get_height() > 0 for patch in ax.patches] == [True, True, False]
    assert texts(ax) == ["200", "1", "0"]


def test_class_accuracy_marks_undefined_and_averages_the_rest():
    table = class_table(["a", "b", "c"]).assign(accuracy=[0.9, np.nan, 0.4])
    ax = draw(figures.class_accuracy, table)
    assert texts(ax) == ["90", "no test chips", "40"]
    assert "average 65.0 %" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_class_accuracy_without_any_test_chips():
    table = class_table(["a", "b"], unseen=("a", "b"))
    assert texts(draw(figures.class_accuracy, table)) == ["no test chips"] * 2


@pytest.mark.parametrize("function", [figures.class_distribution, figures.class_accuracy])
@pytest.mark.parametrize("count", [1, 20, 45, 130])
def test_names_below_bars_do_not_overlap(function, count):
    ax = draw(function, class_table([f"class {number}" for number in range(count)]))
    labels = ax.get_xticklabels()
    assert 1 <= len(labels) <= 60
    # The boxes of slanted labels overlap although their letters do not.
    assert labels[0].get_rotation() == 45 or not boxes_overlap(labels)


def test_learning_curves_leave_out_undefined_epochs():
    table = history_table(6)
    table.loc[[0, 3], "outer_loss"] = np.nan
    ax = draw(figures.learning_curves, table)
    inner, outer = ax.lines
    assert list(inner.get_xdata()) == [1, 2, 3, 4, 5, 6]
    assert list(outer.get_xdata()) == [2, 3, 5, 6]


@pytest.mark.parametrize("epochs", [0, 1, 100])
def test_learning_curves_of_any_length_without_outer_loop(epochs):
    ax = draw(figures.learning_curves, history_table(epochs, outer=False))
    assert len(ax.lines) == min(epochs, 1)


def test_names_are_text_not_mathematics():
    names = ["$x^2$ and $", "two\nlines", "a name that is much too long to be written out"]
    ax = draw(figures.class_accuracy, class_table(names))
    assert ticks(ax.xaxis) == [r"\$x^2\$ and \$", "two lines", "a name that is…itten out"]


def test_reliability_diagram_has_a_bar_and_a_count_for_each_bin_with_chips():
    edges = np.linspace(0, 1, 5)
    table = pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "chips": [0, 12, 0, 1300],
            "confidence": [np.nan, 0.4, np.nan, 0.97],
            "accuracy": [np.nan, 0.25, np.nan, 0.9],
        }
    )
    ax = draw(figures.reliability_diagram, table)
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0.25, 0.25), (0.75, 0.25)]
    assert [bar.get_height() for bar in ax.patches] == [0.25, 0.9]
    assert texts(ax) == ["12", "1,300"]
    means = ax.lines[0]
    assert list(means.get_xdata()) == [0.4, 0.97] and list(means.get_ydata()) == [0.25, 0.9]
