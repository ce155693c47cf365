"""Loggers of a run, all Lightning's own: TensorBoard, MLflow, Weights & Biases.

They are told what `history.csv` holds, epoch by epoch, and the results on the test chips.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.loggers.logger import Logger

from rsmeta.errors import RecipeError
from rsmeta.longtail.metrics import Metrics
from rsmeta.recipe import LoggerName, Recipe
from rsmeta.train.module import FinetuningModule
from rsmeta.train.records import EpochRecord


@dataclass(frozen=True)
class LoggerKind:
    """How a logger is made and ended.

    Attributes:
        package: What it needs to be installed.
        build: Makes it, for a recipe, the folder that the run is written into and the run's name.
        close: Ends it, after Lightning's `finalize`.
    """

    package: str
    build: Callable[[Recipe, Path, str], Logger]
    close: Callable[[Any], None] = lambda logger: None


def _tensorboard(recipe: Recipe, folder: Path, run: str) -> Logger:
    from lightning.fabric.loggers.tensorboard import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="", default_hp_metric=False)


def _mlflow(recipe: Recipe, folder: Path, run: str) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger(
        experiment_name=recipe.name,
        run_name=run,
        save_dir=str(recipe.runs.absolute() / "mlruns"),
    )


def _wandb(recipe: Recipe, folder: Path, run: str) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(project=recipe.name, name=run, id=run, save_dir=recipe.runs)


LOGGERS: dict[LoggerName, LoggerKind] = {
    "tensorboard": LoggerKind("tensorboard", _tensorboard),
    "mlflow": LoggerKind("mlflow", _mlflow),
    # Otherwise the next run of this process would be taken for the same one.
    "wandb": LoggerKind("wandb", _wandb, close=lambda logger: logger.experiment.finish()),
}


def require_loggers(recipe: Recipe) -> None:
    """Check that the recipe's loggers are installed.

    Raises:
        RecipeError: One is not.
    """
    missing = [name for name in recipe.loggers if find_spec(LOGGERS[name].package) is None]
    if missing:
        raise RecipeError(
            [
                f"loggers: '{name}' is not installed: pip install 'rsmeta[{name}]', or take it out"
                for name in missing
            ]
        )


class HistoryLogging(L.Callback):
    """Tells loggers each epoch as soon as it is over.

    A run that goes on after an interruption tells its earlier epochs again: what they were told
    before the interruption may have been lost.

    Args:
        loggers: The loggers.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers = tuple(loggers)
        self._epochs = 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell what the module has written down after the epoch before."""
        assert isinstance(pl_module, FinetuningModule)
        self.tell(pl_module.history)

    def tell(self, history: Sequence[EpochRecord]) -> None:
        """Tell the epochs that have not been told yet."""
        for record in history[self._epochs :]:
            # NaN is an empty cell of history.csv.
            values = {k: v for k, v in record.row().items() if not math.isnan(v)}
            del values["epoch"]
            self._tell(values, record.epoch)
            self._epochs = record.epoch

    def tell_test(self, metrics: Metrics) -> None:
        """Tell the results on the test chips: `test/head`, `test/tail`, `test/average`, ..."""
        found = {name: value for name, value in metrics.summary().items() if value is not None}
        self._tell({f"test/{name}": value for name, value in found.items()}, self._epochs)

    def _tell(self, values: Mapping[str, float], epoch: int) -> None:
        for logger in self._loggers:
            logger.log_metrics(dict(values), step=epoch)


@contextmanager
def open_loggers(recipe: Recipe, folder: Path, run: str) -> Iterator[HistoryLogging]:
    """The recipe's loggers, with the recipe as their hyperparameters; ended when the block ends.

    Args:
        recipe: The recipe.
        folder: The folder that the run is written into.
        run: Name of the run.

    Raises:
        RecipeError: A logger is not installed.
    """
    require_loggers(recipe)
    loggers = []
    with ExitStack() as stack:
        for name in recipe.loggers:
            logger = stack.enter_context(_opened(LOGGERS[name], recipe, folder, run))
            logger.log_hyperparams(recipe.model_dump(mode="json"))
            loggers.append(logger)
        yield HistoryLogging(loggers)


@contextmanager
def _opened(kind: LoggerKind, recipe: Recipe, folder: Path, run: str) -> Iterator[Logger]:
    """A logger; it is ended whatever becomes of the others."""
    logger = kind.build(recipe, folder, run)
    status = "failed"
    try:
        yield logger
        status = "success"
    finally:
        try:
            logger.finalize(status)
        finally:
            kind.close(logger)
