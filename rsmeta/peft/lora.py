"""LoRA (Hu et al. 2021, arXiv 2106.09685) at any linear layer of a timm block.

y = W x + b + gamma * scale * B A x, with B = 0 at the start; scale is alpha / rank, or
alpha / sqrt(rank) (rsLoRA, Kalajdzievski 2023, arXiv 2312.03732).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from rsmeta.peft.low_rank import adapted_linear
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.norms import norm_sum, relative_norm
from rsmeta.peft.sites import PlannedSite, Site, block_layer, select_blocks
from rsmeta.recipe import Lora, Position


@dataclass(frozen=True)
class _Layer:
    """A linear layer of a block and the positions that its output rows belong to, in order."""

    module: str
    attribute: str
    positions: tuple[Position, ...]


_LAYERS = (
    _Layer("attn", "qkv", (Position.Q, Position.K, Position.V)),
    _Layer("attn", "proj", (Position.OUT,)),
    _Layer("mlp", "fc1", (Position.FC1,)),
    _Layer("mlp", "fc2", (Position.FC2,)),
)


class LoRALinear(nn.Module):
    """A frozen linear layer with a low-rank update for some parts of its output.

    The output of P * W features is made of P equal parts (q, k and v of a fused projection; one
    part for other layers). Adapted parts share one matmul for their down-projections, and gamma is
    folded into the small up-projections, never into activations.

    Args:
        base: The frozen layer.
        sites: For each part of the output the site that adapts it, or None.
        rank: Rank of each update.
        scale: alpha / rank or alpha / sqrt(rank).
        bank: Where the modulators live; not owned, so that they are stored once.
    """

    def __init__(
        self,
        base: nn.Linear,
        sites: Sequence[Site | None],
        rank: int,
        scale: float,
        bank: ModulatorBank,
    ) -> None:
        super().__init__()
        self.base = base
        self.sites = tuple(sites)
        self.scale = scale
        self._bank = (bank,)
        adapted = [site for site in sites if site is not None]
        width = base.out_features // len(self.sites)
        self._parts = _as_slice([i for i, site in enumerate(self.sites) if site is not None])
        self.register_buffer("_index", bank.index(adapted), persistent=False)
        self.down = nn.Parameter(torch.empty(len(adapted) * rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(len(adapted), width, rank))
        for part in self.down.data.split(rank):
            nn.init.kaiming_uniform_(part, a=math.sqrt(5))

    def factor(self) -> Tensor:
        """Gamma * scale of each adapted part, (adapted,)."""
        assert isinstance(self._index, Tensor)
        gamma = self._bank[0].gamma()[self._index]
        return gamma if self.scale == 1 else self.scale * gamma

    def fused_up(self) -> Tensor:
        """Gamma * scale * B of all parts as one matrix, block by block, (out, adapted * rank)."""
        blocks = iter((self.up * self.factor()[:, None, None]).unbind())
        empty = self.up.new_zeros(self.up.shape[1], 0)
        fused: Tensor = torch.block_diag(
            *(empty if site is None else next(blocks) for site in self.sites)
        )
        return fused

    def update(self) -> Tensor:
        """The weight update gamma * scale * B A, of the shape of the base weight."""
        return self.fused_up() @ self.down

    def relative_updates(self) -> dict[Site, float]:
        """Of each site, ||gamma * scale * B A|| / ||W||, W the rows of the base that it adapts."""
        rows = self.up.shape[1]
        parts = zip(
            self.sites, self.update().split(rows), self.base.weight.split(rows), strict=True
        )
        return {
            site: relative_norm(norm_sum(update.flatten()), norm_sum(weight.flatten()))
            for site, update, weight in parts
            if site is not None
        }

    def take_sites(self, source: "LoRALinear") -> None:
        """Copy the tensors of this layer's sites from a layer that adapts these and others."""
        held = [site for site in source.sites if site is not None]
        places = [held.index(site) for site in self.sites if site is not None]
        rank = self.up.shape[-1]
        self.up.copy_(source.up[places])
        self.down.copy_(source.down.unflatten(0, (-1, rank))[places].flatten(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return adapted_linear(
            x,
            self.base.weight,
            self.base.bias,
            self.down,
            self.up,
            self.factor(),
            self._parts,
            len(self.sites),
        )


def _as_slice(indexes: Sequence[int]) -> slice:
    """The slice that picks rising indexes; any of up to three are in equal steps."""
    step = indexes[1] - indexes[0] if len(indexes) > 1 else 1
    return slice(indexes[0], indexes[-1] + 1, step)


def plan_lora(config: Lora, model: VisionTransformer) -> list[PlannedSite]:
    """What `attach_lora` will put where.

    Raises:
        RecipeError: The backbone has no such blocks, or blocks of another kind.
    """
    planned = []
    for block in select_blocks(config.blocks, len(model.blocks)):
        for layer in _LAYERS:
            positions = [position for position in layer.positions if position in config.positions]
            if not positions:
                continue
            base = block_layer(model, block, f"{layer.module}.{layer.attribute}")
            assert isinstance(base, nn.Linear)
            width = base.out_features // len(layer.positions)
            parameters = config.rank * (base.in_features + width)
            planned += [
                PlannedSite(Site(block, position), config.method, config.rank, parameters)
                for position in positions
            ]
    return planned


def attach_lora(config: Lora, model: VisionTransformer, bank: ModulatorBank) -> None:
    """Replace the planned linear layers of the model by `LoRALinear`, in place."""
    planned = set(bank.sites)
    for index, block in enumerate(model.blocks):
        for layer in _LAYERS:
            candidates = [Site(index, position) for position in layer.positions]
            sites = [site if site in planned else None for site in candidates]
            if any(site is not None for site in sites):
                module = getattr(block, layer.module)
                base = getattr(module, layer.attribute)
                adapted = LoRALinear(base, sites, config.rank, config.scale, bank)
                setattr(module, layer.attribute, adapted)
