"""Accuracy with bands missing at test time, with and without band dropout in training.

    python benchmarks/band_removal.py

Twelve simulated Sentinel-2 bands and LoRA on the embedded backbone. A missing band is the training
mean, as with `rsmeta predict --missing-bands zero`; which bands are missing is drawn, alike for all
models. Writes results/band_removal.json, in about ten minutes on one core.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from rsmeta.data.datamodule import resize
from rsmeta.data.sources import load_data
from rsmeta.finetuning import finetune
from rsmeta.model_card import current_versions
from rsmeta.recipe import Recipe
from rsmeta.runs import TrainedModel, load_run

RESULTS = Path(__file__).parent / "results"
DROPOUT = (0.0, 0.1, 0.3)
REMOVED = (0, 1, 2, 4, 8)
DRAWS = 3


def recipe(seed: int, dropout: float, runs: Path) -> Recipe:
    """The recipe of one model."""
    return Recipe.model_validate(
        {
            "name": "band_removal",
            "seed": seed,
            "runs": runs,
            "data": {
                "source": "simulator",
                "sensor": "multispectral",
                "largest_class": 60,
                "imbalance": 4,
                "test_per_class": 15,
            },
            "augmentation": {"band_dropout": dropout},
            "peft": {"method": "lora", "modulators": "fixed"},
            "inner": {"epochs": 8, "learning_rate": 0.03},
        }
    )


def accuracies(model: TrainedModel, chips: torch.Tensor, labels: np.ndarray) -> dict[int, float]:
    """Mean accuracy over classes and draws, by the number of bands removed."""
    fill = torch.from_numpy(model.fill)[:, None, None]
    found = {}
    for count in REMOVED:
        scores = []
        for draw in range(DRAWS if count else 1):
            removed = np.random.default_rng([count, draw]).permutation(len(fill))[:count]
            seen = chips.clone()
            seen[:, removed] = fill[removed]
            parts = [model.logits(part).argmax(dim=1) for part in seen.split(64)]
            hits = torch.cat(parts).numpy() == labels
            scores.append(np.mean([hits[labels == label].mean() for label in np.unique(labels)]))
        found[count] = float(np.mean(scores))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    started = time.perf_counter()
    rows = []
    for seed in arguments.seeds:
        for dropout in DROPOUT:
            with tempfile.TemporaryDirectory() as folder:
                config = recipe(seed, dropout, Path(folder))
                model = load_run(finetune(config, report=False).folder)
            test = load_data(config).test
            chips = torch.stack([torch.from_numpy(test.read(i)) for i in range(len(test))])
            chips = resize(chips, config.backbone.image_size)
            for count, accuracy in accuracies(model, chips, test.labels).items():
                rows.append((dropout, count, seed, accuracy))
            print(f"seed {seed}, dropout {dropout}: {rows[-len(REMOVED) :]}", flush=True)
    result = {
        "bands": len(chips[0]),
        "test_chips": len(chips),
        "seeds": arguments.seeds,
        "draws": DRAWS,
        "average_accuracy": [
            {
                "band_dropout": dropout,
                "bands_removed": count,
                "mean": round(float(np.mean(scores)), 4),
                "standard_error": round(float(np.std(scores, ddof=1) / len(scores) ** 0.5), 4),
            }
            for dropout in DROPOUT
            for count in REMOVED
            for scores in [[a for d, c, _, a in rows if (d, c) == (dropout, count)]]
        ],
        "seconds": round(time.perf_counter() - started),
        "versions": current_versions(),
    }
    path = RESULTS / "band_removal.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
