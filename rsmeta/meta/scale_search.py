"""Trials of how large the modulators are, before an outer loop learns them one by one."""

import math
from collections.abc import Mapping
from typing import Any

from rsmeta.peft.modulators import ModulatorBank
from rsmeta.recipe import ScaleSearch


class ScaleTrials:
    """Sets the modulators for each trial and, after the last one, by the best factor.

    Args:
        config: Which factors to try.
        bank: The modulators, at their start.
    """

    def __init__(self, config: ScaleSearch, bank: ModulatorBank) -> None:
        self._factors = tuple(config.factors)
        self._caution = config.caution
        self._bank = bank
        self._start = bank.rho.detach().clone()
        self._losses: list[float] = []
        self._given_up = False

    @property
    def done(self) -> bool:
        """Whether all factors were tried."""
        return len(self._losses) == len(self._factors)

    @property
    def given_up(self) -> bool:
        """Whether the trial under way is to end without another step."""
        return self._given_up

    def give_up(self) -> None:
        """Let the trial under way count as diverged."""
        self._given_up = True

    @property
    def losses(self) -> Mapping[float, float]:
        """Loss of each factor so far; infinite where a trial diverged."""
        return dict(zip(self._factors, self._losses, strict=False))

    @property
    def chosen(self) -> float:
        """The factor of the smallest loss so far, of equal ones the first, divided by caution."""
        return min(self.losses, key=self.losses.__getitem__) / self._caution

    def begin(self) -> None:
        """Scale the modulators by the next factor or, where all were tried, by the chosen one."""
        factor = self.chosen if self.done else self._factors[len(self._losses)]
        self._bank.set_scale(self._start, factor)

    def end(self, loss: float) -> float:
        """Note the loss that a trial ended with, infinite where it was given up, and return it."""
        self._losses.append(math.inf if self._given_up else loss)
        self._given_up = False
        return self._losses[-1]

    def state_dict(self) -> dict[str, Any]:
        """All that the next trials depend on."""
        return {"losses": self._losses, "given_up": self._given_up}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave."""
        self._losses = list(state["losses"])
        self._given_up = state["given_up"]
