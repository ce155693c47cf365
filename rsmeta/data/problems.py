"""A chip that cannot be used, and why."""

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test"]


@dataclass(frozen=True)
class ChipProblem:
    """Why one chip cannot be used.

    Attributes:
        chip: The chip's path, or what else it is called by.
        split: Whether it is to train or to test with.
        label: Name of its class.
        reason: One line that names the chip.
    """

    chip: str
    split: Split
    label: str
    reason: str
