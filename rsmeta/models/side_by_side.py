"""Inference on several cores: pieces of a batch side by side, each on a core of its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

PIECE = 16
"""Images of a piece: its activations stay in the cache of a core."""


def infer(forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Map images by a model, without gradients.

    On a CPU a batch goes through in pieces, as many at once as PyTorch has threads. Threads that
    share every matrix product wait for each other hundreds of times a batch, the longer the more
    else the machine does; these wait once. The numbers do not depend on how many threads there are.

    Args:
        forward: The model; called in several threads at once.
        images: (images, ...).
    """
    without_gradients = torch.inference_mode()(forward)
    if images.device.type != "cpu" or len(images) <= PIECE:
        return without_gradients(images)
    pieces = images.split(PIECE)
    with _one_thread_each() as threads, ThreadPoolExecutor(min(threads, len(pieces))) as pool:
        return torch.cat(list(pool.map(without_gradients, pieces)))


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """PyTorch computes on one thread, of each thread that calls it; yields how many it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
