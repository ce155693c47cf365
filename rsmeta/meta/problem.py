"""The bi-level problem as engines see it: losses as functions, and the inner steps just taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from rsmeta.data.datamodule import Batch

Tensors = Sequence[Tensor]
"""Values of all inner parameters (adapters and head), in a fixed order."""

FunctionalLoss = Callable[[Tensors, Tensor, Batch], Tensor]
"""Maps inner parameters, rho and a batch to a scalar loss; leaves the model as it is."""


@dataclass(frozen=True)
class BilevelProblem:
    """Losses of the inner and the outer loop.

    Attributes:
        inner_loss: What the inner loop minimises over the inner parameters.
        outer_loss: What the outer loop minimises over rho.
    """

    inner_loss: FunctionalLoss
    outer_loss: FunctionalLoss


@dataclass(frozen=True)
class InnerState:
    """Inner parameters and what their optimiser remembers.

    Attributes:
        parameters: The inner parameters.
        moments: Running averages of the optimiser, each a list in the order of the parameters:
            one for SGD with momentum, two for AdamW.
        count: Steps that AdamW has taken so far, for its bias correction; 0 for SGD.
    """

    parameters: Tensors
    moments: tuple[Tensors, ...]
    count: int


@dataclass(frozen=True)
class InnerStep:
    """One step of the inner loop: the batch it saw and its learning rate."""

    batch: Batch
    learning_rate: float


@dataclass(frozen=True)
class Trajectory:
    """The K >= 1 inner steps since the last outer step; rho was the same in all of them.

    Attributes:
        start: State before the first of them.
        steps: The steps, oldest first.
        end: State after the last of them, which is the present one.
    """

    start: InnerState
    steps: tuple[InnerStep, ...]
    end: InnerState


@dataclass(frozen=True)
class Hypergradient:
    """Gradient in rho, of rho's shape, and the validation loss it was taken at."""

    gradient: Tensor
    validation_loss: float


class HypergradientEngine(Protocol):
    """How a hypergradient is computed.

    An engine leaves everything as it was: parameters, their `.grad`, optimiser states, random
    numbers.
    """

    def __call__(
        self,
        problem: BilevelProblem,
        trajectory: Trajectory,
        rho: Tensor,
        batches: Sequence[Batch],
    ) -> Hypergradient:
        """Average the hypergradient over validation batches.

        Args:
            problem: The losses.
            trajectory: The inner steps since the last outer step.
            rho: What the modulators are made of, at its present value.
            batches: At least one validation batch.
        """
        ...
