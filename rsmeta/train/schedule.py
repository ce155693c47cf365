"""How the learning rate of a training goes."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warm_cosine(optimiser: Optimizer, steps: int, warm_up: float) -> LambdaLR:
    """Half a cosine over all steps, down to 0, that a linear rise leads into.

    Args:
        optimiser: Its learning rate is the largest one.
        steps: Of the whole training, at least 1.
        warm_up: Share of the steps that the rise takes, in [0, 1); 0 for none.

    Returns:
        The schedule, to be moved on after every step.
    """
    rise = warm_up * steps

    def share(step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
        return cosine if step + 1 >= rise else min((step + 1) / rise, cosine)

    return LambdaLR(optimiser, share)
