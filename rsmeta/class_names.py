"""Names of classes: foreign text that comes into maps, tables and pages."""

import re
import unicodedata
from collections.abc import Sequence

_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_REORDERING = frozenset({"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"})
_FORMULA = ("=", "+", "-", "@")


def unprintable(text: str) -> str | None:
    """The first character that cannot stand in XML, a table or a line of text; None without one.

    Control characters, line and paragraph separators, halves of surrogate pairs, what Unicode says
    is no character, and marks that show the text around them in another order than it has.
    """
    first = next((character for character in text if _is_unprintable(character)), None)
    return None if first is None else f"U+{ord(first):04X}"


def _is_unprintable(character: str) -> bool:
    return (
        unicodedata.category(character) in _FORBIDDEN
        or unicodedata.bidirectional(character) in _REORDERING
        or ord(character) & 0xFFFE == 0xFFFE
    )


def name_problems(names: Sequence[str]) -> list[str]:
    """What is wrong with names of classes, a line each; none for good ones.

    Names stand in CSV files that spreadsheets open, which would compute one that begins as a
    formula. An escaped name would be another name to all other programs, so it is refused; signed
    numbers are no formulas.
    """
    problems = []
    for name in names:
        character = unprintable(name)
        if character is not None:
            problems.append(f"class {name!r} has the character {character}; rename the class")
        elif not name.strip():
            problems.append(f"class {name!r} has an empty name; rename the class")
        elif name.startswith(_FORMULA) and not re.fullmatch(r"[+-][0-9.,]+", name):
            problems.append(
                f"class '{name}' begins with '{name[0]}', which spreadsheets take for a formula; "
                "rename the class"
            )
    return problems
