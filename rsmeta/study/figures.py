"""Figures of a study, each drawn from its results into axes that the caller owns."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from rsmeta.longtail.metrics import Group
from rsmeta.report.style import (
    EMPTY,
    GROUP_COLOURS,
    INK,
    MUTED,
    SMALL,
    colour_bar,
    hatch,
    label_axes,
    legend_above,
    matrix_style,
    open_style,
    percent_axis,
    plain,
    write_cell,
)
from rsmeta.study.columns import ALL_PASSES, VARIANT
from rsmeta.study.comparison import summarise

_COLOURS = {group.value: colour for group, colour in GROUP_COLOURS.items()} | {"average": INK}
_SHOWN = (Group.TAIL.value, "average")


def variant_accuracy(results: pd.DataFrame, ax: Axes) -> None:
    """Draw tail and average accuracy of every variant, mean and standard error over seeds.

    Args:
        results: One row a cell, of one combination of levels.
        ax: Where to draw; the first variant is at the top.
    """
    summary = summarise(results, [VARIANT], _SHOWN)
    handles = []
    for number, score in enumerate(_SHOWN):
        places = np.arange(len(summary)) + 0.15 * (2 * number - 1)
        handles.append(
            ax.errorbar(
                summary[score, "mean"], places, xerr=summary[score, "error"], label=score,
                color=_COLOURS[score], fmt="o", markersize=5, linewidth=1.6,
            )
        )  # fmt: skip
    label_axes(ax, "Accuracy by variant", "accuracy, mean and standard error over seeds", "")
    open_style(ax)
    ax.grid(axis="x", color=EMPTY)
    ax.set_yticks(np.arange(len(summary)), labels=[plain(str(name)) for name in summary.index])
    ax.invert_yaxis()
    percent_axis(ax.xaxis)
    legend_above(ax, handles)


def accuracy_by_cost(results: pd.DataFrame, ax: Axes) -> None:
    """Draw accuracy against what it costs in all, searching and training.

    Args:
        results: One row a cell, of one combination of levels.
        ax: Where to draw.
    """
    summary = summarise(results, [VARIANT], [*_SHOWN, ALL_PASSES])
    handles = [
        ax.errorbar(
            summary[ALL_PASSES, "mean"], summary[score, "mean"], summary[score, "error"],
            label=score, color=_COLOURS[score], fmt="o", markersize=5,
        )
        for score in _SHOWN
    ]  # fmt: skip
    for name, row in summary.iterrows():
        where = row[ALL_PASSES, "mean"], row["average", "mean"]
        ax.annotate(
            plain(str(name)), where, (0, 9), textcoords="offset points", ha="center",
            fontsize=SMALL, color=MUTED,
        )  # fmt: skip
    ax.set_xscale("log")
    label_axes(ax, "Accuracy by cost", "chips passed forward and backward", "accuracy")
    open_style(ax)
    ax.margins(x=0.15, y=0.15)
    percent_axis(ax.yaxis)
    legend_above(ax, handles)


def heat_map(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the mean accuracy over two axes, with a frame around the best.

    Args:
        table: Indexed by the levels of one axis, columns the levels of the other; in [0, 1], NaN
            where no cell has been run. Its index and columns are named as the axes are, and
            `table.attrs["score"]` says what was measured.
        ax: Where to draw; a colour bar is put beside it.
    """
    values = 100 * table.to_numpy(dtype=float)
    colours = colormaps["viridis"].with_extremes(bad=EMPTY)
    mesh = ax.pcolormesh(values, cmap=colours, edgecolors="white", linewidth=1)
    hatch(ax, np.argwhere(np.isnan(values)), "not run")
    for row, column in np.argwhere(~np.isnan(values)):
        value = values[row, column]
        write_cell(ax, column, row, f"{value:.1f}", colours(mesh.norm(value)))
    if not np.isnan(values).all():
        row, column = map(int, np.unravel_index(np.nanargmax(values), values.shape))
        ax.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor="#d62728", linewidth=2.5))
    colour_bar(ax, mesh, format="%d %%")
    title = f"{table.attrs['score']} accuracy in %, the best framed"
    label_axes(ax, title, str(table.columns.name), str(table.index.name))
    matrix_style(ax)
    ax.set_xticks(np.arange(values.shape[1]) + 0.5, labels=[plain(str(c)) for c in table.columns])
    ax.set_yticks(np.arange(values.shape[0]) + 0.5, labels=[plain(str(r)) for r in table.index])
