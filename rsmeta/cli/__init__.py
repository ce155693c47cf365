"""The command: parse, call, print. One file a group of commands; what they do is imported late.

`rsmeta --help` must not wait for torch: at the top of these files stand only light imports.
"""

import logging
import sys
from typing import Annotated

import typer

from rsmeta import __version__
from rsmeta.cli import (
    drafting,
    evaluation,
    inspection,
    prediction,
    recipes,
    simulation,
    suggestion,
    training,
)
from rsmeta.cli.verbosity import RsmetaCommand, RsmetaGroup
from rsmeta.errors import RsmetaError

app = typer.Typer(
    name="rsmeta",
    cls=RsmetaGroup,
    help="Adapt pretrained vision transformers to remote sensing, and classify scenes with them.",
    epilog="Exit status: 0: done; 1: an error, told in a line; 2: the command line or a recipe is "
    "wrong; 130: interrupted by Ctrl-C.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for _group in (
    drafting,
    recipes,
    inspection,
    training,
    prediction,
    suggestion,
    evaluation,
    simulation,
):
    for _command in _group.app.registered_commands:
        _command.cls = RsmetaCommand
    app.add_typer(_group.app)


def main() -> None:
    """Run the command; an error of the user's becomes one line a problem and an exit status."""
    log = logging.getLogger("rsmeta")
    log.handlers = [logging.StreamHandler()]
    log.setLevel(logging.INFO)
    try:
        app()
    except RsmetaError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        if sys.stderr.isatty():  # a person reads it; scripts get the errors alone
            typer.echo(f"help:  {error.documentation()}", err=True)
        sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rsmeta {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
