"""Results for scripts and for people."""

import json

import typer
from rich.console import Console


def print_json(values: object) -> None:
    """Print values as one line of JSON; paths as text."""
    typer.echo(json.dumps(values, ensure_ascii=False, default=str))


def plain_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: `[b]` or `:car:` in a name is not rich's to read."""
    return Console(stderr=stderr, markup=False, emoji=False)
