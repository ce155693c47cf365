"""What pages of the documentation show."""

import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

_BLOCK = re.compile(r'^( *)```(\w+)(?: title="([^"]+)")?\n(.*?)^\1```$', flags=re.M | re.S)


class CodeBlock(NamedTuple):
    language: str
    title: str | None
    text: str


def code_blocks(page):
    """The code of a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [
        CodeBlock(language, title or None, textwrap.dedent(code))
        for _, language, title, code in _BLOCK.findall(text)
    ]


def shell_words(block):
    """Words of each command in a block of shell code."""
    lines = [line.removeprefix("$ ") for line in block.text.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line]


def patched(text, diff):
    """A text after a diff without line numbers, whose context must be found exactly once."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        after = "".join(f"{line[1:]}\n" for line in lines)
        assert text.count(before) == 1, f"shown, but not in the file exactly once:\n{before}"
        text = text.replace(before, after)
    return text
