import numpy as np
import pandas as pd
from drawing import draw

from rsmeta.report.calibration_figures import calibration_diagram


def bins(chips, confidence, accuracy, calibrated):
    edges = np.linspace(0, 1, len(chips) + 1)
    return pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "chips": chips,
            "confidence": confidence,
            "accuracy": accuracy,
            "calibrated": calibrated,
        }
    )


def test_both_are_drawn_where_there_are_chips():
    before = bins([0, 10, 40], [np.nan, 0.5, 0.9], [np.nan, 0.6, 0.7], False)
    after = bins([5, 0, 45], [0.3, np.nan, 0.8], [0.2, np.nan, 0.75], True)
    ax = draw(calibration_diagram, pd.concat([before, after], ignore_index=True))
    first, second = ax.collections
    np.testing.assert_allclose(first.get_offsets(), [[0.5, 0.6], [0.9, 0.7]])
    np.testing.assert_allclose(second.get_offsets(), [[0.3, 0.2], [0.8, 0.75]])
    assert first.get_sizes()[0] < first.get_sizes()[1]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["as often right as it says", "before calibration", "after"]


def test_no_chips_at_all():
    empty = [np.nan] * 2
    table = pd.concat([bins([0, 0], empty, empty, calibrated) for calibrated in (False, True)])
    assert all(
        len(points.get_offsets()) == 0 for points in draw(calibration_diagram, table).collections
    )
