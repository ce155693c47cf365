"""What trains of a patch embedding beside the method: the mixing over bands, and band updates.

    W_b = W0_b + sum_c (M[b, c] - M0[b, c]) W_rgb[c] + gamma_b U_b V_b

with W0 the frozen kernel, M = M0 and U = 0 at the start, so that training starts at the very
tokens of the frozen kernel. Both are parametrisations of the convolution's weight.
"""

import math
from dataclasses import dataclass

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rsmeta.peft.modulators import ModulatorBank
from rsmeta.peft.norms import norm_sum, relative_norm
from rsmeta.peft.sites import BandSite, Part, PartPosition, PlannedSite

_UPDATE, _MIXING = "band_update", "band_mixing"


@dataclass(frozen=True)
class BandTraining:
    """What of a patch embedding trains.

    Attributes:
        bands: Names of the bands, in the order of the channels.
        pretrained: Kernel W_rgb, (embedding, S, patch, patch).
        rank: Rank of each band's update; None for no updates.
        mixing: Where M starts, (bands, S); None where it is frozen.
    """

    bands: tuple[str, ...]
    pretrained: Tensor
    rank: int | None
    mixing: Tensor | None


class TrainedMixing(nn.Module):
    """Adds sum_c (M[b, c] - M0[b, c]) W_rgb[c] to a kernel; M is trained.

    Args:
        start: M0, (bands, S).
        pretrained: W_rgb, (embedding, S, patch, patch).
    """

    _start: Tensor
    _pretrained: Tensor

    def __init__(self, start: Tensor, pretrained: Tensor) -> None:
        super().__init__()
        self.mixing = nn.Parameter(start.clone())
        self.register_buffer("_start", start.clone(), persistent=False)
        self.register_buffer("_pretrained", pretrained.clone(), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Map a kernel (embedding, bands, patch, patch) to one of the same shape."""
        # The kernel is small; bfloat16 would round the update away.
        with torch.autocast(weight.device.type, enabled=False):
            change = torch.einsum("cs,dsxy->dcxy", self.mixing - self._start, self._pretrained)
        return weight + change


class BandUpdates(nn.Module):
    """Adds gamma_b U_b V_b to the kernels of some bands.

    Args:
        convolution: The layer whose weight this is put on.
        training: Its bands, and the rank of each update.
        bank: Where the modulators live, of all the bands to update; not owned.

    Attributes:
        up: U, (updated bands, embedding, rank).
        down: V, (updated bands, rank, patch * patch).
    """

    _channels: Tensor
    _index: Tensor

    def __init__(self, convolution: nn.Conv2d, training: BandTraining, bank: ModulatorBank) -> None:
        super().__init__()
        self._bank, self._convolution = (bank,), (convolution,)
        assert training.rank is not None
        self.sites = [site for site in map(BandSite, training.bands) if site in bank.sites]
        channels = [training.bands.index(site.band) for site in self.sites]
        kernels = training.pretrained.transpose(0, 1).flatten(1)
        self._pretrained_norm = norm_sum(kernels) / len(kernels)
        self.register_buffer("_channels", torch.tensor(channels), persistent=False)
        self.register_buffer("_index", bank.index(self.sites), persistent=False)
        weight = convolution.weight
        embedding, _, *patch = weight.shape
        self.up = nn.Parameter(weight.new_zeros(len(channels), embedding, training.rank))
        self.down = nn.Parameter(weight.new_empty(len(channels), training.rank, math.prod(patch)))
        # As large as the pretrained kernels: neighbouring pixels and bands are alike, so that their
        # answers to larger ones would add up, and a few steps would drown the pretrained tokens.
        nn.init.normal_(self.down, std=float(training.pretrained.std()))

    def update(self) -> Tensor:
        """Gamma U V of each updated band, (updated bands, embedding, patch * patch)."""
        gamma = self._bank[0].gamma()[self._index]
        with torch.autocast(self.up.device.type, enabled=False):
            return (gamma[:, None, None] * self.up) @ self.down

    def forward(self, weight: Tensor) -> Tensor:
        """Map a kernel (embedding, bands, patch, patch) to one of the same shape."""
        update = self.update().transpose(0, 1).unflatten(-1, weight.shape[2:])
        return weight.index_add(1, self._channels, update)

    def relative_updates(self) -> dict[BandSite, float]:
        """Of each band, ||gamma U V|| over the norm of its kernel without it.

        A band that reads through its update alone is measured against a pretrained band's kernel.
        """
        updates = self.update()
        kernels = self._convolution[0].weight.transpose(0, 1)[self._channels].flatten(2)
        found = {}
        for site, update, kernel in zip(self.sites, updates, kernels, strict=True):
            base = norm_sum((kernel - update).flatten()) or self._pretrained_norm
            found[site] = relative_norm(norm_sum(update.flatten()), base)
        return found

    def take_sites(self, source: "BandUpdates") -> None:
        """Copy the tensors of this module's bands from a module that updates these and others."""
        places = [source.sites.index(site) for site in self.sites]
        self.up.copy_(source.up[places])
        self.down.copy_(source.down[places])


def plan_bands(training: BandTraining, model: VisionTransformer) -> list[PlannedSite]:
    """What `attach_bands` will train: one line for the mixing, one for each band's update."""
    planned = []
    if training.mixing is not None:
        part = Part(None, PartPosition.MIXING)
        planned.append(PlannedSite(part, _MIXING, 0, training.mixing.numel()))
    if training.rank is not None:
        embedding, _, *patch = model.patch_embed.proj.weight.shape
        size = training.rank * (embedding + math.prod(patch))
        planned += [
            PlannedSite(BandSite(band), _UPDATE, training.rank, size) for band in training.bands
        ]
    return planned


def attach_bands(
    training: BandTraining, model: VisionTransformer, bank: ModulatorBank | None
) -> None:
    """Let the mixing and the updates of those bands train that have a modulator, in place.

    Args:
        training: What trains.
        model: The ViT, to which the method has been attached already.
        bank: The modulators; None where there are none.
    """
    layer = model.patch_embed.proj
    convolution = layer if isinstance(layer, nn.Conv2d) else layer.base  # scaled and shifted
    if training.mixing is not None:
        parametrize.register_parametrization(
            convolution, "weight", TrainedMixing(training.mixing, training.pretrained)
        )
    left = bank is not None and any(isinstance(site, BandSite) for site in bank.sites)
    if training.rank is not None and bank is not None and left:
        updates = BandUpdates(convolution, training, bank)
        parametrize.register_parametrization(convolution, "weight", updates)


def fold_bands(model: nn.Module) -> None:
    """Fold mixing and updates into the kernel of a ViT's patch embedding, in place."""
    for module in list(model.modules()):
        if isinstance(module, nn.Conv2d) and parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
