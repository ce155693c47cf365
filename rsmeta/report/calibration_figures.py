"""Reliability before and after calibration, drawn into axes that the caller owns."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rsmeta.longtail.metrics import Group
from rsmeta.report.style import (
    DASHED,
    GROUP_COLOURS,
    label_axes,
    legend_above,
    open_style,
    share_axis,
)

_SMALLEST, _LARGEST = 12.0, 220.0  # square points
_BEFORE, _AFTER = "#e3a02f", GROUP_COLOURS[Group.HEAD]


def calibration_diagram(table: pd.DataFrame, ax: Axes) -> None:
    """Draw accuracy over confidence before and after calibration; larger points are more chips.

    Args:
        table: Rows of `rsmeta.longtail.calibration.reliability_table`, with a column `calibrated`
            that tells those before (False) and after (True) apart.
        ax: Where to draw.
    """
    (ideal,) = ax.plot([0, 1], [0, 1], label="as often right as it says", zorder=1, **DASHED)
    handles = [ideal]
    filled = table[table["chips"].to_numpy() > 0]
    most = max(1, int(filled["chips"].max())) if len(filled) else 1
    looks = [(False, "before calibration", _BEFORE, "o"), (True, "after", _AFTER, "s")]
    for calibrated, name, colour, marker in looks:
        own = filled[filled["calibrated"].to_numpy() == calibrated]
        confidence, accuracy = own["confidence"], own["accuracy"]
        sizes = np.clip(_LARGEST * own["chips"].to_numpy() / most, _SMALLEST, None)
        ax.plot(confidence, accuracy, color=colour, linewidth=1.2, zorder=2)
        points = ax.scatter(confidence, accuracy, sizes, color=colour, marker=marker, zorder=3)
        points.set(edgecolor="white", linewidth=0.8, alpha=0.8, clip_on=False)
        handles += ax.plot([], [], color=colour, marker=marker, markersize=5, label=name)
    label_axes(ax, "Reliability", "confidence in the predicted class", "accuracy")
    open_style(ax)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.03)
    for axis in (ax.xaxis, ax.yaxis):
        share_axis(axis)
    legend_above(ax, handles)
