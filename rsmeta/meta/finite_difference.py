"""A hypergradient from first-order passes alone (DARTS, Liu et al. 2019, eq. 8; SAMA)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rsmeta.data.datamodule import Batch
from rsmeta.data.processes import mean_over_processes
from rsmeta.meta.first_order import validation_gradients
from rsmeta.meta.inner_optimiser import DifferentiableOptimiser
from rsmeta.meta.problem import BilevelProblem, Hypergradient, Tensors, Trajectory

_RELATIVE_STEP = 0.01
"""Length of the difference step in parameter space, as in DARTS."""


@dataclass(frozen=True)
class FiniteDifference:
    """dL_val/drho plus what rho did to the inner parameters, to first order in the step size.

    With v = dL_val/dtheta and s the optimiser's influence, the second part is
    -d/drho <dL_train/dtheta, s v>, a directional derivative, taken as a central difference of
    dL_train/drho at theta +- epsilon s v on the latest training batch. Two more forward and
    backward passes than `first_order`; no second derivative, so any attention kernel will do.

    Attributes:
        optimiser: The inner loop's optimiser.
    """

    optimiser: DifferentiableOptimiser

    def __call__(
        self,
        problem: BilevelProblem,
        trajectory: Trajectory,
        rho: Tensor,
        batches: Sequence[Batch],
    ) -> Hypergradient:
        """See `HypergradientEngine`."""
        leaves = [p.detach().requires_grad_() for p in trajectory.end.parameters]
        (direct, *slopes), value = validation_gradients(problem, leaves, rho, batches, leaves)
        influence = self.optimiser.influence(trajectory)
        direction = [s * v for s, v in zip(influence, slopes, strict=True)]
        length = torch.stack([d.norm() for d in direction]).norm()
        if length == 0:
            return Hypergradient(direct, value)
        epsilon = _RELATIVE_STEP / length
        batch = trajectory.steps[-1].batch
        ahead, behind = (
            _rho_gradient(problem, leaves, direction, sign * epsilon, rho, batch)
            for sign in (1, -1)
        )
        return Hypergradient(direct - (ahead - behind) / (2 * epsilon), value)


def _rho_gradient(
    problem: BilevelProblem,
    parameters: Tensors,
    direction: Tensors,
    step: Tensor,
    rho: Tensor,
    batch: Batch,
) -> Tensor:
    """dL_train/drho at parameters moved by a step along a direction."""
    moved = [p.detach() + step * d for p, d in zip(parameters, direction, strict=True)]
    leaf = rho.detach().requires_grad_()
    gradients = torch.autograd.grad(problem.inner_loss(moved, leaf, batch), [leaf])
    (gradient,) = mean_over_processes(gradients)
    return gradient
