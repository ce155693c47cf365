import numpy as np
import pandas as pd
import pytest
from drawing import draw, ticks

from rsmeta.report.course_figures import modulator_course


def course(epochs, blocks, positions):
    rng = np.random.default_rng(0)
    rows = [
        (epoch, block, position, rng.uniform(0.5, 1.5))
        for epoch in range(1, epochs + 1)
        for block in blocks
        for position in positions
    ]
    return pd.DataFrame(rows, columns=["epoch", "block", "position", "gamma"])


def test_each_site_is_a_row_in_the_order_of_the_model():
    table = course(3, range(2), ("fc2", "q")).sample(frac=1, random_state=0)
    ax = draw(modulator_course, table)
    values = ax.collections[0].get_array()
    assert values.shape == (4, 3)
    at = table.set_index(["position", "block", "epoch"])["gamma"]
    sites = [("q", 0), ("q", 1), ("fc2", 0), ("fc2", 1)]
    expected = [[at[(*site, epoch)] for epoch in (1, 2, 3)] for site in sites]
    np.testing.assert_array_equal(values, expected)
    assert ticks(ax.yaxis) == ["q", "fc2"]
    assert ax.yaxis_inverted()


def test_pruned_sites_have_no_colour_from_then_on():
    table = course(4, range(2), ("q",))
    table = table[~((table["block"] == 1) & (table["epoch"] > 2))]
    ax = draw(modulator_course, table)
    missing = np.ma.getmaskarray(ax.collections[0].get_array())
    np.testing.assert_array_equal(missing, [[False] * 4, [False, False, True, True]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["pruned"]
    assert draw(modulator_course, course(4, range(2), ("q",))).get_legend() is None


@pytest.mark.parametrize("epochs", [1, 100])
def test_bands_are_rows_of_their_own(epochs):
    ax = draw(modulator_course, course(epochs, [np.nan], ("VV", "VH", "$x$")))
    assert ticks(ax.yaxis) == ["VV", "VH", r"\$x\$"]
    assert ax.collections[0].get_array().shape == (3, epochs)
    assert all(float(tick).is_integer() for tick in ax.get_xticks())
