"""The modulators: one positive, differentiable scale per site (MetaPEFT, arXiv 2603.01759)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsmeta.peft.sites import Site


class ModulatorBank(nn.Module):
    """Holds gamma = softplus(rho), one scalar for each site.

    The same gamma scales an adapter in training, in the saved model and in prediction.

    Args:
        sites: The sites, in the order of the entries.
        start: Value of every gamma at the start, > 0.
        learned: Whether rho takes part in the outer loop.
    """

    def __init__(self, sites: Sequence[Site], start: float, learned: bool) -> None:
        super().__init__()
        self.sites = tuple(sites)
        self._index = {site: index for index, site in enumerate(self.sites)}
        rho = torch.full((len(self.sites),), inverse_softplus(start))
        self.rho = nn.Parameter(rho, requires_grad=learned)

    def index(self, sites: Sequence[Site]) -> Tensor:
        """Entries of some sites, int64."""
        return torch.tensor([self._index[site] for site in sites], dtype=torch.int64)

    def gamma(self) -> Tensor:
        """All modulators, (sites,), float32 whatever the precision of training."""
        return F.softplus(self.rho)

    def values(self) -> dict[Site, float]:
        """The modulator of each site as a number."""
        return dict(zip(self.sites, self.gamma().detach().cpu().tolist(), strict=True))


def inverse_softplus(value: float) -> float:
    """The rho with softplus(rho) = value > 0, without overflow for large values."""
    return value + math.log(-math.expm1(-value))
