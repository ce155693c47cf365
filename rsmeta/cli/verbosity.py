"""What all commands have in common: how much they say, and how they end."""

import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from enum import Enum
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from rsmeta.errors import RsmetaError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

_KEY = "rsmeta.verbosity"
_LOGGER = logging.getLogger("rsmeta")


class Verbosity(Enum):
    """How much a command says, by the name of its option."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


class RsmetaCommand(TyperCommand):
    """A command with `--quiet` and `--verbose`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_options())

    def invoke(self, ctx: Any) -> Any:
        """Run the command, saying as much as was asked for."""
        verbosity = Verbosity(ctx.meta.get(_KEY, Verbosity.NORMAL.value))
        # What is printed as JSON, or is nothing but JSON, was asked for.
        wants_output = ctx.params.get("as_json", True)
        with _saying(verbosity, wants_output):
            try:
                return super().invoke(ctx)
            except RsmetaError as error:
                if verbosity is Verbosity.VERBOSE:
                    traceback.print_exception(error)
                raise
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None


class RsmetaGroup(TyperGroup):
    """The group of all commands, whose options may as well stand before the command's name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_options())


def _remember(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> None:
    if value and ctx.meta.setdefault(_KEY, param.name) != param.name:
        raise typer.BadParameter("--quiet and --verbose exclude each other; give one of them")


def _options() -> list[Any]:
    """Both options as parameters of a command, made by a command that has no others."""

    def nothing(
        quiet: Annotated[
            bool,
            typer.Option(
                "--quiet",
                "-q",
                callback=_remember,
                expose_value=False,
                help="Print errors, and what --json prints, alone.",
            ),
        ] = False,
        verbose: Annotated[
            bool,
            typer.Option(
                "--verbose",
                "-v",
                callback=_remember,
                expose_value=False,
                help="Print more, and tracebacks of errors.",
            ),
        ] = False,
    ) -> None: ...

    app = typer.Typer(add_completion=False)
    app.command()(nothing)
    return list(typer.main.get_command(app).params)


@contextmanager
def _saying(verbosity: Verbosity, wants_output: bool) -> Iterator[None]:
    """Say as much as asked for while the block runs; errors are told after it."""
    level = _LOGGER.level
    with ExitStack() as stack:
        if verbosity is Verbosity.QUIET:
            nothing = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
            stack.enter_context(redirect_stderr(nothing))
            if not wants_output:
                stack.enter_context(redirect_stdout(nothing))
            _LOGGER.setLevel(logging.ERROR)
        elif verbosity is Verbosity.VERBOSE:
            stack.enter_context(_library_messages())
            _LOGGER.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            _LOGGER.setLevel(level)


@contextmanager
def _library_messages() -> Iterator[None]:
    """Show what other libraries log from INFO on."""
    root, handler = logging.getLogger(), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    handler.addFilter(lambda record: not record.name.startswith(_LOGGER.name))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
