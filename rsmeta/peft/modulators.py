"""The modulators: one positive, differentiable scale per site (MetaPEFT, arXiv 2603.01759)."""

import math
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsmeta.peft.sites import AnySite, BandSite
from rsmeta.recipe import Sharing

_SHARED: dict[Sharing, Callable[[AnySite], Hashable]] = {
    "none": lambda site: site,
    "block": lambda site: site.block,
    "position": lambda site: site if isinstance(site, BandSite) else site.position,
    "all": lambda site: None,
}
"""What sites have in common that share a modulator; the bands count as a block of their own."""


class ModulatorBank(nn.Module):
    """Holds gamma = softplus(rho), one scalar for each site, or for sites that share it.

    The same gamma scales an adapter in training, in the saved model and in prediction.

    Args:
        sites: The sites, in the order of the entries.
        start: Gamma of each site at the start, > 0; sites that share a modulator start at the mean.
        learned: Whether rho takes part in the outer loop.
        sharing: Which sites share a modulator.

    Attributes:
        rho: (modulators,), as many as there are sites where none share.
        kept: (sites,), bool, which sites pruning has left; not stored with the model.
    """

    kept: Tensor
    _entry: Tensor
    _constant: Tensor | None = None

    def __init__(
        self,
        sites: Sequence[AnySite],
        start: Sequence[float],
        learned: bool,
        sharing: Sharing = "none",
    ) -> None:
        super().__init__()
        self.sites = tuple(sites)
        self._index = {site: index for index, site in enumerate(self.sites)}
        members: dict[Hashable, list[float]] = {}
        for site, value in zip(self.sites, start, strict=True):
            members.setdefault(_SHARED[sharing](site), []).append(value)
        self._shared = list(members)
        self._sharing = sharing
        rho = [inverse_softplus(sum(values) / len(values)) for values in members.values()]
        self.rho = nn.Parameter(torch.tensor(rho), requires_grad=learned)
        self.register_buffer("_entry", self._entries(self.sites), persistent=False)
        self.register_buffer(
            "kept", torch.ones(len(self.sites), dtype=torch.bool), persistent=False
        )
        self._all_kept = True

    def index(self, sites: Sequence[AnySite]) -> Tensor:
        """Entries of some sites, int64."""
        return torch.tensor([self._index[site] for site in sites], dtype=torch.int64)

    def gamma(self) -> Tensor:
        """All modulators, (sites,), float32 whatever the precision of training; 0 if dropped."""
        if self._constant is not None:
            return self._constant
        gamma = F.softplus(self.rho)
        if self._sharing != "none":
            gamma = gamma[self._entry]
        return gamma if self._all_kept else gamma * self.kept

    @contextmanager
    def constant(self) -> Iterator[None]:
        """Within it gamma is a constant: computed once, and nothing differentiates in rho."""
        self._constant = self.gamma().detach()
        try:
            yield
        finally:
            self._constant = None

    @property
    def left(self) -> tuple[AnySite, ...]:
        """The sites that have not been dropped, in order."""
        kept = self.kept.tolist()
        return tuple(site for site, stays in zip(self.sites, kept, strict=True) if stays)

    def keep_only(self, sites: Collection[AnySite]) -> None:
        """Drop all other sites: their gamma is 0 from now on, and no gradient reaches them."""
        stays = torch.tensor([site in sites for site in self.sites], device=self.kept.device)
        self.kept &= stays
        self._all_kept = bool(self.kept.all())

    @torch.no_grad()
    def set_scale(self, start: Tensor, factor: float) -> None:
        """Set gamma to a multiple of what it was; those of bands alone stay: they scale kernels.

        Args:
            start: Rho to start from, (modulators,).
            factor: What to multiply gamma with, > 0.
        """
        rho = [inverse_softplus(factor * value) for value in F.softplus(start).tolist()]
        of_blocks = [not isinstance(site, BandSite) for site in self.sites]
        scaled = torch.zeros_like(start, dtype=torch.bool)
        scaled[self._entry[torch.tensor(of_blocks, device=start.device)]] = True
        self.rho.copy_(torch.where(scaled, start.new_tensor(rho), start))

    def take_sites(self, source: "ModulatorBank") -> None:
        """Copy the rho of this bank's sites from a bank that has these and others."""
        places = [source._shared.index(shared) for shared in self._shared]
        self.rho.copy_(source.rho[places])

    def _entries(self, sites: Sequence[AnySite]) -> Tensor:
        """Where the modulator of each site is in rho, int64."""
        places = {shared: place for place, shared in enumerate(self._shared)}
        return torch.tensor([places[_SHARED[self._sharing](s)] for s in sites], dtype=torch.int64)

    def values(self) -> dict[AnySite, float]:
        """The modulator of each site as a number."""
        return dict(zip(self.sites, self.gamma().detach().cpu().tolist(), strict=True))


def inverse_softplus(value: float) -> float:
    """The rho with softplus(rho) = value > 0, without overflow for large values."""
    return value + math.log(-math.expm1(-value))
