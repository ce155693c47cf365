"""Chips and their features, drawn into axes that the caller owns."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from rsmeta.chip_gallery import MISTAKE
from rsmeta.longtail.metrics import Group
from rsmeta.palette import class_colours
from rsmeta.report.style import (
    GROUP_COLOURS,
    INK,
    MUTED,
    SMALL,
    label_axes,
    legend_above,
    plain,
    whole_percent,
)

CHIPS_A_ROW = 6
CHIP_TEXT = 0.44
"""Height of the text below a chip, in widths of a chip."""

_FRAME = 0.94
_MOST_COLOURS = 20


def chip_pictures(table: pd.DataFrame, ax: Axes) -> None:
    """Draw chips beside each other, with their true class, the predicted one and a probability.

    The probability is that of the predicted class where chips are mistakes, else that of the true
    class.

    Args:
        table: See `rsmeta.chip_gallery.read_gallery`; chips of one kind, at least one.
        ax: Where to draw.
    """
    mistakes = bool((table["kind"] == MISTAKE).all())
    for place, row in enumerate(table.to_dict("records")):
        left, top = place % CHIPS_A_ROW, place // CHIPS_A_ROW * (1 + CHIP_TEXT)
        _picture(row["image"], left, top, ax)
        share = row["confidence"] if mistakes else row["true probability"]
        right = row["true class"] == row["predicted class"]
        lines = [
            (plain(row["true class"]), INK),
            ("✓" if right else f"→ {plain(row['predicted class'])}", MUTED),
            (f"{'sure' if mistakes else 'true class'}: {whole_percent(100 * share)} %", MUTED),
        ]
        for number, (text, colour) in enumerate(lines):
            y = top + _FRAME + 0.04 + 0.12 * number
            ax.text(left + _FRAME / 2, y, text, fontsize=7.5, color=colour, ha="center", va="top")
    rows = -(-len(table) // CHIPS_A_ROW)
    title = "Most confident mistakes" if mistakes else "Hardest tail chips"
    label_axes(ax, title, "", "")
    ax.set_xlim(0, CHIPS_A_ROW)
    ax.set_ylim(rows * (1 + CHIP_TEXT), 0)
    ax.set_aspect("equal")
    ax.set_axis_off()


def feature_map(table: pd.DataFrame, ax: Axes) -> None:
    """Draw chips where t-SNE puts their features; crosses are classified wrongly.

    Up to 20 classes have their own colours and names, more the colours of their groups.

    Args:
        table: Columns `true class`, its number `class_id` and its `group`, `predicted class`,
            `x` and `y`; at least one row.
        ax: Where to draw.
    """
    few = table["class_id"].nunique() <= _MOST_COLOURS
    by_class = class_colours(int(table["class_id"].max()) + 1)
    colours = [
        [part / 255 for part in by_class[row.class_id]] if few else GROUP_COLOURS[Group(row.group)]
        for row in table.itertuples()
    ]
    right = (table["true class"] == table["predicted class"]).to_numpy()
    x, y = table["x"].to_numpy(), table["y"].to_numpy()
    for chosen, style in ((right, {"marker": "o"}), (~right, {"marker": "x", "linewidths": 1.2})):
        own = [colour for colour, wanted in zip(colours, chosen, strict=True) if wanted]
        points: dict[str, Any] = {"s": 22, "alpha": 0.85, "zorder": 2, **style}
        ax.scatter(x[chosen], y[chosen], c=own or None, **points)
    label_axes(ax, "Features of the test chips", "", "")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("#dfe4e9")
    ax.margins(0.08)
    handles: list[Any] = ax.plot([], [], "x", color=INK, markersize=5, label="classified wrongly")
    if few:
        _name_classes(table, ax)
    else:
        found = set(table["group"])
        patches = [Patch(color=GROUP_COLOURS[g], label=g.value) for g in Group if g.value in found]
        handles = [*patches, *handles]
    legend_above(ax, handles)


def _name_classes(table: pd.DataFrame, ax: Axes) -> None:
    """Write the name of each class above the chip nearest the middle of its chips."""
    for name, own in table.groupby("true class", sort=False):
        points = own[["x", "y"]].to_numpy()
        middle = np.median(points, axis=0)
        nearest = points[np.argmin(((points - middle) ** 2).sum(axis=1))]
        text = ax.annotate(plain(str(name)), nearest, (0, 5), textcoords="offset points")
        text.set(ha="center", va="bottom", fontsize=SMALL, fontweight="bold", color=INK, zorder=4)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _picture(image: NDArray[np.uint8], left: float, top: float, ax: Axes) -> None:
    """Draw an image in its proportions into a square."""
    height, width = image.shape[:2]
    scale = _FRAME / max(height, width)
    x = left + (_FRAME - scale * width) / 2
    y = top + (_FRAME - scale * height) / 2
    extent = (x, x + scale * width, y + scale * height, y)
    ax.imshow(image, extent=extent, interpolation="nearest")
