"""Evaluations and comparisons as tables for the terminal."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

from rsmeta.cli.tables import share

if TYPE_CHECKING:
    from rsmeta.comparison import RunComparison
    from rsmeta.evaluation import RunEvaluation
    from rsmeta.scenes import Agreement

_LARGEST = 10
"""Rows shown of the gammas that differ most."""


def class_table(found: "RunEvaluation") -> Table:
    """Recall, precision and F1 of each class, with intervals."""
    table = Table("class", "group", title="Classes, with 95 % intervals")
    for heading in ("train", "test", "recall", "precision", "F1"):
        table.add_column(heading, justify="right")
    rows = found.class_table.sort_values("train_chips", ascending=False, kind="stable")
    for row in rows.to_dict("records"):
        scores = [
            _with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
            for name in ("recall", "precision", "f1")
        ]
        counts = str(row["train_chips"]), str(row["test_chips"])
        table.add_row(row["class"], row["group"], *counts, *scores)
    return table


def summary_table(found: "RunEvaluation") -> Table:
    """Accuracy of the groups, with intervals."""
    table = Table("accuracy", title="Groups, with 95 % intervals")
    table.add_column("", justify="right")
    for name, value in found.estimates.summary.items():
        table.add_row(name, _with_interval(float(value.value), float(value.low), float(value.high)))
    return table


def agreement_table(found: "Agreement") -> Table:
    """Accuracy of a class map where the truth is known."""
    table = Table("class", title=f"Class map, {found.labelled:,} labelled pixels")
    table.add_column("accuracy", justify="right")
    for name, value in found.recall.items():
        table.add_row(name, share(value))
    table.add_section()
    table.add_row("mean over classes", share(found.mean_recall))
    table.add_row("overall", share(found.overall))
    return table


def comparison_tables(found: "RunComparison") -> Iterator[Table]:
    """Accuracies, gammas and differing recipe keys; differences are from the first run."""
    first, *others = found.runs
    for title, frame in (("Accuracy", found.accuracy), ("Accuracy of classes", found.classes)):
        table = Table(frame.index.name, title=title)
        for name in found.runs:
            table.add_column(name, justify="right")
        for key, row in frame.iterrows():
            cells = [_with_difference(row[name], row[first]) for name in others]
            table.add_row(str(key), share(row[first]), *cells)
        yield table
    yield _gamma_table(found)
    table = Table("key", *found.runs, title="Recipe keys that differ")
    for key, row in found.recipe.iterrows():
        table.add_row(str(key), *map(str, row))
    yield table


def _gamma_table(found: "RunComparison") -> Table:
    from rsmeta.comparison import NO_BLOCK

    gammas = found.modulators.dropna(how="all")
    spread = (gammas.max(axis=1) - gammas.min(axis=1)).sort_values(ascending=False, kind="stable")
    shown = spread[spread > 0].index[:_LARGEST]
    table = Table("block", "position", title=f"γ: mean, and the {len(shown)} that differ most")
    for name in found.runs:
        table.add_column(name, justify="right")
    table.add_row("all", "", *(_gamma(value) for value in gammas.mean()))
    table.add_section()
    for block, position in shown:
        place = "-" if block == NO_BLOCK else str(block)
        table.add_row(place, position, *(_gamma(v) for v in gammas.loc[(block, position)]))
    return table


def _with_interval(value: float, low: float, high: float) -> str:
    ends = "" if math.isnan(low) else f" ({100 * low:.0f}–{100 * high:.0f})"
    return f"{share(value)}{ends}"


def _with_difference(value: float, first: float) -> str:
    difference = 100 * (value - first)
    return share(value) + ("" if math.isnan(difference) else f" ({difference:+.1f})")


def _gamma(value: Any) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
