"""Optimiser states that went through JSON."""

from collections.abc import Mapping
from typing import Any

import torch


def load_optimiser_state(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load what an optimiser's `state_dict` gave, whose numbers of parameters may be strings."""
    numbered = {int(number): values for number, values in state["state"].items()}
    optimiser.load_state_dict({**state, "state": numbered})
