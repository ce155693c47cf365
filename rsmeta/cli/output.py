"""Results for scripts."""

import json

import typer


def print_json(values: object) -> None:
    """Print values as one line of JSON; paths as text."""
    typer.echo(json.dumps(values, ensure_ascii=False, default=str))
