"""Start values of modulators, one for all or from another run's table."""

import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rsmeta.errors import RecipeError
from rsmeta.peft.sites import AnySite, named_site
from rsmeta.rasters import reason
from rsmeta.recipe import AdditiveMethod


def start_values(config: AdditiveMethod, sites: Sequence[AnySite]) -> list[float]:
    """The gamma of each site at the start.

    Args:
        config: Says one value for all, or a table and what to make of it.
        sites: The sites, in order.

    Raises:
        RecipeError: The table cannot be read or lacks a site.
    """
    source = config.gamma_from
    if source is None:
        return [config.gamma] * len(sites)
    learned = _read(source.file)
    missing = [site for site in sites if site not in learned]
    if missing:
        raise RecipeError(
            [f"peft.gamma_from.file: '{source.file}' has no modulator of {missing[0]}"]
        )
    values = np.array([learned[site] for site in sites])
    if source.pattern == "mean":
        return [float(values.mean())] * len(sites)
    if source.pattern == "shuffled":
        # Seeded by the values: every table is shuffled in another way, and always the same.
        values = np.random.default_rng(zlib.crc32(values.tobytes())).permutation(values)
    return [float(value) for value in values]


def _read(file: Path) -> dict[AnySite, float]:
    try:
        # A cast to whole numbers refuses 1.5 and inf instead of cutting them off.
        table = pd.read_csv(file).astype({"block": "Int64", "gamma": "float64"})
        rows = zip(table["block"], table["position"], table["gamma"], strict=True)
        sites = [named_site(None if pd.isna(b) else int(b), str(p)) for b, p, _ in rows]
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise RecipeError(
            [f"peft.gamma_from.file: '{file}' is no table of modulators: {reason(error)}"]
        ) from error
    values = dict(zip(sites, table["gamma"].tolist(), strict=True))
    if len(values) < len(sites):
        twice = next(site for site, count in Counter(sites).items() if count > 1)
        raise RecipeError([f"peft.gamma_from.file: '{file}' has several modulators of {twice}"])
    if not all(np.isfinite(gamma) and gamma > 0 for gamma in values.values()):
        raise RecipeError([f"peft.gamma_from.file: '{file}' holds a modulator that is not above 0"])
    return values
