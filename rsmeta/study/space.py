"""The space that a search looks through: what MetaPEFT learns, and the learning rate."""

from typing import TYPE_CHECKING

from rsmeta.recipe import Lora, Position, Recipe
from rsmeta.study.config import Assignments

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

_GAMMA = (0.25, 8.0)
_LEARNING_RATE = (1e-3, 1e-1)


def suggest(trial: "Trial | FrozenTrial", recipe: Recipe, blocks: int) -> Assignments:
    """Values of the recipe for a trial.

    Any subset of positions (for LoRA), any range of blocks, one scale and one learning rate for
    all. No position at all is a linear probe.

    Args:
        trial: The trial; a finished one gives its own values again.
        recipe: A recipe of an additive method.
        blocks: Number of blocks of its backbone.
    """
    rate = trial.suggest_float("learning_rate", *_LEARNING_RATE, log=True)
    gamma = trial.suggest_float("gamma", *_GAMMA, log=True)
    ends = [trial.suggest_int(f"block_{end}", 0, blocks - 1) for end in ("a", "b")]
    values: Assignments = {
        "inner.learning_rate": rate,
        "peft.gamma": gamma,
        "peft.blocks": list(range(min(ends), max(ends) + 1)),
    }
    if not isinstance(recipe.peft, Lora):
        return values
    positions = [p for p in Position if trial.suggest_categorical(f"at_{p}", [True, False])]
    if not positions:
        return {"inner.learning_rate": rate, "peft.method": "linear_probe"}
    return values | {"peft.positions": [str(position) for position in positions]}
