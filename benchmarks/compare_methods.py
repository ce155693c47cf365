"""Train a recipe with each method and several seeds, and keep the results in a table.

    python benchmarks/compare_methods.py recipes/sar_cross_spectral.yaml --seeds 0 1 2

A cell that is in the table already is not run again, so the script can be stopped and resumed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

METHODS = {
    "linear probe": ["peft.method=linear_probe"],
    "LoRA q, v": ["peft.positions=[q, v]", "peft.modulators=fixed"],
    "LoRA, six positions": ["peft.modulators=fixed"],
    "MetaPEFT": [],
}
RESULTS = Path(__file__).parent / "results"


@contextmanager
def finetuned(recipe: Path, overrides: list[str]) -> Iterator[Path]:
    """Fine-tune by the public command; the run folder, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--set={override}" for override in [*overrides, f"runs={folder}"]]
        command = [Path(sys.executable).with_name("rsmeta"), "finetune", recipe, *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield Path(folder) / "latest"


def run(recipe: Path, overrides: list[str]) -> dict[str, float]:
    """What the folder of a run says."""
    with finetuned(recipe, overrides) as latest:
        metrics = json.loads((latest / "metrics.json").read_text())
        resources = json.loads((latest / "resources.json").read_text())
    accuracy = {name: round(value, 5) for name, value in metrics["accuracy"].items()}
    return accuracy | {
        "trainable_parameters": metrics["trainable_parameters"],
        "training_seconds": resources["training_seconds"],
        "peak_memory_megabytes": resources["peak_memory_megabytes"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    arguments = parser.parse_args()
    path = RESULTS / f"methods_{arguments.recipe.stem}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["method"], row["seed"]) for row in rows}
    for seed in arguments.seeds:
        for method, overrides in METHODS.items():
            if (method, seed) in done:
                continue
            result = run(arguments.recipe, [*overrides, f"seed={seed}", *arguments.overrides])
            rows.append({"method": method, "seed": seed, **result})
            pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")
            print(f"{method}, seed {seed}: average {result['average']:.1%}", flush=True)


if __name__ == "__main__":
    main()
