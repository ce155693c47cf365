"""The stages of a training, each of which begins anew: trials of scales, the search, the end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.optim import Optimizer

from rsmeta.recipe import Recipe


@dataclass(frozen=True)
class Stages:
    """Which epochs, from 0, do what.

    Attributes:
        epochs: Number of all epochs.
        starts: First epochs of the stages; the first is 0.
        learning: Epochs that learn modulators.
        trial_ends: Last epochs of the trials of scales.
    """

    epochs: int
    starts: tuple[int, ...]
    learning: range
    trial_ends: tuple[int, ...]

    def __iter__(self) -> Iterator[range]:
        """The epochs of each stage."""
        return (range(*ends) for ends in pairwise((*self.starts, self.epochs)))


def stages(recipe: Recipe) -> Stages:
    """The stages of a recipe's training."""
    epochs, outer = recipe.inner.epochs, recipe.outer
    if not recipe.learns_modulators:
        return Stages(epochs, (0,), range(0), ())
    trials = outer.trial_epochs
    starts, trial_ends = [trials], []
    if outer.scale_search is not None:
        starts = list(range(0, trials + 1, outer.scale_search.epochs))
        trial_ends = [start - 1 for start in starts[1:]]
    final = epochs - outer.final_epochs
    if outer.restart:
        starts.append(final)
    return Stages(epochs, tuple(starts), range(trials, final), tuple(trial_ends))


class FreshStart:
    """Takes a training back to where it began.

    Args:
        parameters: Of the inner loop.
        optimiser: Of the inner loop.
    """

    def __init__(self, parameters: Sequence[Tensor], optimiser: Optimizer) -> None:
        self._parameters = parameters
        self._optimiser = optimiser
        self._values = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def restore(self) -> None:
        """Set the parameters to what they were, and empty the optimiser's memory."""
        for parameter, value in zip(self._parameters, self._values, strict=True):
            parameter.copy_(value)
        self._optimiser.state.clear()

    def state_dict(self) -> list[Tensor]:
        """The parameters at the start."""
        return self._values

    def load_state_dict(self, state: Sequence[Tensor]) -> None:
        """Take what `state_dict` gave."""
        self._values = [
            value.to(parameter.device)
            for value, parameter in zip(state, self._parameters, strict=True)
        ]
