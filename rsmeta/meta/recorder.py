"""Writes down the inner steps between two outer steps."""

from collections.abc import Sequence

import torch
from torch import nn

from rsmeta.data.datamodule import Batch
from rsmeta.meta.inner_optimiser import snapshot
from rsmeta.meta.problem import InnerStep, Trajectory
from rsmeta.recipe import InnerLoop


class TrajectoryRecorder:
    """Keeps the state before the first of the steps and what each step saw.

    Args:
        config: Settings of the inner loop.
        optimiser: Its optimiser.
        parameters: What it trains, in a fixed order.
    """

    def __init__(
        self,
        config: InnerLoop,
        optimiser: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
    ) -> None:
        self._config = config
        self._optimiser = optimiser
        self._parameters = list(parameters)
        self._start = snapshot(config, optimiser, self._parameters)
        self._steps: list[InnerStep] = []

    @property
    def steps(self) -> int:
        """Number of steps written down since the last call of `finish`."""
        return len(self._steps)

    def add(self, batch: Batch, learning_rate: float) -> None:
        """Write down a step that was just taken."""
        self._steps.append(InnerStep(batch, learning_rate))

    def finish(self) -> Trajectory:
        """The steps since the last call; recording starts again from here."""
        end = snapshot(self._config, self._optimiser, self._parameters)
        trajectory = Trajectory(self._start, tuple(self._steps), end)
        self._start, self._steps = end, []
        return trajectory
