"""What a finished run holds, from its files alone: neither backbone nor chips are needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rsmeta.model_card import ModelCard
from rsmeta.recipe import Position, Recipe
from rsmeta.recipe_reading import read_recipe
from rsmeta.report.run_files import RunFiles
from rsmeta.runs import RECIPE, read_card
from rsmeta.table_records import records


@dataclass(frozen=True)
class InspectedRun:
    """A finished run.

    Attributes:
        recipe: Its recipe.
        card: Its model's card.
        files: Its tables and numbers.
    """

    recipe: Recipe
    card: ModelCard
    files: RunFiles

    @property
    def modulator_map(self) -> pd.DataFrame:
        """Gammas of the adapters, one row a position and one column a block; NaN without one."""
        table = self.files.modulators
        table = table[table["block"].notna()]
        order = [str(position) for position in Position]
        found = table.assign(block=table["block"].astype(int)).pivot(
            index="position", columns="block", values="gamma"
        )
        return found.reindex(sorted(found.index, key=lambda n: (n not in order, _place(order, n))))

    @property
    def band_modulators(self) -> dict[str, float]:
        """Gammas of the bands' updates, where the run learned any."""
        table = self.files.modulators
        bands = table[table["block"].isna()]
        return dict(zip(bands["position"], bands["gamma"], strict=True))

    def values(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        card, files = self.card, self.files
        return {
            "kind": "run",
            "classes": records(files.classes),
            "bands": list(card.bands),
            "tile_size": card.tile_size,
            "pixel_size": card.pixel_size,
            "backbone": {"name": card.backbone, "sha256": card.backbone_sha256},
            "accuracy": files.accuracy,
            "facts": files.facts,
            "modulators": records(files.modulators[["block", "position", "gamma"]]),
            "versions": card.versions,
            "recipe": self.recipe.model_dump(mode="json"),
        }


def inspect_run(run: Path) -> InspectedRun:
    """Read a run.

    Raises:
        RunError: The run is incomplete or damaged.
    """
    files = RunFiles.read(run)
    return InspectedRun(read_recipe(Recipe, run / RECIPE), read_card(run), files)


def _place(order: list[str], name: str) -> int:
    return order.index(name) if name in order else len(order)
