"""Which class is in which group: by its training chips, or as a file says."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsmeta.errors import DataError
from rsmeta.longtail.metrics import Group
from rsmeta.plain_yaml import read_yaml
from rsmeta.recipe import ClassGroups, LongTail

_LISTS = {"many_classes": Group.HEAD, "med_classes": Group.MEDIUM, "few_classes": Group.TAIL}


def class_groups(
    config: ClassGroups, classes: Sequence[str], counts: NDArray[np.int64]
) -> list[Group]:
    """The group of each class.

    Args:
        config: The recipe's section.
        classes: Class names.
        counts: Training chips of each class, (classes,).

    Raises:
        DataError: The file of groups cannot be read or does not have every class once.
    """
    if isinstance(config, LongTail):
        return assign_groups(counts, config)
    return read_groups(config.file, classes)


def assign_groups(counts: NDArray[np.int64], thresholds: LongTail) -> list[Group]:
    """The group of each class, from its training chips."""
    groups = []
    for count in counts.tolist():
        if count > thresholds.head_above:
            groups.append(Group.HEAD)
        elif count < thresholds.tail_below:
            groups.append(Group.TAIL)
        else:
            groups.append(Group.MEDIUM)
    return groups


def read_groups(file: Path, classes: Sequence[str]) -> list[Group]:
    """The group of each class from a file; classes that only the file has are passed over.

    Args:
        file: See `rsmeta.recipe.GroupFile`.
        classes: Class names.

    Raises:
        DataError: The file is missing or damaged, or does not have every class once.
    """
    try:
        is_yaml = file.suffix in (".yaml", ".yml")
        pairs = list(_yaml_pairs(file) if is_yaml else _csv_pairs(file))
    except FileNotFoundError as error:
        raise DataError(f"group file '{file}' does not exist (long_tail.file)") from error
    except (OSError, ValueError) as error:
        raise DataError(f"group file '{file}': {' '.join(str(error).split())}") from error
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise DataError(f"group file '{file}': class '{twice[0]}' stands twice")
    groups = dict(pairs)
    missing = [name for name in classes if name not in groups]
    if missing:
        raise DataError(f"group file '{file}' does not have the classes {', '.join(missing)}")
    return [groups[name] for name in classes]


def _csv_pairs(file: Path) -> Iterator[tuple[str, Group]]:
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    if not {"class", "group"} <= set(table):
        raise ValueError(f"needs the columns class and group; it has {', '.join(table)}")
    for line, (name, group) in enumerate(zip(table["class"], table["group"], strict=True), 2):
        if group not in set(Group):
            raise ValueError(f"line {line}: '{group}' is none of {', '.join(Group)}")
        yield name, Group(group)


def _yaml_pairs(file: Path) -> Iterator[tuple[str, Group]]:
    content = read_yaml(file)
    if not isinstance(content, dict) or set(content) != set(_LISTS):
        raise ValueError(f"must hold exactly the lists {', '.join(_LISTS)}")
    for key, group in _LISTS.items():
        names = [] if content[key] is None else content[key]
        if not isinstance(names, list):
            raise ValueError(f"'{key}' is no list of class names")
        yield from ((str(name), group) for name in names)
