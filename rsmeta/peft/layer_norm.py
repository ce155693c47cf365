"""LayerNorm tuning (Basu et al. 2023, arXiv 2304.01186): only the normalisations are trained.

These are the weights and biases of all normalisations in the chosen blocks (qk-norm included) and
of the output normalisation; with all blocks, those of the embedding too (CLIP's pre-norm).
"""

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from rsmeta.peft.parts import choose_parameters, is_normalisation, plan_parts, sizes, unfreeze
from rsmeta.peft.sites import Part, PlannedSite
from rsmeta.recipe import LayerNormTuning


def plan_layer_norm(config: LayerNormTuning, model: VisionTransformer) -> list[PlannedSite]:
    """The normalisation weights and biases of each part.

    Raises:
        RecipeError: The backbone has no such blocks.
    """
    return plan_parts(config.method, sizes(_affine(config, model)))


def attach_layer_norm(config: LayerNormTuning, model: VisionTransformer) -> None:
    """Let the normalisations take part in training."""
    unfreeze(_affine(config, model))


def _affine(config: LayerNormTuning, model: VisionTransformer) -> list[tuple[Part, nn.Parameter]]:
    return choose_parameters(model, config.blocks, lambda name, module: is_normalisation(module))
