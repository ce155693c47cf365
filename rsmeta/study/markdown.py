"""The tables of a study as markdown."""

from collections.abc import Sequence

import pandas as pd

from rsmeta.study.comparison import Difference, bootstrap, paired_differences, summarise
from rsmeta.study.config import Study
from rsmeta.study.table import SCORES, SEED, VARIANT


def study_tables(study: Study, results: pd.DataFrame) -> str:
    """Accuracy of every variant at every level, and differences to the baseline over all levels.

    Args:
        study: The study.
        results: Its finished cells, one a row; at least one.
    """
    parts = [f"## {study.name}", accuracy_table(study, results)]
    others = [name for name in study.variants if name != study.baseline]
    if set(others) & set(results[VARIANT]) and study.baseline in set(results[VARIANT]):
        parts.append(difference_table(study, results))
    return "\n\n".join(parts) + "\n"


def accuracy_table(study: Study, results: pd.DataFrame) -> str:
    """Mean and standard error over seeds in %, by variant and level."""
    by = [*study.axes, VARIANT]
    summary = summarise(results, by, SCORES)
    header = [*by, *SCORES, "seeds", "training"]
    seconds = results.groupby(by, sort=False)["training_seconds"].median()
    rows = []
    for index, row in summary.iterrows():
        names = [str(name) for name in (index if isinstance(index, tuple) else (index,))]
        scores = [_score(row[score, "mean"], row[score, "error"]) for score in SCORES]
        rows.append([*names, *scores, str(int(row["seeds", "count"])), f"{seconds[index]:.0f} s"])
    return _table(header, rows)


def difference_table(study: Study, results: pd.DataFrame) -> str:
    """Paired differences to the baseline in points, with 95 % intervals."""
    pair = [*study.axes, SEED]
    rows = []
    for variant in study.variants:
        if variant == study.baseline or variant not in set(results[VARIANT]):
            continue
        cells, count = [], 0
        for score in SCORES:
            found = paired_differences(results, variant, study.baseline, pair, score)
            cells.append(_difference(bootstrap(found)) if len(found) else "-")
            count = max(count, len(found))
        rows.append([variant, *cells, str(count)])
    return _table([f"minus {study.baseline}", *SCORES, "pairs"], rows)


def _score(mean: float, error: float) -> str:
    if pd.isna(mean):
        return "-"
    return f"{100 * mean:.1f}" + ("" if pd.isna(error) else f" ± {100 * error:.1f}")


def _difference(found: Difference) -> str:
    if found.pairs == 1:
        return f"{100 * found.mean:+.1f}"
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(header), ["---"] * len(header), *rows]
    cells = [[cell.replace("|", "/") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
