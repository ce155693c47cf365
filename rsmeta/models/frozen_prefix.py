"""The frozen beginning of a ViT, whose outputs need to be computed only once a chip."""

from timm.models import checkpoint_seq
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from rsmeta.errors import RecipeError
from rsmeta.peft.parts import part_of
from rsmeta.peft.sites import PartPosition


def frozen_blocks(model: VisionTransformer) -> int:
    """Number of blocks before the first trained tensor.

    0 where the embedding is trained; the depth where no block is.
    """
    depth = len(model.blocks)
    first = depth
    for name, parameter in model.named_parameters():
        part = part_of(name) if parameter.requires_grad else None
        if part is None or part.position is PartPosition.OUTPUT:
            continue
        first = min(first, part.block or 0)
    return first


def require_frozen_prefix(model: VisionTransformer) -> None:
    """Check that a ViT has a frozen beginning that can be computed apart.

    Raises:
        RecipeError: All blocks are trained, or the ViT computes in another order than timm's.
    """
    if type(model).forward_features is not VisionTransformer.forward_features:
        raise RecipeError(
            [
                f"compute.cache_features: the backbone ({type(model).__name__}) is not one of "
                "timm's plain ViTs; set it to false"
            ]
        )
    if any(parameter.requires_grad for parameter in model.patch_embed.parameters()):
        raise RecipeError(
            [
                "compute.cache_features: the patch embedding is trained, so there is nothing to "
                "cache; choose blocks that leave it frozen, e.g. peft.blocks=last:4, drop "
                "backbone.spectral.update_rank and mixing, or set it to false"
            ]
        )
    if frozen_blocks(model) == 0:
        raise RecipeError(
            [
                "compute.cache_features: the first block is trained, so there is nothing to cache; "
                "choose later blocks, e.g. peft.blocks=last:4, or set it to false"
            ]
        )


def tokens_of(model: VisionTransformer, frozen: int, images: Tensor) -> Tensor:
    """Compute what leaves the frozen blocks.

    Args:
        model: The ViT.
        frozen: Number of frozen blocks.
        images: Normalised images (batch, bands, size, size).

    Returns:
        (batch, tokens, width).
    """
    x = model.patch_embed(images)
    x = model.norm_pre(model.patch_drop(model._pos_embed(x)))
    tokens: Tensor = model.blocks[:frozen](x)
    return tokens


def features_of(model: VisionTransformer, frozen: int, tokens: Tensor) -> Tensor:
    """Map what `tokens_of` gave, (batch, tokens, width), to features (batch, width)."""
    blocks = model.blocks[frozen:]
    x = checkpoint_seq(blocks, tokens) if model.grad_checkpointing else blocks(tokens)
    features: Tensor = model.forward_head(model.norm(x))
    return features
