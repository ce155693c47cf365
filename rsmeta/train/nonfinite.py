"""Losses and weights that are not numbers any more: training stops, and says at which chips."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from rsmeta.data.chips import LabelledData
from rsmeta.errors import TrainingError
from rsmeta.train.checkpoint import CHECKPOINT

BATCH = "failed_batch.csv"


class NonFiniteError(ArithmeticError):
    """A loss, a hypergradient or a weight is infinite or not a number.

    Args:
        what: What is, with its value.
        epoch: From 1.
        step: Inner step, from 1.
        loop: Whose batch it was.
        chips: The batch's training chips, indexes.
    """

    def __init__(
        self,
        what: str,
        epoch: int,
        step: int,
        loop: Literal["inner", "outer"],
        chips: Sequence[int],
    ) -> None:
        super().__init__(f"{what} in epoch {epoch} at inner step {step}")
        self.loop = loop
        self.chips = chips


def told(error: NonFiniteError, data: LabelledData, folder: Path) -> TrainingError:
    """Write the batch's chips to a file, and name it in an error.

    Args:
        error: What training stopped with.
        data: The chips that it trained on.
        folder: Where to write; where the checkpoint is.

    Raises:
        OSError: The file cannot be written.
    """
    rows = [
        {"chip": data.train.describe(chip), "class": data.classes[data.train.labels[chip]]}
        for chip in error.chips
    ]
    pd.DataFrame(rows).to_csv(folder / BATCH, index=False, lineterminator="\n")
    return TrainingError(
        f"training stopped: {error}; look at the chips of that {error.loop} batch, listed in "
        f"'{folder / BATCH}', or lower {error.loop}.learning_rate; last good checkpoint: "
        f"'{folder / CHECKPOINT}'"
    )
