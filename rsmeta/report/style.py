"""How figures look: colours, sizes, axes and labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colorbar import Colorbar
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from rsmeta.longtail.metrics import Group

GROUP_COLOURS = {Group.HEAD: "#2f6db5", Group.MEDIUM: "#e3a02f", Group.TAIL: "#b8374a"}

INK, MUTED, GRID, EMPTY = "#1f2933", "#6b7785", "#e4e8ec", "#f1f3f5"
TITLE, TEXT, SMALL = 12, 10, 8.5
DASHED: dict[str, Any] = {"color": INK, "linewidth": 1, "linestyle": (0, (4, 3))}
_HATCH = "////"
_NAME_LENGTH = 24


def colour_bar(ax: Axes, mesh: Any, fraction: float = 0.05, **options: Any) -> Colorbar:
    """A colour bar beside the axes.

    Args:
        ax: The axes.
        mesh: What is coloured in them.
        fraction: Share of their width that it takes.
        **options: Of matplotlib's `Figure.colorbar`.
    """
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, fraction=fraction, **options)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, colors=MUTED, labelcolor=INK)
    return bar


def percent_axis(axis: Axis, decimals: int | None = 0) -> None:
    """Shares along an axis in percent."""
    axis.set_major_formatter(PercentFormatter(1, decimals=decimals, symbol=" %"))


def share_axis(axis: Axis) -> None:
    """Shares from 0 to 1 along an axis in percent, every 20 of them."""
    axis.set_ticks(np.linspace(0, 1, 6))
    percent_axis(axis)


def legend_above(ax: Axes, handles: Sequence[Any]) -> None:
    """A legend in one line above the axes, at their right end."""
    ax.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=max(1, len(handles)),
        frameon=False, fontsize=SMALL, labelcolor=INK, borderaxespad=0.3, borderpad=0.2,
        handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip


def label_axes(ax: Axes, title: str, x: str, y: str) -> None:
    """The title and the names of both axes."""
    ax.set_title(title, loc="left", fontsize=TITLE, fontweight="bold", color=INK, pad=8)
    ax.set_xlabel(x, fontsize=TEXT, color=INK)
    ax.set_ylabel(y, fontsize=TEXT, color=INK)


def open_style(ax: Axes) -> None:
    """Axes without a box, with light horizontal lines."""
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(MUTED)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=SMALL, colors=MUTED, labelcolor=INK)
    ax.tick_params(axis="y", which="both", length=0)


def matrix_style(ax: Axes) -> None:
    """Axes of a matrix: the first row at the top, no box."""
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    ax.tick_params(labelsize=SMALL, length=0, labelcolor=INK)


def hatch(ax: Axes, cells: NDArray[np.int64], meaning: str) -> None:
    """Hatch (row, column) cells of a matrix and say in a legend what that means."""
    style: dict[str, Any] = {
        "facecolor": EMPTY,
        "edgecolor": "#c9d0d7",
        "hatch": _HATCH,
        "linewidth": 0,
    }
    for row, column in cells:
        ax.add_patch(Rectangle((column, row), 1, 1, **style))
    if len(cells):
        legend_above(ax, [Patch(label=meaning, **style)])


def write_cell(ax: Axes, column: int, row: int, text: str, background: Any) -> None:
    """Write into a cell of a matrix, in black or white, whichever is readable."""
    luminance = float(np.dot(to_rgb(background), (0.299, 0.587, 0.114)))
    colour = INK if luminance > 0.55 else "white"
    where = (column + 0.5, row + 0.5)
    ax.text(*where, text, ha="center", va="center", fontsize=SMALL, color=colour)


def plain(name: str) -> str:
    """A name on one short line, with no character that matplotlib takes for mathematics."""
    line = " ".join(name.split())
    # Names alike at their start often differ at their end, so the middle goes.
    short = line if len(line) <= _NAME_LENGTH else f"{line[:14]}…{line[14 - _NAME_LENGTH + 1 :]}"
    return short.replace("$", r"\$")


def whole_percent(share: float) -> str:
    """A share in 0..100, not 0, in whole percent that never claims none or all wrongly."""
    if share < 1:
        return "<1"
    return ">99" if 99 < share < 100 else f"{share:.0f}"
