"""Adapter (Houlsby et al. 2019, arXiv 1902.00751), in series after a branch of a timm block.

With h the output of a branch (attention or MLP) as it would be added to the residual stream,

    y = h + gamma * Up(ReLU(Down(LN(h)))),    Up = 0 at the start.

Houlsby et al. put the adapter "directly to the output of the sub-layer, after the projection back
to the input size, but before adding the skip connection back". LayerScale belongs to the branch, so
the adapter follows it; drop-path drops the branch together with its adapter.
"""

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from rsmeta.peft.bottleneck import Bottleneck, bottleneck_parameters
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.sites import PlannedSite, Site, block_layer, block_sites, select_blocks
from rsmeta.recipe import Adapter, BranchPosition

_LAST_LAYERS = {BranchPosition.ATTN: "ls1", BranchPosition.MLP: "ls2"}
"""The last layer of each branch: LayerScale, or an identity where the ViT has none."""


class SerialAdapter(nn.Module):
    """A frozen layer followed by a bottleneck with a skip connection.

    Args:
        base: The frozen layer.
        bottleneck: The trained update.
    """

    def __init__(self, base: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.base = base
        self.bottleneck = bottleneck

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        h: Tensor = self.base(x)
        update: Tensor = self.bottleneck(h)
        return h + update


def plan_adapter(config: Adapter, model: VisionTransformer) -> list[PlannedSite]:
    """What `attach_adapter` will put where.

    Raises:
        RecipeError: The backbone has no such blocks, or blocks of another kind.
    """
    planned = []
    for block in select_blocks(config.blocks, len(model.blocks)):
        for position, layer in _LAST_LAYERS.items():
            if position in config.positions:
                block_layer(model, block, layer)  # raises if the blocks are of another kind
                size = bottleneck_parameters(model, config.rank)
                planned.append(PlannedSite(Site(block, position), config.method, config.rank, size))
    return planned


def attach_adapter(config: Adapter, model: VisionTransformer, bank: ModulatorBank) -> None:
    """Put an adapter behind the last layer of each planned branch, in place."""
    for site in block_sites(bank.sites):
        layer = _LAST_LAYERS[BranchPosition(site.position)]
        bottleneck = Bottleneck(model.embed_dim, config.rank, site, bank)
        block = model.blocks[site.block]
        setattr(block, layer, SerialAdapter(getattr(block, layer), bottleneck))
