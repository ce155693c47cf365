"""Figures of a run, each drawn from one of its tables into axes that the caller owns.

Nothing here touches pyplot: a figure works the same in a notebook, a script and a thread.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import PowerNorm
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from rsmeta.longtail.metrics import Group
from rsmeta.recipe import Position
from rsmeta.report.gamma_scale import gamma_bar, gamma_colours
from rsmeta.report.style import (
    DASHED,
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
    plain,
    share_axis,
    whole_percent,
    write_cell,
)

_ANNOTATED_CLASSES = 15
_ANNOTATED_BARS = 30
_ANNOTATED_BLOCKS = 32
_NAMED_CLASSES = 60
_LEVEL_LETTERS = 45  # room for names side by side; longer ones are slanted


# --- figures --------------------------------------------------------------------------------------


def modulator_map(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the gammas as a map of block by position.

    Args:
        table: Columns `block`, `position` and `gamma`; one row a site, at least one row.
        ax: Where to draw; a colour bar is put beside it.
    """
    known = [str(position) for position in Position]
    found = [str(position) for position in table["position"]]
    positions = [name for name in dict.fromkeys(known + found) if name in set(found)]
    gamma = np.full((len(positions), int(table["block"].max()) + 1), np.nan)
    planned = np.zeros(gamma.shape, dtype=bool)
    sites = [positions.index(name) for name in found], table["block"].to_numpy(dtype=int)
    gamma[sites], planned[sites] = table["gamma"].to_numpy(dtype=float), True

    colours, norm = gamma_colours(gamma)
    mesh = ax.pcolormesh(gamma, cmap=colours, norm=norm, edgecolors="white", linewidth=1)
    hatch(ax, np.argwhere(~planned), "no adapter")
    if gamma.shape[1] <= _ANNOTATED_BLOCKS:
        for row, column in np.argwhere(planned):
            value = gamma[row, column]
            write_cell(ax, column, row, f"{value:.2f}", colours(norm(value)))

    gamma_bar(ax, mesh, norm)
    label_axes(ax, "Strength γ of each adapter", "block (0 is nearest the input)", "position")
    matrix_style(ax)
    step = math.ceil(gamma.shape[1] / _ANNOTATED_BLOCKS)
    blocks = np.arange(0, gamma.shape[1], step)
    ax.set_xticks(blocks + 0.5, labels=[str(block) for block in blocks])
    ax.set_yticks(np.arange(len(positions)) + 0.5, labels=[plain(name) for name in positions])


def band_modulators(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the gammas of bands as bars, in the order of the bands.

    Args:
        table: Columns `position` (name of the band) and `gamma`; at least one row.
        ax: Where to draw.
    """
    gamma = table["gamma"].to_numpy(dtype=float)
    places = np.arange(len(table))
    ax.barh(places, np.nan_to_num(gamma), 0.72, color=GROUP_COLOURS[Group.HEAD], zorder=2)
    for place, value in zip(places, gamma, strict=True):
        ax.annotate(
            "–" if np.isnan(value) else f"{value:.2f}", (np.nan_to_num(value), place), (3, 0),
            textcoords="offset points", va="center", fontsize=SMALL, color=INK,
        )  # fmt: skip
    ax.axvline(1, zorder=3, **DASHED)
    label_axes(ax, "Strength γ of each band's update", "γ", "")
    open_style(ax)
    ax.grid(visible=False, axis="y")
    ax.set_xlim(0, 1.12 * max(1.0, float(np.nan_to_num(gamma).max(initial=0))))
    ax.set_yticks(places, labels=[plain(str(name)) for name in table["position"]])
    ax.invert_yaxis()


def confusion_matrix(table: pd.DataFrame, ax: Axes) -> None:
    """Draw a confusion matrix, each row in percent of its true class.

    Args:
        table: First column the true class, then the counts of each predicted class in the
            same order.
        ax: Where to draw; a colour bar is put beside it.
    """
    names = [str(name) for name in table.iloc[:, 0]]
    counts = table.iloc[:, 1:].to_numpy(dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)

    colours = colormaps["Blues"].with_extremes(bad=EMPTY)
    norm = PowerNorm(0.6, 0, 100)  # a confusion of 5 % must be seen beside a diagonal of 90 %
    mesh = ax.pcolormesh(shares, cmap=colours, norm=norm)
    hatch(ax, np.argwhere(np.isnan(shares)), "no test chips")
    if len(names) <= _ANNOTATED_CLASSES:
        for row, column in np.argwhere(shares > 0):
            share = shares[row, column]
            write_cell(ax, column, row, whole_percent(share), colours(norm(share)))

    ticks = [0, 5, 20, 40, 60, 80, 100]
    colour_bar(ax, mesh, 0.04, ticks=ticks, format="%d %%")
    label_axes(ax, "Confusion matrix, % of each true class", "predicted class", "true class")
    matrix_style(ax)
    ax.set_aspect("equal")
    _class_ticks(ax, ax.xaxis, names, 0.5)
    _class_ticks(ax, ax.yaxis, names, 0.5)


def class_distribution(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the training chips of each class, most frequent first, on a logarithmic scale.

    Args:
        table: Columns `class`, `group` and `train_chips`.
        ax: Where to draw.
    """
    ordered = by_training_chips(table)
    counts = ordered["train_chips"].to_numpy(dtype=float)
    ax.set_yscale("log")
    # Half a chip is the floor, so that a class of one chip still has a bar; a class of none has
    # a bar of height zero.
    floor = 0.5
    _group_bars(ax, ordered, np.maximum(counts, floor) - floor, bottom=floor)
    if len(ordered) <= _ANNOTATED_BARS:
        for place, count in enumerate(counts):
            _write_above(ax, place, max(count, floor), f"{count:.0f}")
    ax.set_ylim(floor, 2 * max(counts.max(initial=1), 1))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    label_axes(ax, "Training chips of each class", "", "training chips")
    _bar_style(ax, ordered)


def class_accuracy(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the test accuracy of each class, most training chips first.

    Args:
        table: Columns `class`, `group`, `train_chips` and `accuracy`; NaN where undefined.
        ax: Where to draw.
    """
    ordered = by_training_chips(table)
    accuracy = ordered["accuracy"].to_numpy(dtype=float)
    _group_bars(ax, ordered, np.nan_to_num(accuracy))
    for place, value in enumerate(accuracy):
        if np.isnan(value):
            _write_above(ax, place, 0, "no test chips", rotation=90)
        elif len(ordered) <= _ANNOTATED_BARS:
            _write_above(ax, place, value, f"{100 * value:.0f}")
    average = np.nan if np.isnan(accuracy).all() else float(np.nanmean(accuracy))
    lines = []
    if not np.isnan(average):
        label = f"average {100 * average:.1f} %"
        lines = [ax.axhline(average, label=label, zorder=3, **DASHED)]
    ax.set_ylim(0, 1.08)
    share_axis(ax.yaxis)
    label_axes(ax, "Test accuracy of each class", "", "accuracy")
    _bar_style(ax, ordered, lines)


def learning_curves(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the loss of the inner and of the outer loop by epoch.

    Args:
        table: Columns `epoch`, `loss` and `outer_loss`; NaN where undefined.
        ax: Where to draw.
    """
    curves = [
        ("loss", "inner loop: training batches", "#2f6db5", "o"),
        ("outer_loss", "outer loop: validation batches", "#b8374a", "s"),
    ]
    for column, name, colour, marker in curves:
        defined = table[np.isfinite(table[column].to_numpy(dtype=float))]
        if len(defined):
            (line,) = ax.plot(defined["epoch"], defined[column], color=colour, label=name)
            line.set(linewidth=1.8, clip_on=False)
            if len(table) <= 40:
                line.set(marker=marker, markersize=4.5)
    label_axes(ax, "Loss by epoch", "epoch", "mean loss")
    open_style(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    if len(table):
        first, last = float(table["epoch"].min()), float(table["epoch"].max())
        ax.set_xlim(first - 0.5 * (first == last), last + 0.5 * (first == last))
    if ax.lines:
        ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK)


def reliability_diagram(table: pd.DataFrame, ax: Axes) -> None:
    """Draw accuracy over confidence, with the chips of each bin written above its bar.

    Args:
        table: See `rsmeta.longtail.calibration.reliability_table`.
        ax: Where to draw.
    """
    filled = table[table["chips"].to_numpy() > 0]
    lower, width = filled["lower"].to_numpy(), (filled["upper"] - filled["lower"]).to_numpy()
    accuracy = filled["accuracy"].to_numpy(dtype=float)
    colour = GROUP_COLOURS[Group.HEAD]
    ax.bar(lower, accuracy, width, align="edge", color=colour, edgecolor="white", zorder=2)
    # Bars stand at the bins; the points stand at what the model says on average in each.
    points: dict[str, Any] = {
        "color": INK,
        "marker": "o",
        "markersize": 4,
        "linestyle": "none",
        "zorder": 4,
    }
    (said,) = ax.plot(filled["confidence"], accuracy, label="mean confidence", **points)
    (ideal,) = ax.plot([0, 1], [0, 1], label="as often right as it says", zorder=3, **DASHED)
    for left, step, height, chips in zip(lower, width, accuracy, filled["chips"], strict=True):
        _write_above(ax, left + step / 2, height, f"{chips:,.0f}")
    label_axes(ax, "Reliability", "confidence in the predicted class", "accuracy")
    open_style(ax)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.1)
    for axis in (ax.xaxis, ax.yaxis):
        share_axis(axis)
    legend_above(ax, [ideal, said])


def by_training_chips(table: pd.DataFrame) -> pd.DataFrame:
    """Sort classes by their training chips, most first; ties keep their order."""
    return table.sort_values("train_chips", ascending=False, kind="stable")


# --- parts ----------------------------------------------------------------------------------------


def _group_bars(
    ax: Axes, table: pd.DataFrame, heights: NDArray[np.float64], bottom: float = 0
) -> None:
    colours = [GROUP_COLOURS[Group(name)] for name in table["group"]]
    ax.bar(np.arange(len(table)), heights, 0.78, bottom, color=colours, zorder=2)


def _bar_style(ax: Axes, table: pd.DataFrame, lines: Sequence[Any] = ()) -> None:
    """Names below the bars, and above the axes a legend of groups and `lines`."""
    open_style(ax)
    ax.set_xlim(-0.6, len(table) - 0.4)
    _class_ticks(ax, ax.xaxis, [str(name) for name in table["class"]], 0)
    found = set(table["group"])
    patches = [Patch(color=GROUP_COLOURS[g], label=g.value) for g in Group if g.value in found]
    legend_above(ax, [*patches, *lines])


def _class_ticks(ax: Axes, axis: Axis, names: Sequence[str], offset: float) -> None:
    """Name the classes; beyond what can be read, only every second, third, ..."""
    step = max(1, math.ceil(len(names) / _NAMED_CLASSES))
    places = range(0, len(names), step)
    labels = [plain(name) for name in names[::step]]
    axis.set_ticks([place + offset for place in places], labels=labels)
    size = SMALL if len(places) <= 20 else 7.5
    axis.set_tick_params(length=0, labelsize=size)
    level = len(labels) * max(map(len, labels), default=0) <= _LEVEL_LETTERS
    if axis is ax.xaxis and not level:
        slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        upright = {"rotation": 90, "ha": "center", "va": "top"}
        for label in axis.get_ticklabels():
            label.set(**(slant if len(places) <= 20 else upright))


def _write_above(ax: Axes, x: float, y: float, text: str, rotation: int = 0) -> None:
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}  # hides the average's line
    ax.annotate(
        text, (x, y), (0, 2), textcoords="offset points", ha="center", va="bottom", bbox=behind,
        fontsize=7.5, color=MUTED if rotation else INK, rotation=rotation, zorder=4,
    )  # fmt: skip
