"""Tables of a run, generated in the form of its CSV files."""

import numpy as np
import pandas as pd

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
