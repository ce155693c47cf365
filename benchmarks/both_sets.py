"""MetaPEFT by one setting against fixed modulators, over methods and data sets.

    python benchmarks/evidence_tables.py

writes the table into the documentation, from the results of the studies it names.
"""

from pathlib import Path

import pandas as pd

from rsmeta.study.columns import SEED, VARIANT
from rsmeta.study.comparison import bootstrap

RESULTS = Path(__file__).parent / "results"
SETS = {"MSTAR": "stable_scale", "aid30": "stable_scale_aid"}
METAPEFT, BASELINE, BEST = "MetaPEFT, bounded start", "gamma 1", "best fixed scale"
_SCORES = ("head", "medium", "tail", "average")


def table() -> str:
    """Differences in points with their 95 % intervals, by set and in all, over all methods."""
    parts = [pd.read_csv(RESULTS / f"{study}.csv").assign(set=name) for name, study in SETS.items()]
    found = pd.concat(parts, ignore_index=True)
    lines = ["| against | on | " + " | ".join(_SCORES) + " | pairs |"]
    lines.append("|---" * (len(_SCORES) + 3) + "|")
    for against, fixed in ((BASELINE, found[found[VARIANT] == BASELINE]), (BEST, best(found))):
        compared = _gains(found, fixed)
        for name, rows in [*compared.groupby("set", sort=False), ("both", compared)]:
            lines.append(_line([against, str(name)], rows))
    scales = best(found).groupby(["set", "method"], sort=False)[VARIANT].first()
    told = [f"{method} on {name} {scale}" for (name, method), scale in scales.items()]
    return "\n".join([*lines, "", f"The best fixed scales: {', '.join(told)}."])


def _gains(found: pd.DataFrame, fixed: pd.DataFrame) -> pd.DataFrame:
    """Gains in points over fixed modulators, one pair a row; columns `set`, `method` and scores."""
    pair = ["set", "method", SEED]
    learned = found[found[VARIANT] == METAPEFT].set_index(pair)
    gains = 100 * (learned[list(_SCORES)] - fixed.set_index(pair)[list(_SCORES)])
    return gains.dropna().reset_index()


def best(found: pd.DataFrame) -> pd.DataFrame:
    """Of each set and method the cells of that fixed scale whose test average is the best.

    That is chosen on the test chips, in favour of fixed scales, among those with as many seeds as
    gamma 1. A method of which there is no other than that is left out.
    """
    fixed = found[found[VARIANT].str.fullmatch(r"gamma [0-9.]+")]
    parts = []
    for _, rows in fixed.groupby(["set", "method"], sort=False):
        scales = rows.groupby(VARIANT)["average"].agg(["mean", "count"])
        complete = scales[scales["count"] == scales.loc[BASELINE, "count"]]
        if len(complete) > 1:
            parts.append(rows[rows[VARIANT] == complete["mean"].idxmax()])
    return pd.concat(parts)


def _line(names: list[str], gains: pd.DataFrame) -> str:
    texts = []
    for score in _SCORES:
        found = bootstrap(gains[score].to_numpy(float))
        texts.append(f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]")
    return f"| {' | '.join([*names, *texts])} | {len(gains)} |"
