"""How the modulators moved while training, drawn into axes that the caller owns."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rsmeta.recipe import Position
from rsmeta.report.gamma_scale import gamma_bar, gamma_colours
from rsmeta.report.style import EMPTY, INK, label_axes, legend_above, matrix_style, plain


def modulator_course(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the gamma of each site after each epoch.

    The sites of a position are rows below each other, the block nearest the input at the top;
    bands are rows of their own.

    Args:
        table: Columns `epoch`, `block` (NaN for a band), `position` and `gamma`; a site has no
            row after it was pruned. At least one row.
        ax: Where to draw; a colour bar is put beside it.
    """
    found = [str(position) for position in table["position"]]
    known = [str(position) for position in Position]
    order = [name for name in dict.fromkeys(known + found) if name in set(found)]
    keyed = table.assign(place=[order.index(name) for name in found]).fillna({"block": -1})
    course = keyed.pivot(index=["place", "block"], columns="epoch", values="gamma")
    epochs = np.arange(course.columns.min(), course.columns.max() + 1)
    gamma = course.reindex(columns=epochs).to_numpy(dtype=float)

    colours, norm = gamma_colours(gamma)
    edges = np.arange(epochs[0], epochs[-1] + 2) - 0.5, np.arange(len(gamma) + 1)
    mesh = ax.pcolormesh(*edges, gamma, cmap=colours, norm=norm)
    gamma_bar(ax, mesh, norm)
    if np.isnan(gamma).any():
        legend_above(ax, [Patch(facecolor=EMPTY, edgecolor="#c9d0d7", label="pruned")])

    in_blocks = bool(table["block"].notna().any())
    rows = "position, in each block 0 at the top" if in_blocks else "band"
    label_axes(ax, "Strength γ after each epoch", "epoch", rows)
    matrix_style(ax)
    places = course.index.get_level_values("place").to_numpy()
    starts = np.searchsorted(places, np.arange(len(order) + 1))
    if in_blocks:
        for start in starts[1:-1]:
            ax.axhline(start, color=INK, linewidth=0.8)
    ax.set_yticks((starts[:-1] + starts[1:]) / 2, labels=[plain(name) for name in order])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
