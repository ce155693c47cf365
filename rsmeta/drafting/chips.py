"""A look at chips and scenes: bands, values, sizes, classes."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from rsmeta.bands import Band
from rsmeta.data.files import chip_paths, read_table
from rsmeta.data.statistics import BandAccumulator, BandSummary
from rsmeta.data.vector_labels import read_named_features
from rsmeta.errors import DataError
from rsmeta.rasters import data_indexes, open_raster, read_masked

_LOOKED_AT = 200
"""Chips that are opened, at most; spread over all of them."""

_EQUAL_AREA = "EPSG:6933"
"""EASE-Grid 2.0: areas are true everywhere, also where UTM has no zone."""

_TEST_SHARE = 0.2
_SPLIT_STREAM = 21
_COLUMNS = {
    "path_column": ("path", "file", "filename", "chip", "image"),
    "label_column": ("label", "class", "class_name", "category"),
    "split_column": ("split", "subset", "set", "partition"),
}


@dataclass(frozen=True)
class ChipListing:
    """Chips that were found.

    Attributes:
        section: Keys of the recipe's `data` that lead to them, without sensor and bands.
        paths: The chips.
        labels: Class of each.
        table: A table of them to write, where they come without a split; else None.
    """

    section: dict[str, Any]
    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    table: pd.DataFrame | None = None


def list_folder(folder: Path, table: Path, seed: int = 0) -> ChipListing:
    """Find chips in FOLDER/train/CLASS and FOLDER/test/CLASS, or in FOLDER/CLASS.

    Those of the second form are split here, class by class, at random; the table says how.

    Args:
        folder: The folder.
        table: Where the table of a split is to be written.
        seed: Seed of the split.

    Raises:
        DataError: There are no chips, or a class has too few of them to split.
    """
    if not folder.is_dir():
        raise DataError(f"chip folder '{folder}' does not exist; check the path")
    splits = folder / "train", folder / "test"
    if all(split.is_dir() for split in splits):
        paths = [path for split in splits for path in _rasters(split)]
        section: dict[str, Any] = {"source": "folder", "root": str(folder)}
        return ChipListing(section, tuple(paths), tuple(path.parent.name for path in paths))
    paths = _rasters(folder)
    labels = [path.parent.name for path in paths]
    few = [name for name, count in Counter(labels).items() if count < 2]
    if few:
        raise DataError(
            f"class '{few[0]}' of '{folder}' has one chip only; at least two are needed"
        )
    rows = {
        "path": [os.path.relpath(path, table.parent) for path in paths],
        "label": labels,
        "split": _split(labels, seed),
    }
    section = {"source": "table", "file": str(table)}
    return ChipListing(section, tuple(paths), tuple(labels), pd.DataFrame(rows))


def _rasters(folder: Path) -> list[Path]:
    paths = chip_paths(folder)
    if not paths:
        raise DataError(
            f"chip folder '{folder}' holds no chips; expected FOLDER/train/CLASS/*.tif and "
            "FOLDER/test/CLASS/*.tif, or FOLDER/CLASS/*.tif"
        )
    return paths


def _split(labels: Sequence[str], seed: int) -> list[str]:
    """A fifth of each class, at least one chip, to test with."""
    names = np.array(labels)
    split = np.full(len(names), "train", dtype=object)
    for number, name in enumerate(sorted(set(labels))):
        (members,) = np.nonzero(names == name)
        generator = np.random.default_rng([seed, _SPLIT_STREAM, number])
        count = max(1, round(_TEST_SHARE * len(members)))
        split[generator.permutation(members)[:count]] = "test"
    return [str(name) for name in split]


def list_table(file: Path) -> ChipListing:
    """Find chips in a CSV or Parquet table by the usual names of columns.

    Raises:
        DataError: The table or a column is missing, or it has no train and test split.
    """
    table = read_table(file)
    columns = {key: _column(file, table, key, names) for key, names in _COLUMNS.items()}
    splits = set(table[columns["split_column"]].astype(str))
    if not {"train", "test"} <= splits:
        raise DataError(
            f"table '{file}' has no rows with {columns['split_column']} 'train' or 'test'; it has "
            f"{', '.join(sorted(splits))}: name them so"
        )
    used = table[table[columns["split_column"]].isin(["train", "test"])]
    paths = tuple(file.parent / str(path) for path in used[columns["path_column"]])
    labels = tuple(str(label) for label in used[columns["label_column"]])
    return ChipListing({"source": "table", "file": str(file)} | columns, paths, labels)


def _column(file: Path, table: pd.DataFrame, key: str, names: Sequence[str]) -> str:
    found = next((name for name in names if name in table), None)
    if found is None:
        raise DataError(
            f"table '{file}' has no column for data.{key}; it has {', '.join(map(str, table))}: "
            f"name one of them {', '.join(names[:-1])} or {names[-1]}"
        )
    return found


def descriptions(path: Path) -> tuple[str, ...]:
    """What a raster calls its data bands; empty where it does not.

    Raises:
        DataError: It cannot be read.
    """
    with open_raster(path, DataError) as dataset:
        return tuple((dataset.descriptions[i - 1] or "").strip() for i in data_indexes(dataset))


def look_at_chips(
    paths: Sequence[Path], bands: Sequence[Band]
) -> tuple[tuple[BandSummary, ...], Counter[tuple[int, int]]]:
    """What some of the chips hold in each band, and how large they are (height, width).

    Raises:
        DataError: A chip cannot be read, or has another number of bands.
    """
    accumulator = BandAccumulator(bands)
    sizes: Counter[tuple[int, int]] = Counter()
    for place in np.unique(np.linspace(0, len(paths) - 1, _LOOKED_AT).astype(int)):
        with open_raster(paths[place], DataError) as dataset:
            values, _ = read_masked(dataset)
        if len(values) != len(bands):
            raise DataError(
                f"chip '{paths[place]}' has {len(values)} bands, others {len(bands)}; give chips "
                "with the same bands"
            )
        accumulator.add(values)
        sizes[values.shape[1:]] += 1
    return accumulator.summaries(), sizes


def look_at_labels(path: Path, column: str) -> tuple[Counter[str], float | None]:
    """Features of each class, and the median side of polygons in metres (None for points).

    Raises:
        DataError: The file or its column is missing, it has no CRS, or no feature has a class.
    """
    frame, names = read_named_features(path, None, column, "--class-column")
    usable = (names != "") & frame.geometry.notna().to_numpy()
    if not usable.any():
        raise DataError(
            f"labels '{path}': no feature has a class in the column '{column}'; fill it in, or "
            "name another one with --class-column"
        )
    areas = shapely.area(frame.geometry[usable].to_crs(_EQUAL_AREA).to_numpy())
    sides = np.sqrt(areas[areas > 0])
    return Counter(map(str, names[usable])), float(np.median(sides)) if len(sides) else None
