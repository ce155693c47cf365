"""Results as tables for the terminal."""

import math
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from rsmeta.longtail.metrics import Metrics
    from rsmeta.pruning import PrunedRun
    from rsmeta.report.run_files import RunFiles


def metrics_table(metrics: "Metrics") -> Table:
    """Accuracy of each class and group."""
    table = Table("class", "group", "train", "test", "accuracy", title="Test chips")
    for entry in sorted(metrics.classes, key=lambda c: -c.train_chips):
        table.add_row(
            entry.name,
            entry.group.value,
            str(entry.train_chips),
            str(entry.test_chips),
            share(entry.accuracy),
        )
    table.add_section()
    for name, value in metrics.summary().items():
        table.add_row(name, "", "", "", share(value))
    return table


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
    table = Table("class", "group", "train", "test", "accuracy", title="Test chips")
    for row in files.classes.sort_values(
        "train_chips", ascending=False, kind="stable"
    ).itertuples():
        counts = f"{row.train_chips:.0f}", f"{row.test_chips:.0f}"
        table.add_row(str(row[1]), row.group, *counts, share(row.accuracy))
    table.add_section()
    for name, value in files.accuracy.items():
        table.add_row(name, "", "", "", share(value))
    return table
