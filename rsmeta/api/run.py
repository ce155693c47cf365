"""A finished run in a notebook: its tables, its recipe and its model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rsmeta.api.card import Fold, card, share
from rsmeta.api.recipe import Recipe
from rsmeta.inspecting.run import InspectedRun, inspect_run
from rsmeta.model_card import ModelCard
from rsmeta.report.run_files import RunFiles
from rsmeta.runs import RECIPE

if TYPE_CHECKING:
    from rsmeta.api.model import Model


@dataclass(frozen=True)
class Run:
    """A finished run; its files are read when they are first asked for.

    Attributes:
        folder: The run folder.
    """

    folder: Path

    @classmethod
    def read(cls, folder: str | PathLike[str]) -> "Run":
        """Open a run folder, such as `runs/latest`.

        Raises:
            RunError: The folder is missing, incomplete or damaged.
        """
        run = cls(Path(folder).resolve())
        run.card.classes  # noqa: B018 (reads the files, so that what is wrong is told here)
        return run

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return Recipe.read(self.folder / RECIPE)

    @property
    def card(self) -> ModelCard:
        """What its model is: classes, bands, tile size, backbone, versions."""
        return self._found.card

    @property
    def files(self) -> RunFiles:
        """All its tables and numbers."""
        return self._found.files

    @property
    def accuracy(self) -> dict[str, float | None]:
        """Accuracy of head, medium, tail, their `average` over classes, and `overall`; 0..1."""
        return self.files.accuracy

    @property
    def classes(self) -> pd.DataFrame:
        """One row a class: `class`, `group`, `train_chips`, `test_chips`, `accuracy`, ..."""
        return self.files.classes

    @property
    def confusion(self) -> pd.DataFrame:
        """Test chips by true class (first column) and predicted class (the others)."""
        return self.files.confusion

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: losses, accuracies, gammas."""
        return self.files.history

    @property
    def modulators(self) -> pd.DataFrame:
        """One row a site: `block`, `position`, `method`, `rank`, `gamma`, `contribution`, ..."""
        return self.files.modulators

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self.folder / "report.html"

    def load(self) -> "Model":
        """Load the model; see `rsmeta.load`."""
        from rsmeta.api.model import Model

        return Model.of(self)

    @cached_property
    def _found(self) -> InspectedRun:
        return inspect_run(self.folder)

    def _repr_html_(self) -> str:
        facts = {name: share(value) for name, value in self.accuracy.items()}
        shown = ["class", "group", "train_chips", "test_chips", "accuracy", "precision"]
        table = self.classes[shown].sort_values("train_chips", ascending=False, kind="stable")
        folds = [
            Fold("classes", table.assign(**{n: table[n].map(share) for n in shown[-2:]}), True),
            Fold("modulators", self._found.modulator_map.reset_index()),
            Fold("recipe", {"method": self.recipe.peft.method, **self.files.facts}),
            Fold("files", {"folder": self.folder, "report": self.report}),
        ]
        return card("Run", self.folder.name, facts, [f for f in folds if len(f.content)])


RunLike = Run | str | PathLike[str]


def run_of(run: RunLike) -> Run:
    """A run, or the one in a folder.

    Raises:
        RunError: The folder is missing, incomplete or damaged.
    """
    return run if isinstance(run, Run) else Run.read(run)


def folders(runs: Sequence[RunLike]) -> list[Path]:
    """Folders of runs, as they were given."""
    return [run.folder if isinstance(run, Run) else Path(run) for run in runs]
