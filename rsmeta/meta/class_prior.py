"""A modulator of the head: how far predictions hold frequent classes back."""

from collections.abc import Mapping
from typing import Any

import torch
from scipy.optimize import brentq, minimize_scalar
from torch import Tensor

from rsmeta.data.processes import mean_over_processes, this_process
from rsmeta.longtail.balanced import balanced_cross_entropy
from rsmeta.meta.optimiser_state import load_optimiser_state
from rsmeta.recipe import OuterLoop

STRONGEST = 5.0
"""Largest strength, of either sign, that a fit looks at."""


class ClassPrior:
    """The strength kappa of a logit adjustment, f_c - kappa log pi_c, of a head's predictions.

    Menon et al. 2021 (arXiv 2007.07314, eq. 8) adjust logits after training, with a strength of
    their choice. Here it is what makes the loss of class-balanced validation chips smallest. The
    inner loop does not see it: there the head would take back what it adds.

    Args:
        shift: Of the head, -kappa log pi, (classes,); written to.
        log_prior: log pi, logarithm of the class shares, (classes,).
        tolerance: Of a fit, see `balancing_strength`.
    """

    def __init__(self, shift: Tensor, log_prior: Tensor, tolerance: float = 0.0) -> None:
        self._tolerance = tolerance
        self._shift = shift
        self._log_prior = log_prior.to(shift)
        self._strength = shift.new_zeros(())

    @property
    def strength(self) -> float:
        """Kappa; 0 at the start."""
        return float(self._strength)

    def fit(self, logits: Tensor, labels: Tensor) -> None:
        """Set kappa to what fits validation chips best, see `balancing_strength`.

        Args:
            logits: Without the shift, (chips, classes).
            labels: (chips,).
        """
        strength = balancing_strength(logits, labels, self._log_prior, self._tolerance)
        self._strength.fill_(strength)
        self._write()

    def fitted(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What the logits would be at the kappa that fits them best; kappa stays as it is.

        Args:
            logits: Without the shift, (chips, classes).
            labels: (chips,).
        """
        strength = balancing_strength(logits, labels, self._log_prior)
        return logits - strength * self._log_prior.to(logits)

    def state_dict(self) -> dict[str, Any]:
        """Kappa."""
        return {"strength": self._strength}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave."""
        self._strength.copy_(state["strength"])
        self._write()

    @torch.no_grad()
    def _write(self) -> None:
        self._shift.copy_(-self._strength * self._log_prior)


class ClassPriorStep(ClassPrior):
    """Learns the class prior along with the other modulators, a step at each of the outer loop's.

    Args:
        shift: Of the head, -kappa log pi, (classes,); written to.
        log_prior: log pi, logarithm of the class shares, (classes,).
        learning_rate: Of Adam, on kappa.
    """

    def __init__(self, shift: Tensor, log_prior: Tensor, learning_rate: float) -> None:
        super().__init__(shift, log_prior)
        self._optimiser = torch.optim.Adam([self._strength], lr=learning_rate)
        self._gradients: list[Tensor] = []

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
        return super().state_dict() | {"optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave."""
        super().load_state_dict(state)
        load_optimiser_state(self._optimiser, state["optimiser"])


def build_class_prior(config: OuterLoop, shift: Tensor, log_prior: Tensor) -> ClassPrior:
    """What sets the class prior of a head, as the recipe says."""
    if config.class_prior == "learned":
        return ClassPriorStep(shift, log_prior, config.prior_learning_rate)
    return ClassPrior(shift, log_prior, config.class_prior_tolerance)


def balancing_strength(
    logits: Tensor, labels: Tensor, log_prior: Tensor, tolerance: float = 0.0
) -> float:
    """The kappa at which f - kappa log pi has the smallest cross-entropy, classes weighing alike.

    The cross-entropy is convex in kappa, so that there is one. With a tolerance it is the largest
    kappa, the one that is best for rare classes, whose cross-entropy is hardly larger.

    Args:
        logits: f, (chips, classes).
        labels: (chips,).
        log_prior: log pi, logarithm of the class shares, (classes,).
        tolerance: How much larger it may be, as a share of the smallest.

    Returns:
        Kappa, within `STRONGEST` of 0; 0 where all classes are equally frequent.
    """
    f, prior = logits.detach().double().cpu(), log_prior.detach().double().cpu()
    y = labels.cpu()
    if torch.allclose(prior, prior.mean().expand_as(prior)):
        return 0.0

    def loss(kappa: float) -> float:
        return float(balanced_cross_entropy(f - kappa * prior, y))

    found = minimize_scalar(
        loss, bounds=(-STRONGEST, STRONGEST), method="bounded", options={"xatol": 1e-6}
    )
    best, most = float(found.x), (1 + tolerance) * float(found.fun)
    if tolerance == 0:
        return best
    if loss(STRONGEST) <= most:
        return STRONGEST
    return float(brentq(lambda kappa: loss(kappa) - most, best, STRONGEST, xtol=1e-6))
