import math

import numpy as np
import pandas as pd
import pytest
from drawing import draw, texts, ticks

from rsmeta.report.course_figures import scale_trials


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_losses_stand_over_the_scales_in_their_order(order):
    table = pd.DataFrame(
        {"gamma_mean": [0.25, 0.5, 1.0, 4.0], "trial_loss": [1.5, 1.4, 2.4, math.inf]}
    )
    ax = draw(scale_trials, table.iloc[list(order)])
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xydata(), [(0, 1.5), (1, 1.4), (2, 2.4)])
    assert ticks(ax.xaxis) == ["0.25", "0.5", "1", "4"]
    assert texts(ax) == ["diverged"]
    assert ax.texts[0].get_position()[0] == 3


def test_trials_that_all_diverged_have_no_line():
    table = pd.DataFrame({"gamma_mean": [2.0, 4.0], "trial_loss": [math.inf, math.inf]})
    ax = draw(scale_trials, table)
    assert not len(ax.lines[0].get_xdata())
    assert texts(ax) == ["diverged", "diverged"]
