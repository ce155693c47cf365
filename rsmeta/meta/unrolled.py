"""The exact hypergradient through the K inner steps since the last outer step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from rsmeta.data.datamodule import Batch
from rsmeta.meta.first_order import validation_gradients
from rsmeta.meta.inner_optimiser import DifferentiableOptimiser
from rsmeta.meta.problem import (
    BilevelProblem,
    Hypergradient,
    InnerState,
    InnerStep,
    Tensors,
    Trajectory,
)


@dataclass(frozen=True)
class Unrolled:
    """Reverse-mode differentiation of the inner steps (Franceschi et al. 2017, section 3.1).

    The states between the steps are computed once and kept, and each step is computed again with
    its graph on the way back, so that the memory is that of one step and K small copies.

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
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            states = [trajectory.start]
            for step in trajectory.steps:
                states.append(self._after(problem, states[-1], step, rho.detach()))
            leaves = [p.detach().requires_grad_() for p in states[-1].parameters]
            (total, *adjoint), value = validation_gradients(problem, leaves, rho, batches, leaves)
            adjoint += [torch.zeros_like(m) for moment in states[-1].moments for m in moment]
            for state, step in zip(reversed(states[:-1]), reversed(trajectory.steps), strict=True):
                direct, adjoint = self._back(problem, state, step, rho, adjoint)
                total = total + direct
        return Hypergradient(total, value)

    def _after(
        self, problem: BilevelProblem, state: InnerState, step: InnerStep, rho: Tensor
    ) -> InnerState:
        """The state after a step, without a graph."""
        leaves = [p.detach().requires_grad_() for p in state.parameters]
        gradients = torch.autograd.grad(problem.inner_loss(leaves, rho, step.batch), leaves)
        parameters, moments = self.optimiser.step(state, gradients, step.learning_rate)
        return InnerState(
            [p.detach() for p in parameters],
            tuple([m.detach() for m in moment] for moment in moments),
            state.count + 1,
        )

    def _back(
        self,
        problem: BilevelProblem,
        state: InnerState,
        step: InnerStep,
        rho: Tensor,
        adjoint: Tensors,
    ) -> tuple[Tensor, list[Tensor]]:
        """Carry the adjoint of the state after a step to rho and to the state before it."""
        leaf = rho.detach().requires_grad_()
        parameters = [p.detach().requires_grad_() for p in state.parameters]
        moments = tuple([m.detach().requires_grad_() for m in part] for part in state.moments)
        loss = problem.inner_loss(parameters, leaf, step.batch)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        after, after_moments = self.optimiser.step(
            InnerState(parameters, moments, state.count), gradients, step.learning_rate
        )
        outputs = [*after, *(m for moment in after_moments for m in moment)]
        inputs = [leaf, *parameters, *(m for moment in moments for m in moment)]
        found = torch.autograd.grad(outputs, inputs, grad_outputs=list(adjoint), allow_unused=True)
        filled = [
            torch.zeros_like(tensor) if gradient is None else gradient.detach()
            for tensor, gradient in zip(inputs, found, strict=True)
        ]
        return filled[0], filled[1:]
