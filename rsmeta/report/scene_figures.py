"""Figures of a classified scene, drawn into axes that the caller owns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from rsmeta.longtail.metrics import Group
from rsmeta.report.style import (
    GROUP_COLOURS,
    label_axes,
    open_style,
    percent_axis,
    plain,
    share_axis,
)


def class_map(
    look: NDArray[np.uint8],
    overlay: NDArray[np.uint8],
    legend: Sequence[tuple[str, tuple[int, int, int]]],
    unnamed: int,
    ax: Axes,
) -> None:
    """Draw classes over a look of their scene, with a legend at the right.

    Args:
        look: The scene, (rows, columns, 4): red, green, blue and opacity.
        overlay: The classes in the same form and size.
        legend: Names and colours.
        unnamed: Classes that occur besides those.
        ax: Where to draw.
    """
    ax.imshow(look)
    ax.imshow(overlay)
    ax.set_axis_off()
    handles = [Patch(color=[part / 255 for part in rgb], label=plain(name)) for name, rgb in legend]
    if unnamed:
        handles.append(Patch(alpha=0, label=f"and {unnamed} more"))
    if handles:
        ax.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0,
            fontsize=9, frameon=False,
        )  # fmt: skip


def histogram_table(histogram: Mapping[str, Any]) -> pd.DataFrame:
    """A histogram of a summary, `edges` and `pixels`, as `lower`, `upper` and `pixels` of bins."""
    edges = np.array(histogram["edges"])
    columns = {"lower": edges[:-1], "upper": edges[1:], "pixels": histogram["pixels"]}
    return pd.DataFrame(columns)


def confidence_histogram(table: pd.DataFrame, ax: Axes) -> None:
    """Draw how much of a scene is classified with which confidence.

    Args:
        table: Columns `lower` and `upper` (limits of the bins, 0..1) and `pixels`.
        ax: Where to draw.
    """
    pixels = table["pixels"].to_numpy(dtype=float)
    shares = pixels / max(pixels.sum(), 1)
    width = (table["upper"] - table["lower"]).to_numpy()
    colour = GROUP_COLOURS[Group.HEAD]
    ax.bar(table["lower"], shares, width, align="edge", color=colour, edgecolor="white", zorder=2)
    label_axes(ax, "Confidence", "confidence in the predicted class", "share of the valid pixels")
    open_style(ax)
    ax.set_xlim(0, 1)
    share_axis(ax.xaxis)
    percent_axis(ax.yaxis, decimals=None)
