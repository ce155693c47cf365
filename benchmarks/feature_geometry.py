"""How far apart classes lie before and after training: distances by group, and maps by t-SNE.

    python benchmarks/feature_geometry.py recipes/sar_cross_spectral.yaml --seeds 0 1 2

Before is a linear probe, whose features are those of the frozen backbone. A cell that is in the
results already is not run again.
"""

import argparse
import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from compare_methods import finetuned

SEARCH_THEN_ALL = [
    "peft.stability=0.35",
    "inner.epochs=20",
    "outer.learning_rate=0.02",
    "outer.class_prior=fitted",
    "outer.resample=never",
    "outer.final_epochs=12",
    "outer.restart=true",
]
VARIANTS = {
    "before": ["peft.method=linear_probe"],
    "LoRA": ["peft.modulators=fixed"],
    "MetaPEFT from the stable scale": SEARCH_THEN_ALL,
}
GROUPS = ("head", "medium", "tail")
RESULTS = Path(__file__).parent / "results"


def distances(run: Path) -> dict[str, float]:
    """Of a run: mean distance of each class to the nearest, by group, and means between groups."""
    table = pd.read_csv(run / "class_distances.csv").set_index("class").to_numpy()
    groups = pd.read_csv(run / "per_class.csv")["group"].to_numpy()
    apart = np.where(np.eye(len(table), dtype=bool), np.nan, table)
    found = {f"nearest_{group}": np.nanmin(apart, axis=1)[groups == group] for group in GROUPS}
    for pair in (("head", "head"), ("head", "tail"), ("tail", "tail")):
        rows, columns = (groups == group for group in pair)
        found["_".join(pair)] = apart[np.ix_(rows, columns)]
    return {name: round(float(np.nanmean(values)), 5) for name, values in found.items()}


def run(recipe: Path, overrides: list[str], figure: Path) -> dict[str, float]:
    """What the folder of a run says; keeps its map of features."""
    with finetuned(recipe, overrides) as latest:
        figure.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(latest / "figures" / "features.png", figure)
        accuracy = json.loads((latest / "metrics.json").read_text())["accuracy"]
        return {name: round(accuracy[name], 5) for name in ("tail", "average")} | distances(latest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    arguments = parser.parse_args()
    name = f"geometry_{arguments.recipe.stem}"
    path = RESULTS / f"{name}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["variant"], row["seed"]) for row in rows}
    for seed, (variant, overrides) in product(arguments.seeds, VARIANTS.items()):
        if (variant, seed) in done:
            continue
        figure = RESULTS / f"{name}_figures" / f"{variant.split()[0].lower()}_{seed}.png"
        own = [*overrides, "inner.warm_up=0.125", f"seed={seed}", *arguments.overrides]
        rows.append({"variant": variant, "seed": seed, **run(arguments.recipe, own, figure)})
        pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")
        print(f"{variant}, seed {seed}: {rows[-1]}", flush=True)


if __name__ == "__main__":
    main()
