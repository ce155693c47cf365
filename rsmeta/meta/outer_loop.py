"""One outer step: Adam on rho along a hypergradient."""

from collections.abc import Sequence

import torch

from rsmeta.data.datamodule import Batch
from rsmeta.meta.engines import ENGINES, BatchLoss, Hypergradient
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.recipe import OuterLoop


class OuterStep:
    """Learns the modulators of a bank.

    Args:
        config: Settings of the outer loop.
        bank: The modulators.
    """

    def __init__(self, config: OuterLoop, bank: ModulatorBank) -> None:
        self.every = config.every
        self._engine = ENGINES[config.engine]
        self._rho = bank.rho
        self.optimiser = torch.optim.Adam([bank.rho], lr=config.learning_rate)

    def __call__(self, loss: BatchLoss, batches: Sequence[Batch]) -> Hypergradient:
        """Take one step and return the hypergradient it went along."""
        hypergradient = self._engine(loss, self._rho, batches)
        self._rho.grad = hypergradient.gradient
        self.optimiser.step()
        self._rho.grad = None
        return hypergradient
