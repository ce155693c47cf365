"""`gamma_history.csv` of a run: the modulator of each site after each epoch."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rsmeta.peft.sites import AnySite
from rsmeta.train.records import EpochRecord

GAMMA_HISTORY = "gamma_history.csv"


def write_gamma_history(
    folder: Path, history: Sequence[EpochRecord], sites: Sequence[AnySite]
) -> None:
    """Write one row a site and epoch; none where a site has been pruned, or has no modulator.

    Args:
        folder: Run folder.
        history: The epochs.
        sites: Those that had a modulator when training began.
    """
    rows = [
        (record.epoch, site.block, str(site.position), gamma)
        for record in history
        for site, gamma in zip(sites, record.gammas, strict=bool(record.gammas))
        if gamma > 0  # softplus is; a dropped site's is 0
    ]
    table = pd.DataFrame(rows, columns=["epoch", "block", "position", "gamma"])
    # A band has no block.
    table = table.astype({"block": "Int64"})
    table.to_csv(folder / GAMMA_HISTORY, index=False, lineterminator="\n")
