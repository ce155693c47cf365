"""One trial of a search: train on a part of the training chips, judge on the rest of them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import lightning as L
import torch

from rsmeta.data.datamodule import Batch
from rsmeta.data.hold_out import hold_out
from rsmeta.data.inspection import load_inspected
from rsmeta.finetuning import train
from rsmeta.models.classifier import build_classifier
from rsmeta.recipe import Recipe
from rsmeta.study.columns import PASSES
from rsmeta.train.module import FinetuningModule
from rsmeta.train.nonfinite import NonFiniteError
from rsmeta.train.trainer import seed_everything

if TYPE_CHECKING:
    from optuna import Trial

_FORWARD_ALONE = 1 / 3  # of a pass forward and backward


class JudgeEpochs(L.Callback):
    """Tells a trial the accuracy after every epoch, and ends it where that is below the median.

    Args:
        trial: The trial.
    """

    def __init__(self, trial: "Trial") -> None:
        self._trial = trial
        self._passes = 0.0
        self.accuracy = float("nan")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Judge the epoch."""
        from optuna import TrialPruned

        assert isinstance(pl_module, FinetuningModule)
        held_out = pl_module.datamodule.test_dataloader()
        self.accuracy, judged = _accuracy(pl_module, held_out)
        self._passes += pl_module.passes + judged * _FORWARD_ALONE
        # At every epoch: a pruned trial has cost what it has run.
        self._trial.set_user_attr(PASSES, self._passes)
        self._trial.report(self.accuracy, trainer.current_epoch)
        if self._trial.should_prune():
            raise TrialPruned

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Count what an epoch has cost in which training diverges."""
        if isinstance(exception, NonFiniteError):
            assert isinstance(pl_module, FinetuningModule)
            self._trial.set_user_attr(PASSES, self._passes + pl_module.passes)


@torch.no_grad()
def _accuracy(module: FinetuningModule, batches: Iterable[Batch]) -> tuple[float, int]:
    """The share of chips that are classified rightly, mean over classes; and how many there are."""
    module.classifier.eval()
    found = [
        (module.classifier(batch["image"].to(module.device)).argmax(dim=-1).cpu(), batch["label"])
        for batch in batches
    ]
    module.classifier.train()
    predicted, labels = (torch.cat(column) for column in zip(*found, strict=True))
    hits = (predicted == labels).double()
    shares = [hits[labels == label].mean() for label in labels.unique()]
    return float(torch.stack(shares).mean()), len(labels)


def validation_accuracy(trial: "Trial", recipe: Recipe, fraction: float) -> float:
    """Train a trial's recipe on a part of its training chips.

    Args:
        trial: The trial, which is told every epoch.
        recipe: Its recipe.
        fraction: Share of the training chips that is held out and judges.

    Returns:
        Accuracy on the held-out chips, mean over classes, in [0, 1].

    Raises:
        RsmetaError: The recipe or its data do not work.
        optuna.TrialPruned: The trial was not promising, or its training diverged.
    """
    from optuna import TrialPruned

    inspected = load_inspected(recipe)
    data = hold_out(inspected.data, fraction, recipe.seed)
    statistics = inspected.statistics
    seed_everything(recipe.seed)
    built = build_classifier(recipe, data.bands, len(data.classes), statistics)
    built.classifier.store_frozen_low()
    judge = JudgeEpochs(trial)
    try:
        train(recipe, data, statistics, built, [judge])
    except NonFiniteError as error:
        raise TrialPruned(str(error)) from error
    return judge.accuracy
