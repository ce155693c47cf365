"""Classification heads."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FIT_ITERATIONS = 100


class CosineHead(nn.Module):
    """Logits are `scale` times the cosine between a feature and the class weight.

    Args:
        width: Length of a feature.
        classes: Number of classes.
        scale: Factor on the cosine.
        shifted: Whether a shift, 0 at the start, is added to the logits.

    Attributes:
        weight: (classes, width).
        shift: (classes,), or None.
    """

    def __init__(self, width: int, classes: int, scale: float, *, shifted: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.normal_(self.weight, std=width**-0.5)
        self.shift = nn.Parameter(torch.zeros(classes)) if shifted else None
        self._unshifted = False

    def forward(self, features: Tensor) -> Tensor:
        """Map features (batch, width) to logits (batch, classes), float32."""
        directions = F.normalize(features.float(), dim=-1)
        with torch.autocast(features.device.type, enabled=False):
            logits = self.scale * F.linear(directions, F.normalize(self.weight, dim=-1))
        return logits if self.shift is None or self._unshifted else logits + self.shift

    @contextmanager
    def unshifted(self) -> Iterator[None]:
        """Within it logits are without the shift."""
        self._unshifted = True
        try:
            yield
        finally:
            self._unshifted = False

    @torch.no_grad()
    def start_at_class_means(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set each weight to the mean direction of its class's features.

        Args:
            batches: Pairs of features (batch, width) and labels (batch,); a class that does not
                occur keeps its random weight.
        """
        total = torch.zeros_like(self.weight)
        for features, labels in batches:
            total.index_add_(0, labels, F.normalize(features.float(), dim=-1))
        seen = total.norm(dim=-1, keepdim=True) > 0
        self.weight.copy_(torch.where(seen, F.normalize(total, dim=-1), self.weight))

    def fit(
        self, features: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        """Minimise a loss of the logits of fixed features, from where the weights are, by L-BFGS.

        Args:
            features: (chips, width).
            labels: (chips,).
            loss: Maps logits and labels to a scalar.
        """
        directions = features.detach()
        optimiser = torch.optim.LBFGS(
            [self.weight], max_iter=_FIT_ITERATIONS, line_search_fn="strong_wolfe"
        )

        def closure() -> float:
            optimiser.zero_grad()
            value = loss(self(directions), labels)
            value.backward(inputs=[self.weight])
            return float(value.detach())

        optimiser.step(closure)
        self.weight.grad = None
