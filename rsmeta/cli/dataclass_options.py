"""Options of a command from the fields of a dataclass, so that they have their names but once."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import wraps
from typing import Annotated, Any, get_args, get_type_hints

import typer


def takes(options: type[Any], after: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of a dataclass, in place of its last parameter.

    Args:
        options: A dataclass whose fields are annotated with what the command line says of them,
            see `rsmeta.prediction_options.OnCommandLine`.
        after: Parameter of the command after which the options stand in its help.

    Returns:
        A decorator of a command with a parameter `options` of that dataclass.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**values: Any) -> None:
            chosen = {option.name: values.pop(option.name) for option in fields(options)}
            command(**values, options=options(**chosen))

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            if parameter.name != "options":
                parameters.append(parameter)
            if parameter.name == after:
                parameters.extend(_parameters(options))
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return run

    return decorate


def _parameters(options: type[Any]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(options, include_extras=True)
    for option in fields(options):
        annotation, said = get_args(hints[option.name])
        flags = [] if said.flag is None else [said.flag]
        shown = typer.Option(*flags, help=said.help, metavar=said.metavar, min=said.minimum)
        yield inspect.Parameter(
            option.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=option.default,
            annotation=Annotated[annotation, shown],
        )
