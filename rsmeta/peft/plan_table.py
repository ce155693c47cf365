"""The resolved plan as tables: every line for files, lines alike put together for people."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import pandas as pd
from rich.table import Table

from rsmeta.peft.sites import PlannedSite


def plan_frame(plan: Sequence[PlannedSite]) -> pd.DataFrame:
    """One row for each line of a plan.

    Returns:
        Columns block (missing outside of the blocks), position, method, rank, parameters.
    """
    rows = [
        (line.site.block, str(line.site.position), line.method, line.rank, line.parameters)
        for line in plan
    ]
    frame = pd.DataFrame(rows, columns=["block", "position", "method", "rank", "parameters"])
    return frame.astype({"block": "Int64"})


def plan_table(plan: Sequence[PlannedSite], head: int, modulators: int) -> Table:
    """A plan for the terminal; blocks that have the same line share one row.

    Args:
        plan: The plan.
        head: Trainable parameters of the head.
        modulators: Number of learned modulators.
    """
    table = Table("blocks", "position", "method", "rank", "parameters", title="Plan")
    for column in table.columns[3:]:
        column.justify = "right"
    frame = plan_frame(plan)
    alike = ["position", "method", "rank", "parameters"]
    for (position, method, rank, parameters), lines in frame.groupby(alike, sort=False):
        blocks = [int(block) for block in lines["block"].dropna()]
        total = f"{parameters:,}" if len(lines) == 1 else f"{len(lines)} x {parameters:,}"
        table.add_row(spans(blocks), position, method, str(rank or ""), total)
    table.add_section()
    table.add_row("", "head", "", "", f"{head:,}")
    if modulators:
        table.add_row("", "modulators", "outer loop", "", f"{modulators:,}")
    trained = int(frame["parameters"].sum()) + head + modulators
    table.add_row("", "trainable", "", "", f"{trained:,}")
    return table


def spans(numbers: Iterable[int]) -> str:
    """Write rising numbers as spans, such as 0-3, 7."""
    runs = groupby(enumerate(numbers), key=lambda entry: entry[1] - entry[0])
    parts = []
    for _, members in runs:
        run = [number for _, number in members]
        parts.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]))
    return ", ".join(parts)
