"""MetaPEFT by one setting against fixed modulators, over methods and data sets.

    python benchmarks/evidence_tables.py

writes the table into the documentation, from the results of the studies it names.
"""

from pathlib import Path

import pandas as pd

from rsmeta.study.columns import SEED
from rsmeta.study.comparison import bootstrap, paired_differences

RESULTS = Path(__file__).parent / "results"
SETS = {"MSTAR": "stable_scale", "aid30": "stable_scale_aid"}
VARIANT, BASELINE = "MetaPEFT, bounded start", "gamma 1"
_SCORES = ("head", "medium", "tail", "average")


def table() -> str:
    """Differences in points with their 95 % intervals: by set and method, by set, and in all."""
    parts = [pd.read_csv(RESULTS / f"{study}.csv").assign(set=name) for name, study in SETS.items()]
    found = pd.concat(parts, ignore_index=True)
    lines = ["| set | method | " + " | ".join(_SCORES) + " | pairs |"]
    lines.append("|---" * (len(_SCORES) + 3) + "|")
    for name in SETS:
        rows = found[found["set"] == name]
        lines += [_line(name, str(m), part) for m, part in rows.groupby("method", sort=False)]
        lines.append(_line(name, "all", rows))
    lines.append(_line("both", "all", found))
    return "\n".join(lines)


def _line(name: str, method: str, rows: pd.DataFrame) -> str:
    pair = ["set", "method", SEED]
    texts = []
    for score in _SCORES:
        gains = bootstrap(100 * paired_differences(rows, VARIANT, BASELINE, pair, score))
        texts.append(f"{gains.mean:+.1f} [{gains.low:+.1f}, {gains.high:+.1f}]")
    return f"| {name} | {method} | {' | '.join(texts)} | {gains.pairs} |"
