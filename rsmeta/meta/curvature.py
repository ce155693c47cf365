"""How sharply a loss curves in the adapters, and how large a scale training bears because of it.

One step of gradient descent with momentum is stable along a direction of curvature c while
c < 2 (1 + momentum) / learning rate (Cohen et al. 2021, arXiv 2103.00065, eq. 1). Adapters start
with one factor at zero, so that logits are linear in the other, and their Gauss-Newton matrix grows
with the square of gamma: its largest eigenvalue at the start says how large gamma may be.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from rsmeta.data.datamodule import Batch

_FIRST_STEP = 0.01
_LOGIT_CHANGE = 0.3
"""Root mean square of the change that a difference step makes: small beside what a loss sees, large
beside the rounding of bfloat16."""


@dataclass(frozen=True)
class LossOfLogits:
    """A mean loss over batches, as a function of some parameters.

    Attributes:
        logits: Maps a batch to logits (batch, classes).
        criterion: Maps logits and labels to the mean loss of a batch.
        batches: The batches.
        parameters: What the logits depend on; moved for a while, and then put back as they were.
    """

    logits: Callable[[Batch], Tensor]
    criterion: Callable[[Tensor, Tensor], Tensor]
    batches: Sequence[Batch]
    parameters: Sequence[Tensor]

    def gradient(self) -> list[Tensor]:
        """Of the mean loss over all chips, in the parameters."""

        def slope(logits: Tensor, batch: Batch) -> Tensor:
            return torch.autograd.grad(self.criterion(logits, batch["label"]), logits)[0]

        return self._sum_over_batches(slope)

    def gauss_newton(self, direction: Sequence[Tensor], step: float) -> tuple[list[Tensor], float]:
        """J' H J direction: J the derivative of the logits, H that of the loss, twice, in them.

        Args:
            direction: One tensor a parameter.
            step: Of the central difference that J direction is taken from.

        Returns:
            The product, and the root mean square of J direction.
        """
        ahead, behind = (self._logits_moved(direction, sign * step) for sign in (1, -1))
        changes = [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
        left = iter(changes)

        def curved(logits: Tensor, batch: Batch) -> Tensor:
            loss = self.criterion(logits, batch["label"])
            (slope,) = torch.autograd.grad(loss, logits, create_graph=True)
            return torch.autograd.grad(slope, logits, next(left))[0]

        size = float(torch.cat(changes).square().mean().sqrt())
        return self._sum_over_batches(curved), size

    def _sum_over_batches(self, cotangent: Callable[[Tensor, Batch], Tensor]) -> list[Tensor]:
        """J' applied to a function of each batch's logits, weighted by its share of chips."""
        total = [torch.zeros_like(parameter) for parameter in self.parameters]
        chips = sum(len(batch["label"]) for batch in self.batches)
        for batch in self.batches:
            logits = self.logits(batch)
            outside = cotangent(logits.detach().requires_grad_(), batch)
            parts = torch.autograd.grad(
                logits, self.parameters, outside, allow_unused=True, materialize_grads=True
            )
            for sum_, part in zip(total, parts, strict=True):
                sum_.add_(part, alpha=len(batch["label"]) / chips)
        return total

    @torch.no_grad()
    def _logits_moved(self, direction: Sequence[Tensor], step: float) -> list[Tensor]:
        with _moved(self.parameters, direction, step):
            return [self.logits(batch) for batch in self.batches]


def largest_curvature(loss: LossOfLogits, iterations: int = 4) -> float:
    """Largest eigenvalue of the Gauss-Newton matrix of a loss, by power iteration.

    The iteration begins at the gradient, so that it draws no random numbers. What it finds is never
    more than the eigenvalue.

    Args:
        loss: The loss.
        iterations: Products with the matrix, each of three passes forward and one back.

    Returns:
        The eigenvalue; 0 where the gradient is 0.
    """
    direction, step, curvature = loss.gradient(), _FIRST_STEP, 0.0
    for _ in range(iterations):
        length = _norm(direction)
        if length == 0:
            return 0.0
        direction = [part / length for part in direction]
        product, size = loss.gauss_newton(direction, step)
        curvature = sum(float((p * d).sum()) for p, d in zip(product, direction, strict=True))
        direction = product
        step = _LOGIT_CHANGE / size if size > 0 else step
    return curvature


def largest_stable_scale(curvature: float, learning_rate: float, momentum: float) -> float:
    """What gamma can be multiplied with before the first steps are unstable.

    Args:
        curvature: The largest, > 0, of the adapters at the start.
        learning_rate: The largest of the training.
        momentum: Of the descent.
    """
    return math.sqrt(2 * (1 + momentum) / learning_rate) / math.sqrt(curvature)


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


@contextmanager
def _moved(tensors: Sequence[Tensor], direction: Sequence[Tensor], step: float) -> Iterator[None]:
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        for tensor, part in zip(tensors, direction, strict=True):
            tensor.add_(part, alpha=step)
        yield
    finally:
        for tensor, value in zip(tensors, kept, strict=True):
            tensor.copy_(value)
