"""A frozen linear layer plus low-rank updates of parts of its output, with few passes over tokens.

With a base layer W (parts * width, in) and updates at some of the parts,

    h = x A^T,    y_j = x W_j^T + b_j + factor_j h_j B_j^T,

where A stacks the down-projections of the adapted parts. Built from autograd's own operations this
reads and writes the wide tensors y and dL/dx once more for every sum; here the updates are added
in place, and only x and the narrow h are kept for the way back.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def adapted_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    factor: Tensor,
    parts: slice,
    count: int,
) -> Tensor:
    """Apply a frozen linear layer and its low-rank updates.

    Differentiable twice in x, down, up and factor. Under autocast the matmuls run in its precision.

    Args:
        x: (..., in).
        weight: (count * width, in), frozen.
        bias: (count * width,), frozen, or None.
        down: (adapted * rank, in), the A of each adapted part.
        up: (adapted, width, rank), the B of each adapted part.
        factor: (adapted,), what scales each B.
        parts: Which parts of the output are adapted.
        count: Number of equal parts of the output.

    Returns:
        (..., count * width).
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    output: Tensor = _AdaptedLinear.apply(x, weight, bias, down, up, factor, parts, count)[0]
    return output


class _AdaptedLinear(torch.autograd.Function):
    """Maps x to the output, and gives h^T = A x^T (adapted * rank, tokens) beside it.

    h is an output so that second derivatives pass through it as it stands in `backward`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        factor: Tensor,
        parts: slice,
        count: int,
    ) -> tuple[Tensor, Tensor]:
        output = F.linear(x, weight, bias)
        h = _project(down.to(x.dtype), x.reshape(-1, x.shape[-1]))
        chosen = output.view(-1, weight.shape[0]).chunk(count, 1)[parts]
        for part, low, scaled in zip(chosen, h.chunk(len(up)), _scaled(up, factor, x), strict=True):
            part.addmm_(low.t(), scaled.t())
        ctx.save_for_backward(x, weight, down, up, factor, h)
        ctx.parts, ctx.count = parts, count
        ctx.set_materialize_grads(False)
        return output, h

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_h: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, down, up, factor, h = ctx.saved_tensors
        if grad is None:  # only h was used, which happens in second derivatives alone
            grad = x.new_zeros(*x.shape[:-1], weight.shape[0])
        wide, wanted = grad.reshape(-1, weight.shape[0]), ctx.needs_input_grad
        chosen = wide.chunk(ctx.count, 1)[ctx.parts]
        narrow = torch.cat(
            [_project(b.t(), part) for part, b in zip(chosen, _scaled(up, factor, x), strict=True)]
        )
        narrow = narrow if grad_h is None else narrow + grad_h
        grad_x = None
        if wanted[0]:
            grad_x = (wide @ weight).addmm_(narrow.t(), down.to(x.dtype)).view(x.shape)
        grad_down = (narrow @ x.reshape(-1, x.shape[-1])).to(down.dtype) if wanted[3] else None
        slopes = [(low @ part).t() for part, low in zip(chosen, h.chunk(len(up)), strict=True)]
        slope = torch.stack(slopes).to(up.dtype)
        grad_up = slope * factor[:, None, None] if wanted[4] else None
        grad_factor = (slope * up).sum((1, 2)) if wanted[5] else None
        return grad_x, None, None, grad_down, grad_up, grad_factor, None, None


def _project(matrix: Tensor, tokens: Tensor) -> Tensor:
    """A few features (rank, tokens) of tokens (tokens, in), by a matrix (rank, in)."""
    if tokens.dtype == torch.bfloat16:  # the order that CPUs run faster; in float32 it is slower
        return matrix @ tokens.t()
    return (tokens @ matrix.t()).t()


def _scaled(up: Tensor, factor: Tensor, x: Tensor) -> Tensor:
    return (up * factor[:, None, None]).to(x.dtype)
