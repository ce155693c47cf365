import json

import numpy as np
import pandas as pd
import pytest

RECIPE = "name: harbour\nseed: 0\npeft:\n  method: lora\n  rank: 8\n"
MODULATOR_COLUMNS = ["block", "position", "method", "rank", "parameters", "gamma"]


def class_table(names, *, unseen=()):
    """Long-tailed classes in the form of per_class.csv; `unseen` have no test chips."""
    rng = np.random.default_rng(3)
    rows = []
    for place, name in enumerate(names):
        train = max(1, round(220 * 0.01 ** (place / max(1, len(names) - 1))))
        group = "head" if train > 100 else "tail" if train < 20 else "medium"
        seen = name not in unseen
        accuracy, precision = rng.uniform(0.4, 1, 2) if seen else (np.nan, np.nan)
        rows.append((name, group, train, 20 if seen else 0, accuracy, precision))
    columns = ["class", "group", "train_chips", "test_chips", "accuracy", "precision"]
    return pd.DataFrame(rows, columns=columns)


def confusion_table(classes):
    rng = np.random.default_rng(4)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    for row, (total, accuracy) in enumerate(
        zip(classes["test_chips"], classes["accuracy"].fillna(0), strict=True)
    ):
        counts[row, row] = round(total * accuracy)
        np.add.at(counts[row], rng.integers(0, len(classes), total - counts[row, row]), 1)
    table = pd.DataFrame(counts, columns=list(classes["class"]))
    table.insert(0, "true class", list(classes["class"]))
    return table


def modulator_table(blocks=range(12), positions=("q", "k", "v", "out", "fc1", "fc2")):
    rng = np.random.default_rng(5)
    rows = [
        (block, position, "lora", 8, 6144, float(rng.normal(1 + 0.04 * block, 0.15)))
        for block in blocks
        for position in positions
    ]
    return pd.DataFrame(rows, columns=MODULATOR_COLUMNS)


def history_table(epochs=12, *, outer=True):
    epoch = np.arange(1, epochs + 1)
    loss = 0.3 + 1.9 * np.exp(-epoch / 3)
    outer_loss = 0.6 + 1.4 * np.exp(-epoch / 4) if outer else np.full(epochs, np.nan)
    columns = {"epoch": epoch, "learning_rate": 0.01, "loss": loss, "outer_loss": outer_loss}
    spread = {f"gamma_{name}": 1.0 for name in ("mean", "min", "max")}
    accuracy = {"head_accuracy": 0.9, "tail_accuracy": np.nan}
    return pd.DataFrame(columns | accuracy | spread)


@pytest.fixture
def make_run(tmp_path):
    """Writes a run folder; tables may be given, all others are generated."""

    def make(
        names=("2S1", "BMP2", "T72", "ZSU"), *, unseen=(), modulators=None, history=None, at="run"
    ):
        run = tmp_path / at
        run.mkdir(parents=True)
        classes = class_table(names, unseen=unseen)
        modulators = modulator_table() if modulators is None else modulators
        tables = {
            "per_class": classes,
            "confusion": confusion_table(classes),
            "modulators": modulators,
            "history": history_table() if history is None else history,
        }
        for name, table in tables.items():
            table.to_csv(run / f"{name}.csv", index=False, lineterminator="\n")
        means = classes.groupby("group")["accuracy"].mean()
        accuracy = {group: means.get(group, np.nan) for group in ("head", "medium", "tail")}
        accuracy |= {"average": classes["accuracy"].mean(), "overall": 0.871}
        metrics = {
            "accuracy": {k: None if np.isnan(v) else float(v) for k, v in accuracy.items()},
            "groups": {},
            "method": "lora",
            "trainable_parameters": 1_327_176,
            "backbone_parameters": 22_056_576,
        }
        (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        resources = {"seconds": 312.4567, "peak_memory_mb": 1800, "device": "cpu"}
        (run / "resources.json").write_text(json.dumps(resources), encoding="utf-8")
        (run / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        return run

    return make
