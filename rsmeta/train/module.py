"""The Lightning module: inner steps on adapters and head, outer steps on the modulators."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from rsmeta.data.datamodule import Batch, ChipDataModule
from rsmeta.longtail.losses import build_loss
from rsmeta.longtail.metrics import Group
from rsmeta.longtail.predictions import ChipPredictions
from rsmeta.meta.inner_optimiser import build_inner_optimiser
from rsmeta.meta.outer_loop import OuterRecord, OuterStep
from rsmeta.meta.problem import BilevelProblem, Tensors
from rsmeta.meta.recorder import TrajectoryRecorder
from rsmeta.models.classifier import ChipClassifier
from rsmeta.models.contribution import contributions
from rsmeta.peft.pruning import largest
from rsmeta.recipe import Recipe


@dataclass(frozen=True)
class EpochRecord:
    """What happened in one epoch; a row of `history.csv`.

    Attributes:
        epoch: From 1.
        learning_rate: Of the inner loop, at the epoch's end.
        loss: Mean training loss.
        outer_loss: Mean validation loss of the outer steps; NaN where there were none.
        hypergradient_cosine: Mean cosine between successive hypergradients; NaN likewise.
        skipped_outer_steps: Outer steps that the guard skipped.
        passes: Chips passed forward and backward through the model, by both loops.
        head_accuracy, tail_accuracy: Of the training batches; NaN where a group is empty.
        gamma_mean, gamma_min, gamma_max: Over the modulators left; NaN where there are none.
        sites: Number of sites with a modulator that pruning has left at the epoch's end.
    """

    epoch: int
    learning_rate: float
    loss: float
    outer_loss: float
    hypergradient_cosine: float
    skipped_outer_steps: int
    passes: int
    head_accuracy: float
    tail_accuracy: float
    gamma_mean: float
    gamma_min: float
    gamma_max: float
    sites: int


class _EpochSums:
    """Running sums over the steps of one epoch."""

    def __init__(self, classes: int) -> None:
        self.losses: list[float] = []
        self.outer: list[OuterRecord] = []
        self.passes = 0
        self.hits = np.zeros(classes)
        self.seen = np.zeros(classes)

    def group_accuracy(self, members: NDArray[np.bool_]) -> float:
        """Mean accuracy over the classes of a group that occurred."""
        chosen = members & (self.seen > 0)
        return float(np.mean(self.hits[chosen] / self.seen[chosen])) if chosen.any() else np.nan


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan


class FinetuningModule(L.LightningModule):
    """Trains a classifier by a recipe.

    Args:
        recipe: The recipe.
        classifier: The model, changed in place.
        counts: Training chips of each class.
        groups: Group of each class.
        datamodule: Where the outer loop's batches come from.
    """

    def __init__(
        self,
        recipe: Recipe,
        classifier: ChipClassifier,
        counts: NDArray[np.int64],
        groups: Sequence[Group],
        datamodule: ChipDataModule,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.classifier = classifier
        self.history: list[EpochRecord] = []
        self._recipe = recipe
        self._from_tokens = recipe.compute.cache_features
        self.datamodule = datamodule
        self._loss = build_loss(recipe.inner.loss, counts, recipe.head.scale)
        self._members = {group: np.array([g is group for g in groups]) for group in Group}
        self._sums = _EpochSums(len(counts))
        self._tested: list[tuple[Tensor, Tensor]] = []
        self._outer: OuterStep | None = None
        if recipe.learns_modulators and classifier.modulators is not None:
            self._outer = OuterStep(recipe.outer, recipe.inner, classifier.modulators)
        self._recorder: TrajectoryRecorder | None = None
        self._problem = BilevelProblem(self._inner_loss, self._outer_loss)

    @property
    def inner_steps(self) -> int:
        """Steps of the inner loop in the whole training."""
        return self.datamodule.inner_steps()

    @property
    def passes(self) -> int:
        """Chips passed forward and backward in this epoch, by both loops."""
        return self._sums.passes

    # --- inner and outer loop ---------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The recipe's optimiser and a cosine schedule over all inner steps."""
        optimiser = build_inner_optimiser(self._recipe.inner, self.classifier.inner_parameters())
        schedule = CosineAnnealingLR(optimiser, T_max=self.inner_steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule}}

    def on_train_start(self) -> None:
        """Give the head its start."""
        self._start_head()
        if self._outer is not None:
            self._recorder = TrajectoryRecorder(
                self._recipe.inner,
                self._inner_optimiser.optimizer,
                self.classifier.inner_parameters(),
            )

    def _start_head(self) -> None:
        """Fit the head to the features of the model as it is, by the recipe's way."""
        start, head = self._recipe.head.initialisation, self.classifier.head
        if start == "random":
            return
        self.classifier.eval()
        batches = list(self._features())
        self.classifier.train()
        head.start_at_class_means(batches)
        if start == "linear_probe":
            features, labels = (torch.cat(column) for column in zip(*batches, strict=True))
            head.fit(features, labels, self._loss)

    @torch.no_grad()
    def _features(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Features and labels of all training chips, without augmentation."""
        for batch in self.datamodule.plain_train_dataloader():
            moved = self._moved(batch)
            if self._from_tokens:
                features = self.classifier.features_from_tokens(moved["image"])
            else:
                features = self.classifier.features(moved["image"])
            yield features, moved["label"]

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the epoch before."""
        self._sums = _EpochSums(len(self._sums.seen))

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One inner step and, when it is due, one outer step."""
        optimiser = self._inner_optimiser
        logits = self.classifier(batch["image"], self._from_tokens)
        self._sums.passes += len(logits)
        loss = self._loss(logits, batch["label"])
        optimiser.zero_grad()
        self.manual_backward(loss, inputs=self.classifier.inner_parameters())
        optimiser.step()
        learning_rate = float(self._schedule.get_last_lr()[0])
        self._schedule.step()
        self._count(loss, logits, batch["label"])
        splitter = self.datamodule.splitter
        if self._outer is None or splitter is None or not splitter.learns(self.current_epoch):
            return
        assert self._recorder is not None
        self._recorder.add(batch, learning_rate)
        if self.global_step % self._recipe.outer.every == 0:
            self._outer_step(self._outer)

    @property
    def _inner_optimiser(self) -> LightningOptimizer:
        optimiser = self.optimizers()
        assert isinstance(optimiser, LightningOptimizer)
        return optimiser

    @property
    def _schedule(self) -> LRScheduler:
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LRScheduler)
        return schedule

    def _outer_step(self, step: OuterStep) -> None:
        assert self._recorder is not None
        batches = self.datamodule.outer_batches(self.current_epoch, self.global_step)
        moved = [self.datamodule.augmented(self._moved(batch)) for batch in batches]
        devices = [self.device] if self.device.type == "cuda" else []
        # Dropout and drop-path of the outer loop must not move the inner loop's random numbers.
        with torch.random.fork_rng(devices):
            self._sums.outer.append(step(self._problem, self._recorder.finish(), moved))

    def prune(self, count: int) -> None:
        """Drop all sites but `count`: those that contribute least."""
        bank = self.classifier.modulators
        assert bank is not None
        found = contributions(
            self.classifier, self.datamodule.balanced_batches(), self._from_tokens
        )
        bank.keep_only(largest(found, count))
        if self._recorder is not None:
            # Steps from before cannot be taken again: they saw the dropped sites.
            self._recorder.finish()

    def _logits(self, parameters: Tensors, rho: Tensor, batch: Batch) -> Tensor:
        """Logits at given inner parameters and rho, instead of the module's own."""
        self._sums.passes += len(batch["label"])
        values = dict(zip(self.classifier.inner_names(), parameters, strict=True))
        replaced = values | {"modulators.rho": rho}
        logits: Tensor = functional_call(
            self.classifier, replaced, (batch["image"], self._from_tokens)
        )
        return logits

    def _inner_loss(self, parameters: Tensors, rho: Tensor, batch: Batch) -> Tensor:
        return self._loss(self._logits(parameters, rho, batch), batch["label"])

    def _outer_loss(self, parameters: Tensors, rho: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy where classes weigh alike already; else the loss of the inner loop."""
        logits = self._logits(parameters, rho, batch)
        if self._recipe.outer.balanced:
            return F.cross_entropy(logits, batch["label"])
        return self._loss(logits, batch["label"])

    def _moved(self, batch: Batch) -> Batch:
        moved: Batch = move_data_to_device(batch, self.device)
        return moved

    # --- records ----------------------------------------------------------------------------------

    def _count(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        truth = labels.cpu().numpy()
        hits = (logits.detach().argmax(dim=-1) == labels).cpu().numpy()
        np.add.at(self._sums.seen, truth, 1)
        np.add.at(self._sums.hits, truth, hits)
        self._sums.losses.append(float(loss.detach()))

    def progress(self) -> dict[str, float]:
        """What to show while training: latest loss, head and tail accuracy of this epoch."""
        losses = self._sums.losses
        return {
            "loss": losses[-1] if losses else float("nan"),
            "head": self._sums.group_accuracy(self._members[Group.HEAD]),
            "tail": self._sums.group_accuracy(self._members[Group.TAIL]),
        }

    def on_train_epoch_end(self) -> None:
        """Write down the epoch."""
        bank, sums = self.classifier.modulators, self._sums
        gamma = (
            np.array([np.nan]) if bank is None else bank.gamma()[bank.kept].detach().cpu().numpy()
        )
        cosines = [record.cosine for record in sums.outer if record.cosine is not None]
        self.history.append(
            EpochRecord(
                epoch=self.current_epoch + 1,
                learning_rate=float(self._schedule.get_last_lr()[0]),
                loss=float(np.mean(sums.losses)),
                outer_loss=_mean([record.loss for record in sums.outer]),
                hypergradient_cosine=_mean(cosines),
                skipped_outer_steps=sum(record.skipped for record in sums.outer),
                passes=sums.passes,
                head_accuracy=sums.group_accuracy(self._members[Group.HEAD]),
                tail_accuracy=sums.group_accuracy(self._members[Group.TAIL]),
                gamma_mean=float(gamma.mean()),
                gamma_min=float(gamma.min()),
                gamma_max=float(gamma.max()),
                sites=0 if bank is None else len(bank.left),
            )
        )

    # --- test -------------------------------------------------------------------------------------

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Keep what the model says of the chips."""
        self._tested.append((self.classifier(batch["image"]).cpu(), batch["label"].cpu()))

    @property
    def predictions(self) -> ChipPredictions:
        """Of the test chips, in order."""
        logits, labels = (torch.cat(column) for column in zip(*self._tested, strict=True))
        return ChipPredictions.from_logits(logits, labels)
