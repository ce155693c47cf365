"""The direct gradient: the rule of the MetaPEFT paper."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rsmeta.data.datamodule import Batch
from rsmeta.data.processes import mean_over_processes, this_process
from rsmeta.meta.problem import BilevelProblem, Hypergradient, Tensors, Trajectory


def first_order(
    problem: BilevelProblem, trajectory: Trajectory, rho: Tensor, batches: Sequence[Batch]
) -> Hypergradient:
    """dL_val/drho with the inner parameters held fixed; what rho did to them is left out."""
    (gradient,), value = validation_gradients(problem, trajectory.end.parameters, rho, batches, [])
    return Hypergradient(gradient, value)


def validation_gradients(
    problem: BilevelProblem,
    parameters: Tensors,
    rho: Tensor,
    batches: Sequence[Batch],
    wanted: Tensors,
) -> tuple[list[Tensor], float]:
    """Gradients of the mean validation loss in rho and in the wanted tensors, and the loss.

    In a distributed run they are those of the mean over all processes' batches.

    Args:
        problem: The losses.
        parameters: Inner parameters to evaluate at.
        rho: The value of rho; a leaf that takes gradients, or it is made one.
        batches: Validation batches.
        wanted: Tensors among `parameters`.
    """
    leaf = rho if rho.requires_grad else rho.detach().requires_grad_()
    inputs = [leaf, *wanted]
    total = [torch.zeros_like(tensor) for tensor in inputs]
    value = 0.0
    for batch in batches:
        loss = problem.outer_loss(parameters, leaf, batch)
        gradients = torch.autograd.grad(loss, inputs)
        total = [t + g / len(batches) for t, g in zip(total, gradients, strict=True)]
        value += float(loss.detach()) / len(batches)
    if this_process()[1] > 1:
        *total, mean = mean_over_processes([*total, total[0].new_tensor(value)])
        value = float(mean)
    return [tensor.detach() for tensor in total], value
