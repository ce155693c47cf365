"""Folding trained adapters into the weights of the backbone."""

from collections.abc import Callable

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from rsmeta.peft.band_kernels import fold_bands
from rsmeta.peft.lora import LoRALinear
from rsmeta.peft.ssf import ScaledShifted


def merge(model: VisionTransformer) -> None:
    """Replace every adapted layer whose update is an affine map by one plain layer, in place.

    LoRA: W x + b + gamma * scale * B A x becomes (W + gamma * scale * B A) x + b.
    SSF: scale * (W x + b) + shift becomes (scale * W) x + (scale * b + shift), for linear layers,
    convolutions and LayerNorms; one without a bias, or a LayerNorm without a weight, gets it.
    Bands: what trains of the patch embedding goes into its kernel, see `band_kernels`.

    The outputs stay the same but for rounding, and the layers get back the class, the names and
    the shapes of timm. Adapters with a nonlinearity, prompts, and SSF after a normalisation that
    cannot hold a shift (RMSNorm and its kin) stay as they are.

    Args:
        model: An adapted ViT whose frozen weights are in full precision.
    """
    fold_bands(model)
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoRALinear):
                setattr(parent, name, _merged_lora(layer))
            elif isinstance(layer, ScaledShifted):
                setattr(parent, name, _merged_ssf(layer))


def _merged_lora(layer: LoRALinear) -> nn.Linear:
    base = layer.base
    base.weight.data = base.weight.data + layer.update().detach()
    return base


def _merged_ssf(layer: ScaledShifted) -> nn.Module:
    base = layer.base
    scale, shift = layer.scale.detach().flatten(), layer.shift.detach().flatten()
    if isinstance(base, nn.Linear | nn.Conv2d):
        base.weight.data = base.weight.data * scale.view(-1, *[1] * (base.weight.ndim - 1))
    elif isinstance(base, nn.LayerNorm):
        _change(base, "weight", scale, lambda weight: weight * scale)
    else:
        return layer
    _change(base, "bias", shift, lambda bias: bias * scale + shift)
    return base


def _change(
    layer: nn.Module, name: str, absent: Tensor, change: Callable[[Tensor], Tensor]
) -> None:
    """Change a frozen parameter of a layer, or give the layer one; zeros are as good as none."""
    parameter = getattr(layer, name)
    if parameter is not None:
        parameter.data = change(parameter.data)
    elif name == "weight" or absent.any():
        setattr(layer, name, nn.Parameter(absent.clone(), requires_grad=False))
