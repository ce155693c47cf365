"""How the modulators came about while training, drawn into axes that the caller owns."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rsmeta.recipe import Position
from rsmeta.report.gamma_scale import gamma_bar, gamma_colours
from rsmeta.report.style import (
    EMPTY,
    INK,
    SMALL,
    label_axes,
    legend_above,
    matrix_style,
    open_style,
    plain,
)

TRIALS = "#b8374a"
"""Colour of the outer loop in the learning curves: a trial is judged by its chips."""


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


def scale_trials(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the loss that the trial of each scale ended with.

    Args:
        table: Columns `trial_loss`, infinite where training diverged, and `gamma_mean`. At least
            one row.
        ax: Where to draw.
    """
    ordered = table.sort_values("gamma_mean")
    scales = [f"{scale:.3g}" for scale in ordered["gamma_mean"]]
    losses = ordered["trial_loss"].to_numpy(dtype=float)
    places = np.arange(len(losses))
    ended = np.isfinite(losses)
    ax.plot(places[ended], losses[ended], color=TRIALS, linewidth=1.8, marker="o", markersize=5)
    foot = ax.get_xaxis_transform()
    for place in places[~ended]:
        ax.text(place, 0.05, "diverged", transform=foot, ha="center", fontsize=SMALL, color=INK)
    label_axes(ax, "Trials of scales", "strength γ of all adapters", "loss of held-out chips")
    open_style(ax)
    ax.set_xticks(places, labels=scales)
    ax.set_xlim(-0.5, len(places) - 0.5)
