"""The colours of modulators: white at 1, blue below, red above."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Colormap
from numpy.typing import NDArray

from rsmeta.report.style import EMPTY, INK, TEXT, colour_bar

# Below this departure from 1, gammas look alike: noise must not fill the colour scale.
_MIN_RANGE = 0.1


def gamma_colours(gamma: NDArray[np.float64]) -> tuple[Colormap, CenteredNorm]:
    """Colours of values on both sides of 1, as far as the farthest of them.

    Args:
        gamma: The values, of any shape; NaN where there is none.
    """
    departure = np.abs(gamma[np.isfinite(gamma)] - 1)
    half_range = max(float(departure.max(initial=0)), _MIN_RANGE)
    return colormaps["RdBu_r"].with_extremes(bad=EMPTY), CenteredNorm(1, half_range)


def gamma_bar(ax: Axes, mesh: Any, norm: CenteredNorm) -> None:
    """A colour bar beside the axes.

    Args:
        ax: The axes.
        mesh: What is coloured in them.
        norm: Its scale.
    """
    bar = colour_bar(ax, mesh)
    bar.ax.set_ylim(max(0.0, 1 - norm.halfrange), 1 + norm.halfrange)  # gamma is never negative
    bar.set_label("γ", fontsize=TEXT, color=INK, rotation=0, labelpad=8)
