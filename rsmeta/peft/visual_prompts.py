"""Visual prompt tuning (Jia et al. 2022, arXiv 2203.12119): trained tokens beside the patches.

Shallow: [c, P, E] enters the first block, c being class and register tokens and E the patches with
their position embedding. Deep: every block l reads [c, P_l, E], and its outputs at P_l are dropped.
Prompts leave before the output normalisation, so that pooling sees class token and patches alone.
"""

import math

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from rsmeta.peft.sites import Part, PartPosition, PlannedSite, select_blocks
from rsmeta.recipe import VptDeep, VptShallow


class InsertPrompts(nn.Module):
    """Puts prompt tokens between prefix tokens and patches.

    Args:
        model: ViT whose tokens are read; gives the number of prefix tokens and the scale of the
            start, uniform in +-sqrt(6 / (inputs of a patch + width)) as in the authors' code.
        prompts: Number of prompt tokens.
    """

    def __init__(self, model: VisionTransformer, prompts: int) -> None:
        super().__init__()
        self.prefix = int(model.num_prefix_tokens)
        self.prompts = nn.Parameter(torch.empty(prompts, model.embed_dim))
        bound = math.sqrt(6 / (model.patch_embed.proj.weight[0].numel() + model.embed_dim))
        nn.init.uniform_(self.prompts, -bound, bound)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, prefix + patches, width) to (batch, prefix + prompts + patches, width)."""
        prompts = self.prompts.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        return torch.cat([tokens[:, : self.prefix], prompts, tokens[:, self.prefix :]], dim=1)


class RemovePrompts(nn.Module):
    """Takes prompt tokens out again.

    Args:
        prefix: Tokens before the prompts.
        prompts: Number of prompt tokens.
    """

    def __init__(self, prefix: int, prompts: int) -> None:
        super().__init__()
        self.prefix = prefix
        self.prompts = prompts

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, prefix + prompts + patches, width) to (batch, prefix + patches, width)."""
        patches = tokens[:, self.prefix + self.prompts :]
        return torch.cat([tokens[:, : self.prefix], patches], dim=1)


def plan_vpt_shallow(config: VptShallow, model: VisionTransformer) -> list[PlannedSite]:
    """The prompts before the first block."""
    return [_planned(config, model, 0)]


def attach_vpt_shallow(config: VptShallow, model: VisionTransformer) -> None:
    """Put prompts before the first block and remove them after the last, in place."""
    insert = InsertPrompts(model, config.prompts)
    model.blocks[0] = nn.Sequential(insert, model.blocks[0])
    # Appended to the block, not to the normalisation after it: timm has two places for that.
    model.blocks[-1] = nn.Sequential(model.blocks[-1], RemovePrompts(insert.prefix, config.prompts))


def plan_vpt_deep(config: VptDeep, model: VisionTransformer) -> list[PlannedSite]:
    """The prompts of each chosen block.

    Raises:
        RecipeError: The backbone has no such blocks.
    """
    blocks = select_blocks(config.blocks, len(model.blocks))
    return [_planned(config, model, block) for block in blocks]


def attach_vpt_deep(config: VptDeep, model: VisionTransformer) -> None:
    """Give each chosen block prompts of its own, in place."""
    for index in select_blocks(config.blocks, len(model.blocks)):
        insert = InsertPrompts(model, config.prompts)
        remove = RemovePrompts(insert.prefix, config.prompts)
        model.blocks[index] = nn.Sequential(insert, model.blocks[index], remove)


def _planned(config: VptShallow | VptDeep, model: VisionTransformer, block: int) -> PlannedSite:
    size = config.prompts * int(model.embed_dim)
    return PlannedSite(Part(block, PartPosition.PROMPTS), config.method, 0, size)
