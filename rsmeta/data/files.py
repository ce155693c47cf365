"""Chips from folders and from tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsmeta.data.chips import ChipFiles, ChipSet, LabelledData, encode_labels
from rsmeta.data.long_tail_draw import ChipSubset, draw_long_tail
from rsmeta.errors import DataError
from rsmeta.recipe import FileData, FolderData, TableData

_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".vrt"})


@dataclass(frozen=True)
class Listing:
    """Paths of one split and the class name of each."""

    paths: list[Path]
    names: list[str]


def load_folder(config: FolderData, seed: int) -> LabelledData:
    """Chips in ROOT/SPLIT/CLASS/*, any raster format, sorted by name.

    Args:
        config: The recipe's section.
        seed: Seed of the long tail, where one is drawn.

    Raises:
        DataError: A folder is missing or empty, or a test class has no training chips.
    """
    train = _list_folder(config.root / config.train_split)
    test = _list_folder(config.root / config.test_split)
    return assemble(config, train, test, seed)


def _list_folder(folder: Path) -> Listing:
    if not folder.is_dir():
        raise DataError(f"chip folder '{folder}' does not exist; expected FOLDER/CLASS/*.tif")
    paths = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in _SUFFIXES)
    if not paths:
        raise DataError(f"chip folder '{folder}' holds no chips; expected FOLDER/CLASS/*.tif")
    return Listing(paths, [path.parent.name for path in paths])


def load_table(config: TableData, seed: int) -> LabelledData:
    """Chips listed in a table; paths in it are relative to its folder.

    Args:
        config: The recipe's section.
        seed: Seed of the long tail, where one is drawn.

    Raises:
        DataError: The table or a column is missing, or a split is empty.
    """
    table = _read_table(config.file)
    columns = [config.path_column, config.label_column, config.split_column]
    columns += [config.train_flag] if config.train_flag is not None else []
    for column in columns:
        if column not in table:
            raise DataError(
                f"table '{config.file}' has no column '{column}'; it has: "
                f"{', '.join(map(str, table.columns))}"
            )
    if table[columns[:3]].isna().any(axis=None):
        row = int(table[columns[:3]].isna().any(axis=1).to_numpy().argmax())
        raise DataError(f"table '{config.file}': row {row + 1} lacks a path, label or split")
    split = table[config.split_column].astype(str)
    in_train = split == config.train_split
    if config.train_flag is not None:
        in_train &= _flag(table[config.train_flag], config)
    train = _list_table(config, table[in_train], config.train_split)
    test = _list_table(config, table[split == config.test_split], config.test_split)
    return assemble(config, train, test, seed)


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"table '{path}' does not exist (data.file)")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        # Labels such as "NA" or "001" are names, not missing values or numbers.
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"table '{path}' cannot be read: {reason}") from error


def _flag(column: pd.Series, config: TableData) -> pd.Series:
    known = {"1": True, "true": True, "0": False, "false": False, "1.0": True, "0.0": False}
    flags = column.astype(str).str.lower().map(known)
    if flags.isna().any():
        value = column[flags.isna()].iloc[0]
        raise DataError(
            f"table '{config.file}': '{value}' in column '{column.name}' is no flag; "
            "allowed: 0, 1, true, false"
        )
    return flags.astype(bool)


def _list_table(config: TableData, rows: pd.DataFrame, split: str) -> Listing:
    if rows.empty:
        raise DataError(
            f"table '{config.file}' has no chips with {config.split_column} = '{split}'"
        )
    folder = config.file.parent
    paths = [folder / str(path) for path in rows[config.path_column]]
    return Listing(paths, [str(name) for name in rows[config.label_column]])


OpenFiles = Callable[[Sequence[Path], NDArray[np.int64], int, int | None], ChipSet]
"""Makes a chip set of paths, labels, number of bands and side of the crop, as `ChipFiles` does."""


def assemble(
    config: FileData,
    train: Listing,
    test: Listing,
    seed: int,
    classes: Sequence[str] | None = None,
    open_files: OpenFiles = ChipFiles,
) -> LabelledData:
    """Labelled data of listed files.

    Args:
        config: The recipe's section.
        train: Training chips.
        test: Test chips.
        seed: Seed of the long tail, where one is drawn.
        classes: Class names in order; None for those of the recipe or of the training chips.
        open_files: Makes the chip sets.

    Raises:
        DataError: A label is no class, or a class has no training chips.
    """
    classes = tuple(classes or config.classes or sorted(set(train.names)))
    bands = config.selected_bands
    sets = [
        open_files(
            listing.paths,
            encode_labels(listing.names, classes, listing.paths),
            len(bands),
            config.crop,
        )
        for listing in (train, test)
    ]
    train_set = sets[0]
    if config.imbalance is not None:
        labels = train_set.labels
        drawn = draw_long_tail(labels, config.imbalance, config.largest_class, seed)
        train_set = ChipSubset(train_set, drawn)
    data = LabelledData(train_set, sets[1], classes, bands)
    check_classes(data.train_counts.tolist(), classes)
    return data


def check_classes(counts: Sequence[int], classes: Sequence[str]) -> None:
    """Make sure that there is something to learn.

    Raises:
        DataError: A class has no training chips, or there is only one class.
    """
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(f"classes without training chips: {', '.join(empty)} (data.classes)")
    if len(classes) < 2:
        raise DataError(f"only one class, '{classes[0]}': there is nothing to tell apart")
