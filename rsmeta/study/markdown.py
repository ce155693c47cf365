"""Tables of a study as markdown."""

from collections.abc import Sequence

from rsmeta.study.tables import Table


def study_tables(name: str, tables: Sequence[Table]) -> str:
    """A heading with the study's name, and its tables, each with its title."""
    parts = [f"## {name}"]
    for table in tables:
        parts += [f"{table.title}:", markdown(table)]
    return "\n\n".join(parts) + "\n"


def markdown(table: Table) -> str:
    """The table alone."""
    lines = [list(table.header), ["---"] * len(table.header), *table.rows]
    cells = [[cell.replace("|", "/") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
