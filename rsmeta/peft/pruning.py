"""Pruning of sites: which to keep, and a smaller classifier that computes what is left."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from rsmeta.errors import PruningError
from rsmeta.peft.sites import AnySite

# --- which sites to keep --------------------------------------------------------------------------


@dataclass(frozen=True)
class KeepShare:
    """Keep a share of the sites: those of the largest contributions.

    Attributes:
        share: In (0, 1]; of n sites, round(share * n) are kept, but one at least.

    Raises:
        PruningError: The share is not in (0, 1].
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise PruningError(
                f"share of sites to keep {self.share}: allowed: above 0 and at most 1"
            )


@dataclass(frozen=True)
class Threshold:
    """Keep the sites whose contribution is not below a threshold.

    Attributes:
        smallest: Smallest contribution to keep, >= 0.

    Raises:
        PruningError: It is negative or not a finite number.
    """

    smallest: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.smallest) and self.smallest >= 0):
            raise PruningError(f"threshold {self.smallest}: allowed: finite numbers from 0")


Criterion = KeepShare | Threshold


def sites_to_keep(
    contributions: Mapping[AnySite, float], criterion: Criterion
) -> tuple[AnySite, ...]:
    """The sites that a criterion keeps, in the order of the mapping.

    A contribution that is not a number (of a run that diverged) counts as the smallest.

    Raises:
        PruningError: The criterion keeps none.
    """
    if isinstance(criterion, KeepShare):
        count = max(1, round(criterion.share * len(contributions)))
        return largest(contributions, count)
    kept = tuple(site for site, value in contributions.items() if value >= criterion.smallest)
    if not kept:
        numbers = [value for value in contributions.values() if not math.isnan(value)]
        highest = max(numbers, default=math.nan)
        raise PruningError(
            f"threshold {criterion.smallest:g} keeps no site: the largest contribution is "
            f"{highest:.4g}; choose a smaller one"
        )
    return kept


def largest(contributions: Mapping[AnySite, float], count: int) -> tuple[AnySite, ...]:
    """The `count` sites of the largest contributions, in the order of the mapping.

    Of sites with equal contributions, the earlier ones are kept.
    """

    def rank(site: AnySite) -> float:
        value = contributions[site]
        return math.inf if math.isnan(value) else -value

    kept = set(sorted(contributions, key=rank)[:count])  # a stable sort: ties keep their order
    return tuple(site for site in contributions if site in kept)


def sites_left(total: int, share: float, event: int, events: int) -> int:
    """Number of sites after a pruning event; it falls geometrically to the share of all.

    Args:
        total: Number of sites before the first event.
        share: Share of them that the last event leaves, in (0, 1].
        event: From 1 to `events`.
        events: Number of events.
    """
    return max(1, round(total * math.pow(share, event / events)))


# --- the smaller classifier -----------------------------------------------------------------------


@runtime_checkable
class _SeveralSites(Protocol):
    """A module that holds the tensors of several sites together."""

    def take_sites(self, source: Any) -> None:
        """Copy the tensors of this module's sites from a module that has these and others."""
        ...


def transfer(source: nn.Module, target: nn.Module) -> None:
    """Copy all that was trained into a classifier built with fewer sites, in place.

    The target then computes what the source computes with the updates of the other sites set to
    zero. Modules that hold several sites hand over those that are left; all other trained tensors
    are copied by name.

    Args:
        source: A classifier.
        target: A classifier of the same recipe with some of its sites, on the same frozen backbone.
    """
    modules = dict(source.named_modules())
    with torch.no_grad():
        for name, module in target.named_modules():
            if isinstance(module, _SeveralSites):
                module.take_sites(modules[name])
                continue
            for tensor_name, tensor in module.named_parameters(recurse=False):
                if tensor.requires_grad:
                    tensor.copy_(modules[name].get_parameter(tensor_name))
