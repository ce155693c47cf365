"""Writing checkpoints while training."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L

from rsmeta.train.checkpoint import CHECKPOINT, Checkpoint, write_checkpoint
from rsmeta.train.module import FinetuningModule


class Checkpointing(L.Callback):
    """Writes a checkpoint at the start of every epoch, every so many inner steps, and at the end.

    The inner steps since the last outer step are not stored with their chips: what falls due
    between two outer steps is written after the second of them.

    Args:
        folder: Where to.
        origin: What the training starts from.
        every: Inner steps between checkpoints within an epoch; None for none.
        seconds: Time that the training took until its last checkpoint, where it was interrupted.
    """

    def __init__(
        self, folder: Path, origin: Mapping[str, str], every: int | None, seconds: float
    ) -> None:
        self._file = folder / CHECKPOINT
        self._origin = origin
        self._every = every
        self._due = False
        self._began = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        """Time since the training began, without interruptions."""
        return time.perf_counter() - self._began

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what the epoch starts from."""
        self._due = True
        self._write_if_due(pl_module)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write if it is time to; after an epoch's last step the next epoch's start does."""
        if self._every is not None and pl_module.global_step % self._every == 0:
            self._due = True
        if not trainer.is_last_batch:
            self._write_if_due(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what training ended with."""
        assert isinstance(pl_module, FinetuningModule)
        self._write(pl_module)

    def _write_if_due(self, module: L.LightningModule) -> None:
        assert isinstance(module, FinetuningModule)
        if self._due and not module.between_outer_steps:
            self._write(module)

    def _write(self, module: FinetuningModule) -> None:
        module.require_finite()
        state = module.training_state()
        write_checkpoint(self._file, Checkpoint(self._origin, state, self.seconds))
        self._due = False
