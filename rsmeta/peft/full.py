"""Full fine-tuning and training from scratch: the baselines above and below all others."""

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from rsmeta.peft.parts import choose_parameters, plan_parts, sizes, unfreeze
from rsmeta.peft.sites import PlannedSite
from rsmeta.recipe import FullFineTuning, Scratch


def plan_full(config: FullFineTuning, model: VisionTransformer) -> list[PlannedSite]:
    """All weights of each chosen part.

    Raises:
        RecipeError: The backbone has no such blocks.
    """
    return plan_parts(config.method, sizes(choose_parameters(model, config.blocks)))


def attach_full(config: FullFineTuning, model: VisionTransformer) -> None:
    """Let all weights of the chosen parts take part in training."""
    unfreeze(choose_parameters(model, config.blocks))


def plan_scratch(config: Scratch, model: VisionTransformer) -> list[PlannedSite]:
    """All weights of the backbone."""
    return plan_parts(config.method, sizes(choose_parameters(model, "all")))


def attach_scratch(config: Scratch, model: VisionTransformer) -> None:
    """Replace all pretrained weights by timm's random initialisation and let them train."""
    with torch.no_grad():
        # timm's older releases leave normalisations and convolutions to the constructor.
        model.apply(_reset)
        model.init_weights()
    unfreeze(choose_parameters(model, "all"))


def _reset(module: nn.Module) -> None:
    if callable(reset := getattr(module, "reset_parameters", None)):
        reset()
