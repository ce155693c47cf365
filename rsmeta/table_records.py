"""Tables as plain values."""

from typing import Any

import pandas as pd


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values for JSON: None for NaN, which JSON does not have."""
    cells = table.astype(object)
    plain: list[dict[str, Any]] = cells.where(cells.notna(), None).to_dict("records")
    return plain
