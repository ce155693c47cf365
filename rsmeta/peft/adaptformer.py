"""AdaptFormer (Chen et al. 2022, arXiv 2205.13535): a bottleneck parallel to the MLP of a block.

With x the residual stream that the MLP branch reads (before its normalisation),

    y = x + MLP branch(x) + gamma * Up(ReLU(Down(LN(x)))),    Up = 0 at the start.

The bottleneck normalises x by itself and, as in the authors' code, is added behind drop-path.
"""

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from rsmeta.peft.bottleneck import Bottleneck, bottleneck_parameters
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.sites import PlannedSite, Site, block_layer, block_sites, select_blocks
from rsmeta.recipe import AdaptFormer, BranchPosition

_BRANCH = ("norm2", "mlp", "ls2", "drop_path2")
"""The layers of the MLP branch of a timm block, in order."""


class ParallelMlp(nn.Module):
    """The whole MLP branch of a block with a bottleneck beside it.

    Args:
        block: Block whose MLP branch this takes over.
        bottleneck: The trained update.
    """

    def __init__(self, block: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.branch = nn.Sequential(*(getattr(block, name) for name in _BRANCH))
        self.bottleneck = bottleneck

    def forward(self, x: Tensor) -> Tensor:
        """Map the residual stream (batch, tokens, width) to what is added to it."""
        output: Tensor = self.branch(x)
        update: Tensor = self.bottleneck(x)
        return output + update


def plan_adaptformer(config: AdaptFormer, model: VisionTransformer) -> list[PlannedSite]:
    """What `attach_adaptformer` will put where.

    Raises:
        RecipeError: The backbone has no such blocks, or blocks of another kind.
    """
    blocks = select_blocks(config.blocks, len(model.blocks))
    for block in blocks:
        for name in _BRANCH:
            block_layer(model, block, name)  # raises if the blocks are of another kind
    size = bottleneck_parameters(model, config.rank)
    return [
        PlannedSite(Site(block, BranchPosition.MLP), config.method, config.rank, size)
        for block in blocks
    ]


def attach_adaptformer(config: AdaptFormer, model: VisionTransformer, bank: ModulatorBank) -> None:
    """Put a bottleneck beside the MLP of each planned block, in place.

    timm's block normalises before the MLP, where the bottleneck could not read the stream itself.
    So the whole branch moves into the place of the MLP, and identities take its layers' places.
    """
    for site in block_sites(bank.sites):
        block = model.blocks[site.block]
        bottleneck = Bottleneck(model.embed_dim, config.rank, site, bank)
        block.mlp = ParallelMlp(block, bottleneck)
        for name in _BRANCH:
            if name != "mlp":
                setattr(block, name, nn.Identity())
