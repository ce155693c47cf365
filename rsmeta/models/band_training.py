"""What a recipe lets train of the patch embedding, and whether it can learn from there."""

from collections.abc import Sequence

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

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
    if torch.count_nonzero(_kernel(model)) > 0:
        return
    config = recipe.backbone.spectral
    bands = ", ".join(band.name for band in recipe.data.selected_bands)
    problem = (
        f"backbone.spectral.mode {config.mode}: pretraining had none of the bands {bands}, so that "
        "all kernels are zero and all images alike"
    )
    if not config.trains and not _kernel(model).requires_grad:
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


def unread_bands(config: Spectral, bands: Sequence[Band], model: VisionTransformer) -> list[str]:
    """Names of the bands that an adapted ViT does not see and never will: of kernels that stay 0.

    Args:
        config: The recipe's section.
        bands: Bands of the chips, in order.
        model: The ViT.
    """
    kernel = _kernel(model)
    if config.trains or kernel.requires_grad:
        return []
    read = kernel.detach().any(dim=0).flatten(1).any(dim=1).tolist()
    return [band.name for band, seen in zip(bands, read, strict=True) if not seen]


def _kernel(model: VisionTransformer) -> Tensor:
    """Kernel of the patch embedding without what is trained beside it, (embedding, C, p, p)."""
    patch = model.patch_embed.proj
    kernel: Tensor = getattr(patch, "base", patch).weight
    return kernel
