"""The page of all commands, from the command itself."""

import re
from collections.abc import Iterator
from typing import Any

from markdown_table import plain, table
from typer.main import get_command

from rsmeta.cli import app

_HEAD = """# Commands

This page is made from the command itself: `rsmeta COMMAND --help` says the same.
`rsmeta --install-completion` lets the shell complete commands and options.

The exit status is 0 where all went well, 2 where a recipe or the command line is wrong, 130 after
Ctrl-C, and 1 for every other error, see [Troubleshooting](../troubleshooting.md). Results go to the
standard output, progress and errors to the standard error.
"""


def commands_page() -> str:
    """The page in Markdown."""
    commands = get_command(app).commands
    return "\n".join([_HEAD, *(_command(name, command) for name, command in commands.items())])


def _command(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(["rsmeta", name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}\n\n{command.help}\n\n```text\n{usage}\n```\n"]
    for kind in ("argument", "option"):
        found = [p.get_help_record(context) for p in command.params if p.param_type_name == kind]
        rows = [[f"`{record[0]}`", plain(record[1])] for record in found if record is not None]
        if rows:
            parts.append(table([kind, "meaning"], rows) + "\n")
    examples = "\n".join(_examples(command.epilog))
    return "\n".join([*parts, f"For example\n\n```sh\n{examples}\n```\n"])


def _examples(epilog: str) -> Iterator[str]:
    """The commands of a help text's last line."""
    yield from re.split(r"\s+·\s+", re.sub(r"^Examples?:\s*", "", epilog.strip()))
