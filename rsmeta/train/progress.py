"""A progress bar over the whole training: loss, head and tail accuracy, time left."""

import math
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rsmeta.train.module import FinetuningModule


class TrainingProgress(L.Callback):
    """Shows one bar from the first to the last inner step.

    Args:
        console: Where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the bar."""
        assert isinstance(pl_module, FinetuningModule)
        self._task = self._bar.add_task(
            "training",
            total=pl_module.inner_steps,
            completed=pl_module.global_step,
            numbers="",
        )
        self._bar.start()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move on by a step."""
        assert isinstance(pl_module, FinetuningModule)
        shown = pl_module.progress()
        numbers = (
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {shown['loss']:.3f}  "
            f"head {_share(shown['head'])}  tail {_share(shown['tail'])}"
        )
        self._bar.update(self._task, advance=1, numbers=numbers)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the full bar on screen."""
        self._bar.stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self._bar.stop()


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"
