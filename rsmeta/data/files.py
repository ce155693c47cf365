"""Chips from folders and from tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException

from rsmeta.data.assembling import assemble
from rsmeta.data.chips import ChipFiles, ChipSet, LabelledData, encode_labels, unknown_label
from rsmeta.data.problems import ChipProblem, Split
from rsmeta.errors import DataError
from rsmeta.rasters import reason
from rsmeta.recipe import FolderData, TableData

_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".vrt"})


@dataclass(frozen=True)
class _Listing:
    """Paths of one split and the class name of each."""

    paths: list[Path]
    names: list[str]


def load_folder(config: FolderData, seed: int) -> LabelledData:
    """Chips in ROOT/SPLIT/CLASS/*, any raster format, sorted by name.

    Args:
        config: The recipe's section.
        seed: Seed of the long tail, where one is drawn.

    Raises:
        DataError: A folder is missing or empty.
    """
    train = _list_folder(config.root / config.train_split)
    test = _list_folder(config.root / config.test_split)
    return _assemble(config, train, test, seed)


def _list_folder(folder: Path) -> _Listing:
    if not folder.is_dir():
        raise DataError(f"chip folder '{folder}' does not exist; expected FOLDER/CLASS/*.tif")
    paths = chip_paths(folder)
    if not paths:
        raise DataError(f"chip folder '{folder}' holds no chips; expected FOLDER/CLASS/*.tif")
    return _Listing(paths, [path.parent.name for path in paths])


def chip_paths(folder: Path) -> list[Path]:
    """Files of chips in FOLDER/CLASS/*, sorted; no hidden ones.

    Hidden are the copies of chips that Jupyter (.ipynb_checkpoints) and macOS (._name) make.
    """
    return sorted(
        path
        for path in folder.glob("[!.]*/[!.]*")
        if path.suffix.lower() in _SUFFIXES and path.is_file()
    )


def load_table(config: TableData, seed: int) -> LabelledData:
    """Chips listed in a table; paths in it are relative to its folder.

    Args:
        config: The recipe's section.
        seed: Seed of the long tail, where one is drawn.

    Raises:
        DataError: The table or a column is missing, or a split is empty.
    """
    table = read_table(config.file)
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
    return _assemble(config, train, test, seed)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of chips; of a CSV, everything as text.

    Raises:
        DataError: The table is missing or cannot be read.
    """
    if not path.is_file():
        raise DataError(f"table '{path}' does not exist (data.file)")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        # Labels such as "NA" or "001" are names, not missing values or numbers.
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(f"table '{path}' cannot be read: {reason(error)}") from error


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


def _list_table(config: TableData, rows: pd.DataFrame, split: str) -> _Listing:
    if rows.empty:
        raise DataError(
            f"table '{config.file}' has no chips with {config.split_column} = '{split}'"
        )
    folder = config.file.parent
    paths = [folder / str(path) for path in rows[config.path_column]]
    return _Listing(paths, [str(name) for name in rows[config.label_column]])


def _assemble(
    config: FolderData | TableData, train: _Listing, test: _Listing, seed: int
) -> LabelledData:
    classes = tuple(config.classes or sorted(set(train.names)))
    bands = len(config.selected_bands)
    rejected: list[ChipProblem] = []
    sets: list[ChipSet] = []
    splits: tuple[tuple[Split, _Listing], ...] = (("train", train), ("test", test))
    for split, listing in splits:
        known, unknown = _sort_out(listing, classes, split)
        labels = encode_labels(known.names, classes, known.paths)
        sets.append(ChipFiles(known.paths, labels, bands, config.crop))
        rejected += unknown
    return assemble(config, sets[0], sets[1], classes, seed, rejected)


def _sort_out(
    listing: _Listing, classes: Sequence[str], split: Split
) -> tuple[_Listing, list[ChipProblem]]:
    """Part chips with a label of the class list from the others."""
    known = _Listing([], [])
    unknown = []
    for path, name in zip(listing.paths, listing.names, strict=True):
        if name in classes:
            known.paths.append(path)
            known.names.append(name)
        else:
            unknown.append(ChipProblem(str(path), split, name, unknown_label(path, name, classes)))
    return known, unknown
