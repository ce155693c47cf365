"""YAML of bounded size as plain values: what a person writes, and nothing that stands for more."""

from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode

LARGEST_FILE = 2**20
"""Bytes of a file, at most."""

_MERGE = "tag:yaml.org,2002:merge"
_MOST_VALUES = 100_000
_DEEPEST = 50
_LARGEST_NUMBER = 2**63


class _Loader(yaml.SafeLoader):
    """Plain values alone, and each key of a mapping once: YAML says so, PyYAML does not mind."""

    def compose_mapping_node(self, anchor: dict[Any, Node]) -> MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, ScalarNode) and key.tag != _MERGE]
        counts = Counter((key.tag, key.value) for key in keys)
        twice = [key for key in keys if counts[key.tag, key.value] > 1]
        if twice:
            raise ConstructorError(
                None, None, f"key '{twice[-1].value}' stands twice", twice[-1].start_mark
            )
        return node


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not UTF-8, not valid YAML, or stands for more than a person writes; the
            message is one line.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"it has more than {LARGEST_FILE} bytes")
    return parse_yaml(content.decode("utf-8"))


def parse_yaml(text: str) -> Any:
    """Parse YAML, of which aliases stand for at most 100,000 values, 50 deep.

    Each key of a mapping stands once, whole numbers have 64 bits, and texts no NUL and no half of
    a surrogate pair.

    Raises:
        ValueError: It is not that; the message is one line.
    """
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError(f"it is nested more than {_DEEPEST} deep") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # PyYAML's constructors of dates, numbers and sets trust what matched their pattern.
        raise ValueError(f"a value cannot be read: {error}") from error
    _require_bounded(content)
    return content


def _require_bounded(content: Any) -> None:
    waiting: list[tuple[Any, int]] = [(content, 0)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > _MOST_VALUES:
            raise ValueError(f"it stands for more than {_MOST_VALUES} values; expand its aliases")
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")
        if isinstance(value, dict):
            waiting.extend((part, depth + 1) for pair in value.items() for part in pair)
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend((part, depth + 1) for part in value)
        elif isinstance(value, str):
            _require_text(value)
        elif isinstance(value, int) and abs(value) >= _LARGEST_NUMBER:
            raise ValueError("a whole number has more than 64 bits; write a smaller one")


def _require_text(value: str) -> None:
    wrong = next((c for c in value if c == "\0" or "\ud800" <= c <= "\udfff"), None)
    if wrong is not None:
        raise ValueError(f"the text {value[:40]!r} has the character U+{ord(wrong):04X}")
