"""One outer step: Adam on rho along a hypergradient, with a guard."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rsmeta.data.datamodule import Batch
from rsmeta.meta.engines import build_engine
from rsmeta.meta.optimiser_state import load_optimiser_state
from rsmeta.meta.problem import BilevelProblem, Trajectory
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.recipe import InnerLoop, OuterLoop

_MEAN_DECAY = 0.9


@dataclass(frozen=True)
class OuterRecord:
    """What an outer step did.

    Attributes:
        loss: Validation loss before it.
        cosine: Cosine between its hypergradient and the one before; None at the first.
        skipped: Whether the guard kept the modulators as they were.
    """

    loss: float
    cosine: float | None
    skipped: bool


class OuterStep:
    """Learns the modulators of a bank.

    The direct gradient can point the wrong way where the inner loop is unstable (a large learning
    rate): the loss then rises from step to step. A step is skipped while its validation loss is
    more than `margin` above the running mean, which follows the loss, so that skipping ends.

    Args:
        config: Settings of the outer loop.
        inner: Settings of the inner loop.
        bank: The modulators.
    """

    def __init__(self, config: OuterLoop, inner: InnerLoop, bank: ModulatorBank) -> None:
        self._config = config
        self._engine = build_engine(config.engine, inner)
        self._rho = bank.rho
        self._optimiser = torch.optim.Adam([bank.rho], lr=config.learning_rate)
        self._previous: Tensor | None = None
        self._mean: float | None = None

    def __call__(
        self, problem: BilevelProblem, trajectory: Trajectory, batches: Sequence[Batch]
    ) -> OuterRecord:
        """Take one step, or skip it.

        Raises:
            FloatingPointError: The validation loss or the hypergradient is not finite.
        """
        found = self._engine(problem, trajectory, self._rho, batches)
        gradient, loss = found.gradient, found.validation_loss
        if not math.isfinite(loss):
            raise FloatingPointError(f"the validation loss is {loss}")
        if not gradient.isfinite().all():
            raise FloatingPointError("the hypergradient is not finite")
        cosine = None
        if self._previous is not None:
            cosine = float(F.cosine_similarity(gradient, self._previous, dim=0))
        self._previous = gradient
        skipped = self._mean is not None and loss > self._mean + self._config.margin
        mean = loss if self._mean is None else self._mean
        self._mean = _MEAN_DECAY * mean + (1 - _MEAN_DECAY) * loss
        if not skipped:
            self._rho.grad = gradient.clone()
            if self._config.clip is not None:
                torch.nn.utils.clip_grad_norm_([self._rho], self._config.clip)
            self._optimiser.step()
            self._rho.grad = None
        return OuterRecord(loss, cosine, skipped)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on but rho: Adam's state, and what the guard remembers."""
        return {
            "optimiser": self._optimiser.state_dict(),
            "previous": self._previous,
            "mean": self._mean,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave."""
        load_optimiser_state(self._optimiser, state["optimiser"])
        previous = state["previous"]
        self._previous = None if previous is None else previous.to(self._rho.device)
        self._mean = state["mean"]
