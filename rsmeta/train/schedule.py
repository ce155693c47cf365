"""How the learning rate of a training goes."""

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warm_cosine(optimiser: Optimizer, parts: Sequence[int], warm_up: float) -> LambdaLR:
    """Half a cosine down to 0 that a linear rise leads into, once for each part of a training.

    Args:
        optimiser: Its learning rate is the largest one.
        parts: Steps of each part, at least 1.
        warm_up: Share of a part's steps that the rise takes, in [0, 1); 0 for none.

    Returns:
        The schedule, to be moved on after every step.
    """

    def share(step: int) -> float:
        part = 0
        while part < len(parts) - 1 and step >= parts[part]:
            step -= parts[part]
            part += 1
        steps = parts[part]
        cosine = 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
        rise = warm_up * steps
        return cosine if step + 1 >= rise else min((step + 1) / rise, cosine)

    return LambdaLR(optimiser, share)
