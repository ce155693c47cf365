"""The Lightning module: inner steps on adapters and head, outer steps on the modulators."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Literal

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
from torch.optim.lr_scheduler import LRScheduler

from rsmeta.data.datamodule import Batch, ChipDataModule
from rsmeta.data.processes import (
    average_gradients,
    copy_first_process,
    sum_over_processes,
    this_process,
)
from rsmeta.longtail.balanced import balanced_cross_entropy
from rsmeta.longtail.losses import build_loss, log_prior
from rsmeta.longtail.metrics import Group
from rsmeta.meta.class_prior import ClassPrior, ClassPriorStep, build_class_prior
from rsmeta.meta.inner_optimiser import build_inner_optimiser
from rsmeta.meta.optimiser_state import load_optimiser_state
from rsmeta.meta.outer_loop import OuterStep
from rsmeta.meta.problem import BilevelProblem, Tensors
from rsmeta.meta.recorder import TrajectoryRecorder
from rsmeta.meta.scale_search import ScaleTrials
from rsmeta.models.classifier import ChipClassifier
from rsmeta.models.contribution import contributions
from rsmeta.models.recomputing import whole_graph
from rsmeta.peft.pruning import largest
from rsmeta.recipe import Recipe
from rsmeta.train.checkpoint import StateDict
from rsmeta.train.head_start import start_head
from rsmeta.train.held_out import held_out_logits
from rsmeta.train.nonfinite import NonFiniteError
from rsmeta.train.random_state import random_state, set_random_state
from rsmeta.train.records import EpochRecord, EpochSums, Place
from rsmeta.train.schedule import warm_cosine
from rsmeta.train.stable_start import start_modulators
from rsmeta.train.stages import FreshStart, stages


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
        classifier.backbone.set_grad_checkpointing(recipe.compute.checkpoint_activations)
        self.history: list[EpochRecord] = []
        self._recipe = recipe
        self._from_tokens = recipe.compute.cache_features
        self.datamodule = datamodule
        self._loss = build_loss(recipe.inner.loss, counts, recipe.head.scale)
        self._members = {group: np.array([g is group for g in groups]) for group in Group}
        self._sums = EpochSums(len(counts))
        self._tested: list[tuple[Tensor, Tensor, Tensor]] = []
        self._outer: OuterStep | None = None
        self._trials: ScaleTrials | None = None
        bank = classifier.modulators
        if recipe.learns_modulators and bank is not None:
            self._outer = OuterStep(recipe.outer, recipe.inner, bank)
            if recipe.outer.scale_search is not None:
                self._trials = ScaleTrials(recipe.outer.scale_search, bank)
        self._prior: ClassPrior | None = None
        if classifier.head.shift is not None:
            self._prior = build_class_prior(recipe.outer, classifier.head.shift, log_prior(counts))
        self._recorder: TrajectoryRecorder | None = None
        self._batches = 0  # of this epoch, so far
        self._stages = stages(recipe)
        self._fresh_start: FreshStart | None = None
        self._latest = Place(0, 0, 0)
        self._resumed: StateDict | None = None
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
        """The recipe's optimiser and schedule."""
        inner = self._recipe.inner
        optimiser = build_inner_optimiser(inner, self.classifier.inner_parameters())
        parts = [self.datamodule.inner_steps(stage) for stage in self._stages]
        schedule = warm_cosine(optimiser, parts, inner.warm_up)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule}}

    def on_train_start(self) -> None:
        """Give head and modulators their start, or take the state that training goes on from."""
        if self._resumed is None:
            batches = map(self._moved, self.datamodule.plain_train_dataloader())
            start_head(self.classifier, self._recipe, batches, self._loss)
            some = map(self._moved, self.datamodule.first_batches())
            self._sums.passes += start_modulators(self.classifier, self._recipe, some, self._loss)
        copy_first_process(list(self.classifier.trained_state().values()))
        parameters, optimiser = self.classifier.inner_parameters(), self._inner_optimiser.optimizer
        if len(self._stages.starts) > 1:
            self._fresh_start = FreshStart(parameters, optimiser)
        if self._resumed is not None:
            self._load_training_state(self._resumed)
        if self._outer is not None:
            self._recorder = TrajectoryRecorder(self._recipe.inner, optimiser, parameters)

    def on_train_epoch_start(self) -> None:
        """Begin anew where a stage of the training does."""
        if self._batches or self.current_epoch not in self._stages.starts:
            return
        if self._fresh_start is not None and self.current_epoch > 0:
            self._fresh_start.restore()
        if self._trials is not None and self.current_epoch <= self._stages.learning.start:
            self._trials.begin()

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One inner step and, when it is due, one outer step."""
        optimiser = self._inner_optimiser
        self._latest = Place(self.current_epoch, self._batches, self.global_step + 1)
        optimiser.zero_grad()
        if self._trials is None or not self._trials.given_up:
            loss, logits = self._backward(batch)
            if math.isfinite(loss) or not self._gave_up_trial():
                self._count(loss, logits, batch["label"])
                optimiser.step()
        self._batches += 1
        learning_rate = float(self._schedule.get_last_lr()[0])
        self._schedule.step()
        if self._outer is None or not self._learning:
            return
        assert self._recorder is not None
        self._recorder.add(batch, learning_rate)
        if self.global_step % self._recipe.outer.every == 0:
            self._outer_step(self._outer)

    def _backward(self, batch: Batch) -> tuple[float, Tensor]:
        """Add up the gradients of a batch's parts; its loss, and its logits (batch, classes)."""
        inputs, count = self.classifier.inner_parameters(), len(batch["label"])
        parts = self._recipe.inner.accumulate
        value, found = 0.0, []
        bank = self.classifier.modulators
        constant = nullcontext() if bank is None else bank.constant()
        with constant, self.classifier.head.unshifted():
            for image, label in zip(
                batch["image"].chunk(parts), batch["label"].chunk(parts), strict=True
            ):
                logits = self.classifier(image, self._from_tokens)
                # The loss is a mean over chips: a batch's is the weighted sum of its parts'.
                loss = self._loss(logits, label) * (len(label) / count)
                self.manual_backward(loss, inputs=inputs)
                value += float(loss.detach())
                found.append(logits.detach())
        return average_gradients(inputs, value), torch.cat(found)

    @property
    def _learning(self) -> bool:
        """Whether this epoch learns modulators."""
        return self.current_epoch in self._stages.learning

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
            try:
                record = step(self._problem, self._recorder.finish(), moved)
            except FloatingPointError as error:
                raise self._not_finite(str(error), "outer") from error
        self._sums.outer.append(record)
        if isinstance(self._prior, ClassPriorStep):
            self._prior.step(skipped=record.skipped)

    def _held_out_logits(self) -> tuple[Tensor, Tensor]:
        """Without the shift of the head, (chips, classes), and the labels, (chips,)."""
        splitter = self.datamodule.splitter
        assert splitter is not None
        chips = splitter.split(self.current_epoch).outer
        self._sums.passes += len(chips)
        with self.classifier.head.unshifted():
            batches = self.datamodule.plain_batches(chips)
            return held_out_logits(self.classifier, batches, self._from_tokens)

    def _fit_what_is_fitted(self) -> None:
        """The class prior when learning ends, and the scale of the modulators when a trial does."""
        learned = self.current_epoch + 1 == self._stages.learning.stop
        fitted = self._recipe.outer.class_prior == "fitted"
        if learned and fitted:
            assert self._prior is not None
            self._prior.fit(*self._held_out_logits())
        if self._trials is not None and self.current_epoch in self._stages.trial_ends:
            self._end_trial(self._trials)

    def _end_trial(self, trials: ScaleTrials) -> None:
        logits, labels = self._held_out_logits()
        if not logits.isfinite().all():
            self._gave_up_trial()
            logits = logits.nan_to_num()
        if self._prior is not None and self._recipe.outer.class_prior == "fitted":
            logits = self._prior.fitted(logits, labels)
        self._sums.trial_loss = trials.end(float(balanced_cross_entropy(logits, labels)))

    def _gave_up_trial(self) -> bool:
        """Whether a trial of a scale was under way, which diverged and now is given up."""
        if self._trials is None or self._trials.done or self._fresh_start is None:
            return False
        self._trials.give_up()
        self._fresh_start.restore()
        return True

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
        self._sums.passes += len(batch["label"]) * this_process()[1]
        values = dict(zip(self.classifier.inner_names(), parameters, strict=True))
        replaced = values | {"modulators.rho": rho}
        with whole_graph(self.classifier.backbone):
            logits: Tensor = functional_call(
                self.classifier, replaced, (batch["image"], self._from_tokens)
            )
        return logits

    def _inner_loss(self, parameters: Tensors, rho: Tensor, batch: Batch) -> Tensor:
        with self.classifier.head.unshifted():
            return self._loss(self._logits(parameters, rho, batch), batch["label"])

    def _outer_loss(self, parameters: Tensors, rho: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy where classes weigh alike already; else the loss of the inner loop."""
        logits = self._logits(parameters, rho, batch)
        if isinstance(self._prior, ClassPriorStep):
            self._prior.see(logits, batch["label"])
        if self._recipe.outer.balanced:
            return F.cross_entropy(logits, batch["label"])
        return self._loss(logits, batch["label"])

    def _moved(self, batch: Batch) -> Batch:
        moved: Batch = move_data_to_device(batch, self.device)
        return moved

    # --- records ----------------------------------------------------------------------------------

    def _count(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        if not math.isfinite(loss):
            raise self._not_finite(f"the training loss is {loss}", "inner")
        right = labels[logits.argmax(dim=-1) == labels]
        classes = len(self._sums.seen)
        counts = [torch.bincount(found, minlength=classes) for found in (labels, right)]
        seen, hits = (found.cpu().numpy() for found in sum_over_processes(counts))
        self._sums.seen += seen
        self._sums.hits += hits
        self._sums.passes += int(seen.sum())
        self._sums.losses.append(loss)

    def _not_finite(self, what: str, loop: Literal["inner", "outer"]) -> NonFiniteError:
        """The error for the latest batch of a loop."""
        latest = self._latest
        if loop == "outer":
            chips = self.datamodule.outer_draw(latest.epoch, latest.step).reshape(-1)
        else:
            chips = self.datamodule.inner_draw(latest.epoch, latest.batch)
        return NonFiniteError(what, latest.epoch + 1, latest.step, loop, chips.tolist())

    def progress(self) -> dict[str, float]:
        """What to show while training: latest loss, head and tail accuracy of this epoch."""
        losses = self._sums.losses
        return {
            "loss": losses[-1] if losses else float("nan"),
            "head": self._sums.group_accuracy(self._members[Group.HEAD]),
            "tail": self._sums.group_accuracy(self._members[Group.TAIL]),
        }

    def on_train_epoch_end(self) -> None:
        """Fit what is fitted when learning ends, and write down the epoch."""
        self._fit_what_is_fitted()
        rate = float(self._schedule.get_last_lr()[0])
        prior = math.nan if self._prior is None else self._prior.strength
        bank, sums = self.classifier.modulators, self._sums
        record = sums.record(self.current_epoch + 1, rate, self._members, bank, prior)
        self.history.append(record)
        self._sums, self._batches = EpochSums(len(sums.seen)), 0

    # --- checkpoints ------------------------------------------------------------------------------

    @property
    def between_outer_steps(self) -> bool:
        """Whether the next outer step will look back on inner steps that were taken already."""
        return self._learning and self._recorder is not None and self._recorder.steps > 0

    def require_finite(self) -> None:
        """Check the weights.

        Raises:
            NonFiniteError: A trained tensor is infinite or not a number, and not because of a scale
                that is only tried.
        """
        for name, tensor in self.classifier.trained_state().items():
            if not tensor.isfinite().all() and not self._gave_up_trial():
                raise self._not_finite(f"{name} is not finite", "inner")

    def training_state(self) -> StateDict:
        """All that decides how training goes on; not to be taken between outer steps."""
        bank = self.classifier.modulators
        return {
            "epoch": self.current_epoch,
            "batches": self._batches,
            "steps": self.global_step,
            "history": [asdict(record) for record in self.history],
            "sums": self._sums.state_dict(),
            "model": self.classifier.trained_state(),
            "kept": None if bank is None else bank.kept,
            "inner": self._inner_optimiser.optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "outer": None if self._outer is None else self._outer.state_dict(),
            "prior": None if self._prior is None else self._prior.state_dict(),
            "start": None if self._fresh_start is None else self._fresh_start.state_dict(),
            "trials": None if self._trials is None else self._trials.state_dict(),
            "random": random_state(),
        }

    def resume(self, state: StateDict) -> None:
        """Go on from a state when training starts; the model and the history take it now."""
        self._resumed = state
        self.classifier.load_state_dict(state["model"], strict=False)
        bank = self.classifier.modulators
        if bank is not None:
            stays = state["kept"].tolist()
            bank.keep_only([site for site, kept in zip(bank.sites, stays, strict=True) if kept])
        self.history = [EpochRecord(**values) for values in state["history"]]
        self._sums.load_state_dict(state["sums"])
        self._batches = state["batches"]

    def _load_training_state(self, state: StateDict) -> None:
        """Take what needs the optimisers, and the random numbers, last."""
        load_optimiser_state(self._inner_optimiser.optimizer, state["inner"])
        self._schedule.load_state_dict(state["schedule"])
        if self._fresh_start is not None:
            self._fresh_start.load_state_dict(state["start"])
        if self._trials is not None:
            self._trials.load_state_dict(state["trials"])
        if self._outer is not None:
            self._outer.load_state_dict(state["outer"])
        if self._prior is not None:
            self._prior.load_state_dict(state["prior"])
        set_random_state(state["random"])

    # --- test -------------------------------------------------------------------------------------

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Keep what the model says of the chips."""
        features = self.classifier.features(batch["image"])
        logits = self.classifier.head(features).float()
        self._tested.append((features.float().cpu(), logits.cpu(), batch["label"].cpu()))

    @property
    def tested(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features (chips, width), logits (chips, classes) and labels (chips,) of the test."""
        features, logits, labels = (torch.cat(part) for part in zip(*self._tested, strict=True))
        return features, logits, labels
