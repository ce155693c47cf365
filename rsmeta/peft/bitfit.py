"""BitFit (Ben Zaken et al. 2022, arXiv 2106.10199): only the biases are trained.

These are the biases of linear layers and normalisations in the chosen blocks and of the output
normalisation; with all blocks, those of the patch embedding too.
"""

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from rsmeta.peft.parts import choose_parameters, plan_parts, sizes, unfreeze
from rsmeta.peft.sites import Part, PlannedSite
from rsmeta.recipe import BitFit


def plan_bitfit(config: BitFit, model: VisionTransformer) -> list[PlannedSite]:
    """The biases of each part.

    Raises:
        RecipeError: The backbone has no such blocks.
    """
    return plan_parts(config.method, sizes(_biases(config, model)))


def attach_bitfit(config: BitFit, model: VisionTransformer) -> None:
    """Let the biases take part in training."""
    unfreeze(_biases(config, model))


def _biases(config: BitFit, model: VisionTransformer) -> list[tuple[Part, nn.Parameter]]:
    return choose_parameters(model, config.blocks, lambda name, module: name.endswith("bias"))
