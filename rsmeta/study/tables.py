"""The tables of a study, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rsmeta.study.columns import ALL_PASSES, SCORES, SECONDS, SEED, VARIANT
from rsmeta.study.comparison import Difference, bootstrap, paired_differences, summarise
from rsmeta.study.config import Study


@dataclass(frozen=True)
class Table:
    """A table as it is shown: text in every cell."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_of(study: Study, results: pd.DataFrame) -> list[Table]:
    """Accuracy of every variant at every level, and differences to the baseline.

    Args:
        study: The study.
        results: Its finished cells, one a row; at least one.
    """
    tables = [accuracy_table(study, results)]
    if study.baseline in set(results[VARIANT]) and results[VARIANT].nunique() > 1:
        tables.append(difference_table(study, results))
    return tables


def accuracy_table(study: Study, results: pd.DataFrame) -> Table:
    """Mean and standard error over seeds in %, by variant and level, and what they cost.

    `passes` are chips passed forward and backward, in searching as well as in training.
    """
    by = [*study.axes, VARIANT]
    summary = summarise(results, by, SCORES)
    header = [*by, *SCORES, "seeds", "training", "passes"]
    groups = results.groupby(by, sort=False)
    seconds, passes = groups[SECONDS].median(), groups[ALL_PASSES].mean()
    rows = []
    for index, row in summary.iterrows():
        names = [str(name) for name in (index if isinstance(index, tuple) else (index,))]
        scores = [_score(row[score, "mean"], row[score, "error"]) for score in SCORES]
        costs = [f"{seconds[index]:.0f} s", f"{passes[index]:,.0f}"]
        rows.append([*names, *scores, str(int(row["seeds", "count"])), *costs])
    return Table("Accuracy in %", header, rows)


def difference_table(study: Study, results: pd.DataFrame) -> Table:
    """Paired differences to the baseline in points, with 95 % intervals.

    Where a study has axes: over all of their levels, and for each combination of them.
    """
    parts: dict[tuple[str, ...], pd.DataFrame] = {(): results}
    if study.axes:
        groups = results.groupby([*study.axes], sort=False)
        parts |= {tuple(map(str, levels)): rows for levels, rows in groups}
    names = [str(name) for name in results[VARIANT].unique() if name != study.baseline]
    rows = []
    for levels, part in parts.items():
        shown = levels or ("all",) * len(study.axes)
        for name in names:
            row = _differences(study, part, name)
            if row[-1] != "0" or not levels:
                rows.append([*shown, name, *row])
    header = [*study.axes, VARIANT, *SCORES, "pairs"]
    title = f"Difference to {study.baseline} in points, and its 95 % interval"
    return Table(title, header, rows)


def _differences(study: Study, results: pd.DataFrame, variant: str) -> list[str]:
    """Those of one variant in each score, and how many pairs there are."""
    cells, count = [], 0
    for score in SCORES:
        found = paired_differences(results, variant, study.baseline, [*study.axes, SEED], score)
        cells.append(_difference(bootstrap(found)) if len(found) else "-")
        count = max(count, len(found))
    return [*cells, str(count)]


def _score(mean: float, error: float) -> str:
    if pd.isna(mean):
        return "-"
    return f"{100 * mean:.1f}" + ("" if pd.isna(error) else f" ± {100 * error:.1f}")


def _difference(found: Difference) -> str:
    if found.pairs == 1:
        return f"{100 * found.mean:+.1f}"
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
