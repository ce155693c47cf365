"""Learning curves that grow in a notebook while a model trains."""

import sys
from collections.abc import Callable
from typing import Any

import lightning as L
import pandas as pd

from rsmeta.report import figures
from rsmeta.report.plot import Plot
from rsmeta.train.module import FinetuningModule

Redraw = Callable[[Plot], None]
"""Shows a figure, in place of the one before."""


def notebook_display() -> Redraw | None:
    """What shows figures in the notebook that this process belongs to; None outside of one."""
    ipython: Any = sys.modules.get("IPython")  # in a notebook it is there already
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:  # a shell in a terminal has no kernel
        return None
    handle: Any = None

    def redraw(plot: Plot) -> None:
        nonlocal handle
        picture = ipython.display.Image(data=plot.png(), width=plot.css_width)
        if handle is None:
            handle = ipython.display.display(picture, display_id=True)
        else:
            handle.update(picture)

    return redraw


class LiveCurves(L.Callback):
    """Draws the losses of both loops anew after each epoch.

    Args:
        redraw: Shows a figure.
    """

    def __init__(self, redraw: Redraw) -> None:
        self._redraw = redraw

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the epochs before this one."""
        self._draw(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw all epochs."""
        self._draw(pl_module)

    def _draw(self, module: L.LightningModule) -> None:
        assert isinstance(module, FinetuningModule)
        if not module.history:
            return
        table = pd.DataFrame([record.row() for record in module.history])
        self._redraw(Plot("learning_curves", "", figures.learning_curves, table, (7.0, 4.2)))
