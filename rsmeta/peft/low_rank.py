"""A frozen linear layer plus low-rank updates of parts of its output, with few passes over tokens.

With a base layer W (parts * width, in) and updates at some of the parts,

    h = x A^T,    y_j = x W_j^T + b_j + h_j B_j^T,

where A stacks the down-projections of the adapted parts. Built from autograd's own operations this
reads and writes the wide tensors y and dL/dx once more for every sum; here the updates are added
in place, and only x and the narrow h are kept for the way back.
"""

from collections.abc import Sequence
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
    parts: Sequence[int],
    count: int,
) -> Tensor:
    """Apply a frozen linear layer and its low-rank updates.

    Differentiable twice in x, down and up. Under autocast the matmuls run in its precision.

    Args:
        x: (..., in).
        weight: (count * width, in), frozen.
        bias: (count * width,), frozen, or None.
        down: (adapted * rank, in), the A of each adapted part.
        up: (adapted, width, rank), the B of each adapted part, scaled.
        parts: Indexes of the adapted parts, rising in equal steps.
        count: Number of equal parts of the output.

    Returns:
        (..., count * width).
    """
    device = x.device.type
    low = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if low else x.dtype
    tokens = x.flatten(0, -2).to(dtype)
    frozen = (weight.to(dtype), None if bias is None else bias.to(dtype))
    step = parts[1] - parts[0] if len(parts) > 1 else 1
    chosen = slice(parts[0], parts[-1] + 1, step)
    with torch.autocast(device, enabled=False):
        output, _ = _AdaptedLinear.apply(
            tokens, *frozen, down.to(dtype), up.to(dtype), chosen, count
        )
    adapted: Tensor = output.unflatten(0, x.shape[:-1])
    return adapted


def _by_part(tensor: Tensor, count: int) -> Tensor:
    """View (tokens, count * width) as (count, tokens, width)."""
    parts: Tensor = tensor.unflatten(1, (count, -1)).transpose(0, 1)
    return parts


class _AdaptedLinear(torch.autograd.Function):
    """Maps tokens (n, in) to (n, out), and gives h = x A^T (n, adapted * rank) beside it.

    h is an output so that second derivatives may pass through it as it stands in `backward`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        parts: slice,
        count: int,
    ) -> tuple[Tensor, Tensor]:
        output = F.linear(x, weight, bias)
        h = F.linear(x, down)
        _by_part(output, count)[parts].baddbmm_(_by_part(h, len(up)), up.transpose(1, 2))
        ctx.save_for_backward(x, weight, down, up, h)
        ctx.parts, ctx.count = parts, count
        return output, h

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_h: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up, h = ctx.saved_tensors
        by_part = _by_part(grad, ctx.count)[ctx.parts]
        narrow = torch.bmm(by_part, up).transpose(0, 1).flatten(1) + grad_h
        wanted = ctx.needs_input_grad
        grad_x = (grad @ weight).addmm_(narrow, down) if wanted[0] else None
        grad_down = narrow.T @ x if wanted[3] else None
        grad_up = torch.bmm(_by_part(h, len(up)).transpose(1, 2), by_part).transpose(1, 2)
        return grad_x, None, None, grad_down, grad_up, None, None
