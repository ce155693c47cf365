"""Which kernel computes attention while training on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

# The plain kernel keeps a map of tokens x tokens a head: beyond this, memory outweighs speed.
_TOKENS_KEPT = 256


def attention_layers(backbone: nn.Module) -> list[Any]:
    """The layers of a timm model that use the fused kernel and could do without it."""
    return [layer for layer in backbone.modules() if getattr(layer, "fused_attn", False)]


def choose_attention(layers: list[Any], inputs: Tensor, low: bool, tokens: int) -> None:
    """Take the plain kernel where the fused one trains slowly, the fused one elsewhere, in place.

    On CPUs the backward pass of torch's fused attention in bfloat16 takes three to four times as
    long as that of the plain kernel. Inference keeps the fused one.

    Args:
        layers: What `attention_layers` found.
        inputs: What the model is given.
        low: Whether the matmuls run in bfloat16.
        tokens: Length of the sequence.
    """
    training_low = low and inputs.device.type == "cpu" and torch.is_grad_enabled()
    fused = not (training_low and tokens <= _TOKENS_KEPT)
    for layer in layers:
        layer.fused_attn = fused
