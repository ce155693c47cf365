"""How large modulators start where a recipe says it by `peft.stability`.

    python benchmarks/modulator_starts.py recipes/studies/query_value.yaml "MetaPEFT, bounded start"

A cell of the study takes about a minute; those in `benchmarks/results/starts.csv` are not measured
again. A start under `peft.largest_scale` is the same without that bound, and so is all training.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd

from rsmeta.finetuning import finetune
from rsmeta.recipe import Recipe
from rsmeta.recipe_reading import assign, read_recipe, validate
from rsmeta.study.cells import cells_of
from rsmeta.study.columns import KEY
from rsmeta.study.config import Study
from rsmeta.train.module import FinetuningModule

_COLUMNS = [KEY, "study", "of", "gamma"]


class _StartedError(Exception):
    """Training has begun, and its start is known."""

    def __init__(self, gamma: float) -> None:
        super().__init__(f"modulators start at {gamma:g}")
        self.gamma = gamma


class _EndAtStart(L.Callback):
    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        assert isinstance(module, FinetuningModule) and module.classifier.modulators is not None
        raise _StartedError(max(module.classifier.modulators.values().values()))


def start_of(recipe: Recipe) -> float:
    """The largest modulator of a recipe before its first step.

    Args:
        recipe: The recipe; nothing is written to its folder of runs.

    Raises:
        RsmetaError: See `rsmeta.finetuning.finetune`.
    """
    with tempfile.TemporaryDirectory() as folder:
        values = recipe.model_dump()
        assign(Recipe, values, {"runs": folder})
        try:
            finetune(validate(Recipe, values), callbacks=[_EndAtStart()], report=False)
        except _StartedError as started:
            return started.gamma
    raise AssertionError("training ended without a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("variant")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    study = read_recipe(Study, arguments.study)
    file = arguments.results / "starts.csv"
    known = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=_COLUMNS)
    for cell in cells_of(study, arguments.study.parent):
        if cell.variant != arguments.variant or cell.key in set(known[KEY]):
            continue
        row = [cell.key, study.name, str(cell), start_of(cell.recipe)]
        known = pd.concat([known, pd.DataFrame([row], columns=_COLUMNS)])
        known.to_csv(file, index=False, float_format="%.6g", lineterminator="\n")
        print(f"{cell}: {row[-1]:g}", flush=True)


if __name__ == "__main__":
    main()
