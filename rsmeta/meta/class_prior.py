"""A modulator of the head: how far predictions hold frequent classes back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rsmeta.data.processes import mean_over_processes, this_process
from rsmeta.meta.optimiser_state import load_optimiser_state


class ClassPriorStep:
    """Learns the strength kappa of a logit adjustment, f_c - kappa log pi_c, in the outer loop.

    Menon et al. 2021 (arXiv 2007.07314, eq. 8) adjust logits after training, with a strength of
    their choice. Here it is what makes the loss of class-balanced validation batches smallest. The
    inner loop does not see it: there the head would take back what it adds.

    Args:
        shift: Of the head, -kappa log pi, (classes,); written to.
        log_prior: log pi, logarithm of the class shares, (classes,).
        learning_rate: Of Adam, on kappa.
    """

    def __init__(self, shift: Tensor, log_prior: Tensor, learning_rate: float) -> None:
        self._shift = shift
        self._log_prior = log_prior.to(shift)
        self._strength = shift.new_zeros(())
        self._optimiser = torch.optim.Adam([self._strength], lr=learning_rate)
        self._gradients: list[Tensor] = []

    @property
    def strength(self) -> float:
        """Kappa; 0 at the start."""
        return float(self._strength)

    def see(self, logits: Tensor, labels: Tensor) -> None:
        """Take in a validation batch: the derivative of its mean cross-entropy in kappa.

        d/dkappa of -ln p_y, p = softmax(f - kappa log pi), is log pi_y - sum_c p_c log pi_c.

        Args:
            logits: With the shift, (batch, classes).
            labels: (batch,).
        """
        expected = logits.detach().to(self._log_prior).softmax(dim=1) @ self._log_prior
        self._gradients.append((self._log_prior[labels] - expected).mean())

    def step(self, *, skipped: bool) -> None:
        """Move kappa along the mean derivative of the batches seen, unless the step is skipped."""
        gradient = torch.stack(self._gradients).mean()
        self._gradients = []
        if this_process()[1] > 1:
            (gradient,) = mean_over_processes([gradient])
        if skipped:
            return
        self._strength.grad = gradient
        self._optimiser.step()
        self._strength.grad = None
        self._write()

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {"strength": self._strength, "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave."""
        self._strength.copy_(state["strength"])
        load_optimiser_state(self._optimiser, state["optimiser"])
        self._write()

    @torch.no_grad()
    def _write(self) -> None:
        self._shift.copy_(-self._strength * self._log_prior)
