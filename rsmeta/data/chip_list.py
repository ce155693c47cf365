"""Chips from text lists with one line a chip: path, blank, label."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsmeta.data.assembling import assemble
from rsmeta.data.chips import ChipFiles, ChipSet, LabelledData
from rsmeta.data.photos import PhotoFiles
from rsmeta.errors import DataError
from rsmeta.recipe import ClassNames, ListData

_MOST_PROBLEMS = 20  # of a list; a wrong root makes one of every line

LARGEST_LABEL = 65_533
"""Class maps of 16 bits hold no more classes."""

_DIGITS = len(str(LARGEST_LABEL))
_WANTED = f"is not a path, a blank and a label from 0 to {LARGEST_LABEL}"


@dataclass(frozen=True)
class _Entry:
    """A line of a list: its number from 1, the chip's path and its label."""

    line: int
    path: Path
    label: int


def load_list(config: ListData, seed: int) -> LabelledData:
    """Chips of a training and a test list, in their order.

    Args:
        config: The recipe's section.
        seed: Seed of the long tail, where one is drawn.

    Raises:
        DataError: A list or the file of names cannot be read; one line for each line of a list
            that is malformed, has a label without a name or names a chip that does not exist.
    """
    if not config.root.is_dir():
        raise DataError(f"folder '{config.root}' does not exist (data.root)")
    entries = [_read_list(file, config.root) for file in (config.train, config.test)]
    names = class_names(config.class_names) if config.class_names else config.classes
    if names is None:
        labels = 1 + max(entry.label for entry in entries[0])
        names = [str(label) for label in range(labels)]
    for file, listed in zip((config.train, config.test), entries, strict=True):
        _raise_all(file, _problems(listed, names))
    train, test = (_chips(config, listed) for listed in entries)
    return assemble(config, train, test, names, seed)


def _chips(config: ListData, entries: Sequence[_Entry]) -> ChipSet:
    paths = [entry.path for entry in entries]
    labels = np.array([entry.label for entry in entries], dtype=np.int64)
    if config.photo is None:
        return ChipFiles(paths, labels, len(config.selected_bands), config.crop)
    return PhotoFiles(paths, labels, config.crop, config.photo)


def class_names(config: ClassNames) -> list[str]:
    """Read the class names, in the order of the labels.

    Raises:
        DataError: The file is missing, damaged, or names a class twice or not at all.
    """
    text = _read_text(config.file)
    if config.layout == "categories":
        names = _categories(config.file, text)
    else:
        names = [line.strip() for line in text.rstrip().splitlines()]
    if config.layout == "folder_name":
        names = [name.partition(" ")[2].strip() for name in names]
    if "" in names:
        raise DataError(
            f"class names '{config.file}': line {names.index('') + 1} has no name "
            f"(data.class_names.layout {config.layout})"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"class names '{config.file}': '{twice[0]}' stands twice")
    return names


def _categories(file: Path, text: str) -> list[str]:
    try:
        listed = [(int(entry["id"]), str(entry["name"])) for entry in json.loads(text)]
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise DataError(
            f"class names '{file}' are no categories.json: expected a list of objects with 'id' "
            "and 'name'"
        ) from error
    named = dict(listed)
    if len(named) < len(listed):
        raise DataError(f"class names '{file}': an 'id' stands twice")
    missing = sorted(set(range(len(named))) - set(named))
    if missing:
        raise DataError(f"class names '{file}': the 'id' {missing[0]} is missing")
    return [named[label] for label in range(len(named))]


def _read_text(file: Path) -> str:
    try:
        # Editors on Windows begin a file with a byte order mark.
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"file '{file}' does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"file '{file}' cannot be read as text: {error}") from error


def _read_list(file: Path, root: Path) -> list[_Entry]:
    entries, problems = [], []
    for number, line in enumerate(_read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        path, label = [*line.rsplit(maxsplit=1), ""][:2]
        if label.isdecimal() and len(label) <= _DIGITS and int(label) <= LARGEST_LABEL:
            entries.append(_Entry(number, root / path.strip(), int(label)))
        else:
            problems.append(f"line {number}: '{line}' {_WANTED}")
    _raise_all(file, problems)
    if not entries:
        raise DataError(f"list '{file}' names no chips; expected lines such as: ship/001.png 3")
    return entries


def _problems(entries: Sequence[_Entry], names: Sequence[str]) -> Iterator[str]:
    for entry in entries:
        if entry.label >= len(names):
            yield (
                f"line {entry.line}: label {entry.label} has no name; the {len(names)} classes "
                f"have labels 0 to {len(names) - 1}"
            )
        if not entry.path.is_file():
            yield f"line {entry.line}: chip '{entry.path}' does not exist"


def _raise_all(file: Path, problems: Iterator[str] | Sequence[str]) -> None:
    lines = [f"list '{file}', {problem}" for problem in problems]
    if len(lines) > _MOST_PROBLEMS:
        left = len(lines) - _MOST_PROBLEMS
        lines = [*lines[:_MOST_PROBLEMS], f"list '{file}': {left} more such lines"]
    if lines:
        raise DataError("\n".join(lines))
