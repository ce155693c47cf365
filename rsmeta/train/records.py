"""What training writes down: sums over the steps of an epoch, and a row of history for each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsmeta.longtail.metrics import Group
from rsmeta.meta.outer_loop import OuterRecord
from rsmeta.peft.modulators import ModulatorBank
from rsmeta.train.checkpoint import StateDict


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
        class_prior: Strength of the learned class prior; NaN where it is not learned.
        trial_loss: Class-balanced loss of the held-out chips after the trial of a scale that ended
            with this epoch; NaN where none did.
        gammas: Of each site that had a modulator at the start, 0 where pruning has dropped it; not
            in `history.csv` but in `gamma_history.csv`.
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
    class_prior: float = math.nan
    trial_loss: float = math.nan
    gammas: tuple[float, ...] = ()

    def row(self) -> dict[str, float]:
        """The row of `history.csv`."""
        return {name: value for name, value in asdict(self).items() if name != "gammas"}


class Place(NamedTuple):
    """An inner step: its epoch and its batch in the epoch, from 0, and its number, from 1."""

    epoch: int
    batch: int
    step: int


class EpochSums:
    """Running sums over the steps of one epoch."""

    def __init__(self, classes: int) -> None:
        self.losses: list[float] = []
        self.outer: list[OuterRecord] = []
        self.passes = 0
        self.trial_loss = math.nan
        self.hits = np.zeros(classes)
        self.seen = np.zeros(classes)

    def state_dict(self) -> StateDict:
        """The sums for a checkpoint."""
        return {
            "losses": self.losses,
            "outer": [asdict(record) for record in self.outer],
            "passes": self.passes,
            "hits": self.hits.tolist(),
            "seen": self.seen.tolist(),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take what `state_dict` gave."""
        self.losses = state["losses"]
        self.outer = [OuterRecord(**values) for values in state["outer"]]
        self.passes = state["passes"]
        self.hits, self.seen = np.array(state["hits"]), np.array(state["seen"])

    def record(
        self,
        epoch: int,
        learning_rate: float,
        members: Mapping[Group, NDArray[np.bool_]],
        bank: ModulatorBank | None,
        class_prior: float,
    ) -> EpochRecord:
        """The row of history of the epoch.

        Args:
            epoch: From 1.
            learning_rate: See `EpochRecord`.
            members: (classes,) each, which classes belong to a group.
            bank: The modulators at the epoch's end; None where there are none.
            class_prior: See `EpochRecord`.
        """
        gamma = (
            np.array([np.nan]) if bank is None else bank.gamma()[bank.kept].detach().cpu().numpy()
        )
        return EpochRecord(
            epoch=epoch,
            learning_rate=learning_rate,
            loss=mean(self.losses),
            outer_loss=mean([record.loss for record in self.outer]),
            hypergradient_cosine=mean(
                [record.cosine for record in self.outer if record.cosine is not None]
            ),
            skipped_outer_steps=sum(record.skipped for record in self.outer),
            passes=self.passes,
            head_accuracy=self.group_accuracy(members[Group.HEAD]),
            tail_accuracy=self.group_accuracy(members[Group.TAIL]),
            gamma_mean=float(gamma.mean()),
            gamma_min=float(gamma.min()),
            gamma_max=float(gamma.max()),
            sites=0 if bank is None else len(bank.left),
            class_prior=class_prior,
            gammas=() if bank is None else tuple(bank.values().values()),
            trial_loss=self.trial_loss,
        )

    def group_accuracy(self, members: NDArray[np.bool_]) -> float:
        """Mean accuracy over the classes of a group that occurred."""
        chosen = members & (self.seen > 0)
        return float(np.mean(self.hits[chosen] / self.seen[chosen])) if chosen.any() else np.nan


def mean(values: Sequence[float]) -> float:
    """The mean; NaN of none."""
    return float(np.mean(values)) if values else np.nan
