"""What training by a recipe takes: steps and time, from a few steps that are really made."""

import time
from dataclasses import dataclass
from typing import Any

import lightning as L

from rsmeta.data.datamodule import ChipDataModule
from rsmeta.errors import TrainingError
from rsmeta.finetuning import train
from rsmeta.peft.plan_table import plan_frame
from rsmeta.recipe import Recipe
from rsmeta.table_records import records
from rsmeta.train.nonfinite import NonFiniteError
from rsmeta.train.trainer import follows
from rsmeta.validation import ValidatedRecipe

_WARM_UP = 1  # the first step allocates and compiles
_LONGEST = 20.0


@dataclass(frozen=True)
class TrainingTime:
    """What training takes on this machine.

    Attributes:
        steps: Inner steps over all epochs.
        measured: Inner steps that were measured, with the outer steps due in between.
        step_seconds: Mean time of an inner step, outer steps included.
        start_seconds: Time until the first step: mostly the start of the head.
    """

    steps: int
    measured: int
    step_seconds: float
    start_seconds: float

    @property
    def seconds(self) -> float:
        """Estimate of the whole training, without the test."""
        return self.start_seconds + self.steps * self.step_seconds


def measure_training(recipe: Recipe, checked: ValidatedRecipe) -> TrainingTime:
    """Train for a few steps and stop: two rounds of inner and outer steps, or 20 seconds.

    Args:
        recipe: The recipe.
        checked: What it amounts to; its model is trained a little by this.

    Raises:
        DataError: A chip cannot be read.
        TrainingError: A loss or a weight is infinite or not a number.
        SystemExit: Training is done, in a process that another one leads.
    """
    inspected = checked.inspected
    data, statistics = inspected.data, inspected.statistics
    steps = ChipDataModule(recipe, data, statistics).inner_steps()
    rounds = 2 * recipe.outer.every if recipe.learns_modulators else 4
    clock = _StepClock(min(rounds, max(1, steps - _WARM_UP)))
    try:
        train(recipe, data, statistics, checked.built, [clock])
    except NonFiniteError as error:
        raise TrainingError(
            f"training stopped: {error}; lower {error.loop}.learning_rate, or leave the "
            "measurement out: --no-measure"
        ) from error
    if follows(recipe):
        raise SystemExit(0)  # the process that leads tells the result
    return TrainingTime(steps, clock.steps, clock.step_seconds, clock.start_seconds)


def recipe_values(
    recipe: Recipe, checked: ValidatedRecipe, training_time: TrainingTime | None
) -> dict[str, Any]:
    """What a recipe amounts to, as plain values for JSON.

    Args:
        recipe: The recipe.
        checked: What it amounts to.
        training_time: What its training takes, where that was measured.
    """
    data, built = checked.inspected.data, checked.built
    groups = {group.value: dict(classes) for group, classes in checked.groups.items()}
    return {
        "kind": "recipe",
        "recipe": recipe.model_dump(mode="json"),
        "chips": {"train": len(data.train), "test": len(data.test)},
        "groups": groups,
        "bands": [band.name for band in data.bands],
        "plan": records(plan_frame(built.plan)),
        "backbone_parameters": built.backbone_parameters,
        "trainable_parameters": sum(
            tensor.numel() for tensor in built.classifier.parameters() if tensor.requires_grad
        ),
        "memory_bytes": checked.memory,
        "training_seconds": None if training_time is None else training_time.seconds,
        "cautions": checked.cautions,
    }


class _StepClock(L.Callback):
    """Measures steps after the first one, and stops the training.

    Args:
        wanted: Steps to measure, at most.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._created = time.perf_counter()
        self._ends: list[float] = []
        self.start_seconds = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Lightning calls this; the first time, the head has been started."""
        if not self._ends:
            self.start_seconds = time.perf_counter() - self._created
            self._begin = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Lightning calls this after each step."""
        self._ends.append(time.perf_counter())
        long_enough = self._ends[-1] - self._begin > _LONGEST
        # Together: a process that goes on alone would wait for the others for ever.
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(
            self.steps >= self._wanted or long_enough, all=False
        )

    @property
    def steps(self) -> int:
        """Steps measured so far; the first one where there is no other."""
        return max(1, len(self._ends) - _WARM_UP)

    @property
    def step_seconds(self) -> float:
        """Mean time of a step."""
        alone = len(self._ends) <= _WARM_UP
        begin = self._begin if alone else self._ends[_WARM_UP - 1]
        return (self._ends[-1] - begin) / self.steps
