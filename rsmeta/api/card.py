"""How recipes, runs and models look in a notebook: one card of HTML, everything escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rsmeta.pages import page_template

_LONGEST = 200


@dataclass(frozen=True)
class Fold:
    """A part of a card that can be folded away.

    Attributes:
        title: What stands on it when it is folded.
        content: Names with values, or a table.
        is_open: Whether it is open at first.
    """

    title: str
    content: Mapping[str, Any] | pd.DataFrame
    is_open: bool = False

    @property
    def header(self) -> list[str]:
        """Heads of the columns; none for names with values."""
        return list(self.content.columns) if isinstance(self.content, pd.DataFrame) else []

    @property
    def rows(self) -> list[list[str]]:
        """Cells as text."""
        if isinstance(self.content, pd.DataFrame):
            return [[_text(value) for value in row] for row in self.content.itertuples(index=False)]
        return [[str(name), _text(value)] for name, value in self.content.items()]


def card(kind: str, title: str, facts: Mapping[str, Any], folds: Sequence[Fold] = ()) -> str:
    """Write a card.

    Args:
        kind: What is shown.
        title: Its name.
        facts: Names with values, always to be seen.
        folds: What can be folded away.

    Returns:
        HTML that stands alone: no script, nothing is loaded.
    """
    template = page_template("card.html.j2", "api")
    shown = Fold("", facts).rows
    return template.render(kind=kind, title=title, facts=shown, folds=folds)


def share(value: float | None) -> str:
    """A share in percent, a dash where it is undefined."""
    return "–" if value is None or value != value else f"{value:.1%}"


def _text(value: Any) -> str:
    """A value as a person writes it, cut where it is very long."""
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        text = ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) or "–"
    elif isinstance(value, list | tuple):
        text = ", ".join(map(_text, value)) or "–"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
