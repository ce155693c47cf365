"""Results as tables for the terminal."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from rsmeta.longtail.metrics import Metrics
    from rsmeta.pruning import PrunedRun
    from rsmeta.report.run_files import RunFiles


def metrics_table(metrics: "Metrics") -> Table:
    """Accuracy of each class and group."""
    return _accuracy_table(map(asdict, metrics.classes), "name", metrics.summary())


def pruning_table(pruned: "PrunedRun") -> Table:
    """Results before and after pruning."""
    before, after = pruned.before, pruned.after
    table = Table("", "before", "after", title="Test chips before and after pruning")
    accuracies = after.metrics.summary()
    for name, value in before.metrics.summary().items():
        table.add_row(name, share(value), share(accuracies[name]))
    table.add_section()
    table.add_row("sites", str(len(before.contributions)), str(len(after.contributions)))
    table.add_row(
        "trainable parameters", f"{before.trained_parameters:,}", f"{after.trained_parameters:,}"
    )
    return table


def share(value: float | None) -> str:
    """A share in percent, a dash where it is undefined."""
    return "-" if value is None or math.isnan(value) else f"{value:.1%}"


def stored_table(files: "RunFiles") -> Table:
    """Stored accuracy of each class and group of a run."""
    return _accuracy_table(files.classes.to_dict("records"), "class", files.accuracy)


def _accuracy_table(
    classes: Iterable[Mapping[str, Any]], name: str, summary: Mapping[str, float | None]
) -> Table:
    """Classes by their training chips, most first, and groups."""
    table = Table("class", "group", "train", "test", "accuracy", title="Test chips")
    for row in sorted(classes, key=lambda row: -row["train_chips"]):
        counts = f"{row['train_chips']:.0f}", f"{row['test_chips']:.0f}"
        table.add_row(row[name], row["group"], *counts, share(row["accuracy"]))
    table.add_section()
    for group, value in summary.items():
        table.add_row(group, "", "", "", share(value))
    return table
