"""What the processes of a distributed run tell each other; nothing, where there is one alone."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed


def this_process() -> tuple[int, int]:
    """Rank of this process and number of processes: (0, 1) outside of a distributed run."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def sum_over_processes(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Add up tensors of one data type and device over all processes, in one message."""
    if this_process()[1] == 1:
        return list(tensors)
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def mean_over_processes(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Average tensors of one data type and device over all processes, in one message."""
    _, processes = this_process()
    if processes == 1:
        return list(tensors)
    return [tensor / processes for tensor in sum_over_processes(tensors)]


def copy_first_process(tensors: Sequence[Tensor]) -> None:
    """Give tensors the values that they have in the process of rank 0, in place."""
    if this_process()[1] > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, 0)


def average_gradients(parameters: Sequence[Tensor], loss: float) -> float:
    """Average gradients, in place, and a loss over the processes, in one message.

    Args:
        parameters: Those without a gradient are passed over.
        loss: Of this process.

    Returns:
        The mean loss.
    """
    if this_process()[1] == 1:
        return loss
    trained = [p for p in parameters if p.grad is not None]
    gradients = [p.grad for p in trained if p.grad is not None]
    *averaged, mean = mean_over_processes([*gradients, gradients[0].new_tensor(loss)])
    for parameter, gradient in zip(trained, averaged, strict=True):
        parameter.grad = gradient
    return float(mean)
