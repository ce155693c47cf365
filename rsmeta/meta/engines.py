"""Hypergradient engines: the gradient of the validation loss with respect to rho."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from rsmeta.data.datamodule import Batch

BatchLoss = Callable[[Batch], Tensor]
"""Maps a batch to a scalar loss at the current parameters."""


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
        self, loss: BatchLoss, rho: nn.Parameter, batches: Sequence[Batch]
    ) -> Hypergradient:
        """Average the hypergradient over validation batches.

        Args:
            loss: Validation loss of one batch.
            rho: What the modulators are made of.
            batches: At least one validation batch.
        """
        ...


def first_order(loss: BatchLoss, rho: nn.Parameter, batches: Sequence[Batch]) -> Hypergradient:
    """The direct gradient dL_val/drho, adapters held fixed: the rule of the MetaPEFT paper."""
    total = torch.zeros_like(rho)
    value = 0.0
    for batch in batches:
        batch_loss = loss(batch)
        (gradient,) = torch.autograd.grad(batch_loss, [rho])
        total += gradient
        value += float(batch_loss.detach())
    return Hypergradient(total / len(batches), value / len(batches))


ENGINES: dict[str, HypergradientEngine] = {"first_order": first_order}
