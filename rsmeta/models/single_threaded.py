"""Inference with a thread for each call instead of several threads for each matrix product."""

import threading
from typing import Self

import torch


class SingleThreaded:
    """A context in which PyTorch computes on the thread that calls it, alone.

    Threads that share every matrix product wait for each other hundreds of times a batch, the
    longer the more else the machine does; batches side by side do not wait. Several threads may be
    within it at a time: the number of threads of PyTorch, which belongs to the process, is set back
    when the last one leaves.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._before = 1

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    @property
    def threads(self) -> int:
        """Threads that PyTorch has outside."""
        with self._lock:
            return self._before if self._within else torch.get_num_threads()

    def __enter__(self) -> Self:
        with self._lock:
            if self._within == 0:
                self._before = torch.get_num_threads()
            self._within += 1
            torch.set_num_threads(1)
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                torch.set_num_threads(self._before)
