"""Folding trained adapters into the weights of the backbone."""

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from rsmeta.peft.lora import LoRALinear


def merge(model: VisionTransformer) -> None:
    """Replace every adapted layer whose update is a linear map by one plain layer, in place.

    W x + b + gamma * scale * B A x becomes (W + gamma * scale * B A) x + b. The outputs stay the
    same but for rounding, and the layers get back the class, the names and the shapes of timm.

    Args:
        model: An adapted ViT whose frozen weights are in full precision.
    """
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoRALinear):
                setattr(parent, name, _merged_lora(layer))


def _merged_lora(layer: LoRALinear) -> nn.Linear:
    base = layer.base
    base.weight.data = base.weight.data + layer.update().detach()
    return base
