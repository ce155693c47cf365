"""Models that do not fit into memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rsmeta.errors import BackboneError


@contextmanager
def allocating(what: str) -> Iterator[None]:
    """Turn torch's failure to allocate memory into one line.

    Args:
        what: What takes the memory, the subject of the message.

    Raises:
        BackboneError: There is not enough memory.
    """
    try:
        yield
    except RuntimeError as error:
        # On a CPU torch has no class for it.
        if not (isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)):
            raise
        raise BackboneError(
            f"{what} does not fit into memory; make it smaller, or take a smaller backbone"
        ) from error
