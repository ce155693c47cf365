"""Memory that is needed, compared with the memory that is free, before it is taken."""

import sys
from pathlib import Path

import psutil

_SMALL = 2**28
_CONTROL_GROUP = Path("/sys/fs/cgroup")
_UNITS = ("MB", "GB", "TB", "PB", "EB")


def free_memory() -> int:
    """Bytes that this process can still take.

    Those that the machine has available, within the limits on the addresses of the process
    (`ulimit -v`) and on its control group (containers, SLURM).
    """
    limits = [int(psutil.virtual_memory().available), _left_of_addresses()]
    try:
        most = int((_CONTROL_GROUP / "memory.max").read_text())
        limits.append(most - int((_CONTROL_GROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no control group, or one without a limit
    return max(0, min(limits))


def _left_of_addresses() -> int:
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return limit - int(psutil.Process().memory_info().vms)


def require_memory(needed: int, what: str, remedy: str) -> None:
    """Refuse what does not fit into memory, before any of it is allocated.

    Args:
        needed: Estimate in bytes; up to 256 MB are taken to be there.
        what: What takes it, the subject of the message.
        remedy: What to do.

    Raises:
        MemoryError: There is less; the message says how much is needed and how much is free.
    """
    if needed <= _SMALL:
        return
    free = free_memory()
    if needed > free:
        raise MemoryError(f"{what} takes about {_text(needed)}, {_text(free)} are free; {remedy}")


def _text(count: int) -> str:
    """Bytes as a person writes them."""
    value, place = count / 1e6, 0
    while value >= 1000 and place < len(_UNITS) - 1:
        value, place = value / 1000, place + 1
    return f"{value:.3g} {_UNITS[place]}"
