"""What the training chips hold in each band, as a table."""

from collections.abc import Sequence

import pandas as pd
from rich.table import Table

from rsmeta.data.statistics import BandSummary


def band_frame(bands: Sequence[BandSummary]) -> pd.DataFrame:
    """One row a band: name, unit, and values in that unit; `nodata` is a share, 0..1."""
    rows = [
        {
            "band": summary.band.name,
            "unit": summary.band.unit.value,
            "mean": summary.mean,
            "std": summary.std,
            "percentile_2": summary.low,
            "percentile_98": summary.high,
            "nodata": summary.nodata,
        }
        for summary in bands
    ]
    return pd.DataFrame(rows)


def band_table(bands: Sequence[BandSummary]) -> Table:
    """The same for the terminal."""
    table = Table("band", "unit", title="Training chips")
    for heading in ("mean", "std", "2 %", "98 %", "nodata"):
        table.add_column(heading, justify="right")
    for summary in bands:
        values = (summary.mean, summary.std, summary.low, summary.high)
        numbers = [f"{value:.4g}" for value in values]
        table.add_row(summary.band.name, summary.band.unit.value, *numbers, f"{summary.nodata:.1%}")
    return table
