"""What a recipe lets train of the patch embedding, and whether it can learn from there."""

from collections.abc import Sequence

import torch
from timm.models.vision_transformer import VisionTransformer

from rsmeta.bands import Band
from rsmeta.errors import RecipeError
from rsmeta.models.spectral import SpectralKernel
from rsmeta.peft.band_kernels import BandTraining
from rsmeta.recipe import Recipe, Spectral


def band_training(
    config: Spectral, bands: Sequence[Band], spectral: SpectralKernel
) -> BandTraining | None:
    """What of a patch embedding trains beside the method; None for nothing.

    Args:
        config: The recipe's section.
        bands: Bands of the chips, in order.
        spectral: The kernel at the start.
    """
    if not config.trains:
        return None
    mixing = spectral.mixing if config.mixing == "trained" else None
    names = tuple(band.name for band in bands)
    return BandTraining(names, spectral.source, config.update_rank, mixing)


def check_start(recipe: Recipe, model: VisionTransformer) -> None:
    """Refuse an adapted ViT whose tokens do not depend on the image and would stay so.

    Raises:
        RecipeError: All kernels are zero, and nothing could change that.
    """
    patch = model.patch_embed.proj
    trained = [name for name, parameter in patch.named_parameters() if parameter.requires_grad]
    weight = getattr(patch, "base", patch).weight
    if torch.count_nonzero(weight) > 0:
        return
    config = recipe.backbone.spectral
    bands = ", ".join(band.name for band in recipe.data.selected_bands)
    problem = (
        f"backbone.spectral.mode {config.mode}: pretraining had none of the bands {bands}, so that "
        "all kernels are zero and all images alike"
    )
    if not config.trains and not any(n.endswith("weight") for n in trained):
        raise RecipeError(
            [f"{problem}; set update_rank, mixing to trained, or another mode beside it"]
        )
    if recipe.head.initialisation != "random":
        # Equal features give equal class weights, at which every gradient is zero.
        raise RecipeError(
            [
                f"{problem} at the start, where a head that starts at "
                f"{recipe.head.initialisation} has no gradient; set head.initialisation to random"
            ]
        )
