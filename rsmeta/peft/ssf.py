"""SSF (Lian et al. 2022, arXiv 2210.08823): a scale and a shift for every feature of every layer.

    y = scale * f(x) + shift

after every linear layer and normalisation f of the chosen blocks and after the output
normalisation; with all blocks, after the patch embedding too. As in the paper but for the start,
which is exactly 1 and 0 here instead of noise around them: training starts at the frozen model.
"""

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from rsmeta.peft.parts import chosen_parts, is_normalisation, part_of, plan_parts
from rsmeta.peft.sites import Part, PlannedSite
from rsmeta.recipe import ScaleShift


class ScaledShifted(nn.Module):
    """A frozen layer whose output features are scaled and shifted.

    Args:
        base: Linear layer, normalisation, or convolution.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        width = _width(base)
        # The features of an image (batch, width, height, ...) come second, those of tokens last.
        shape = (width, 1, 1) if isinstance(base, nn.Conv2d) else (width,)
        self.scale = nn.Parameter(torch.ones(shape))
        self.shift = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map what the base layer maps; the output keeps its type."""
        y: Tensor = self.base(x)
        # In float32 even where y is bfloat16, in which a scale of 1.003 would be 1.
        return (y * self.scale + self.shift).to(y.dtype)


def plan_ssf(config: ScaleShift, model: VisionTransformer) -> list[PlannedSite]:
    """The scales and shifts of each part.

    Raises:
        RecipeError: The backbone has no such blocks.
    """
    layers = _layers(config, model)
    return plan_parts(config.method, ((part, 2 * _width(layer)) for part, _, layer in layers))


def attach_ssf(config: ScaleShift, model: VisionTransformer) -> None:
    """Put a scale and a shift behind each layer, in place."""
    for _, name, layer in _layers(config, model):
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, ScaledShifted(layer))


def _layers(config: ScaleShift, model: VisionTransformer) -> list[tuple[Part, str, nn.Module]]:
    """Part, name and module of each layer to be scaled, in the order of the network."""
    chosen = chosen_parts(config.blocks, len(model.blocks))
    return [
        (part, name, module)
        for name, module in model.named_modules()
        if _is_scaled(module) and (part := part_of(name)) is not None and part in chosen
    ]


def _is_scaled(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d) or is_normalisation(module)


def _width(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    if isinstance(layer, nn.Conv2d):
        return layer.out_channels
    shape = layer.normalized_shape
    assert isinstance(shape, tuple)
    return int(shape[-1])
