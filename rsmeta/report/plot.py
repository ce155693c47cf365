"""A figure of a page: what draws which table, and how large."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

_DPI = 160
_CSS_PIXELS_PER_INCH = 96


def page_layout() -> ConstrainedLayoutEngine:
    """Room around the axes of a figure of its own."""
    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)


@dataclass(frozen=True)
class Plot:
    """A figure, not drawn yet.

    Attributes:
        name: Name of its file, without the ending.
        caption: What stands below it on the page.
        draw: Draws the table into axes.
        table: What is drawn.
        size: Width and height in inches.
    """

    name: str
    caption: str
    draw: Callable[[pd.DataFrame, Axes], None]
    table: pd.DataFrame
    size: tuple[float, float]

    def png(self) -> bytes:
        """The figure as PNG; the same bytes for the same table."""
        figure = Figure(figsize=self.size, layout=page_layout(), facecolor="white")
        self.draw(self.table, figure.add_subplot(facecolor="white"))
        stream = io.BytesIO()
        # By default the file names the version of matplotlib.
        figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
        return stream.getvalue()

    @property
    def css_width(self) -> int:
        """Width on the page at which all figures have letters of the same size."""
        return round(self.size[0] * _CSS_PIXELS_PER_INCH)
