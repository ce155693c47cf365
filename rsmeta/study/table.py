"""The results of a study on disk: one row a finished cell, and the modulators it ended with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from rsmeta.errors import StudyError
from rsmeta.study.cells import Cell, digest, present_record
from rsmeta.study.columns import (
    ALL_PASSES,
    KEY,
    PASSES,
    PATTERN,
    RECORD,
    SEED,
    SOURCE,
    VARIANT,
)

_MODULATORS = [KEY, "block", "position", "gamma"]


class StudyTable:
    """Finished cells, kept in two CSV files that are never left half-written.

    Every row has its whole recipe, so that results stay good when recipes gain settings. Several
    processes may fill one table: each cell is run by the one that claims it, and what the others
    have added is read again before anything is written.

    Args:
        folder: Where the files are.
        name: Name of the study, which starts theirs.

    Raises:
        StudyError: A file is damaged.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.results_file = folder / f"{name}.csv"
        self.modulators_file = folder / f"{name}_modulators.csv"
        self._locks = folder / f".{name}_locks"
        self.refresh()

    def refresh(self) -> None:
        """Take what is on disk now.

        Raises:
            StudyError: A file is damaged.
        """
        self.results = _read(self.results_file, [KEY, PASSES, RECORD, SOURCE, PATTERN])
        self.modulators = _read(self.modulators_file, _MODULATORS)
        keys = _present_keys(self.results)
        self.results[KEY] = self.results[KEY].replace(keys)
        self.results[SOURCE] = self.results[SOURCE].replace(keys)
        self.modulators[KEY] = self.modulators[KEY].replace(keys)

    def done(self, cell: Cell) -> bool:
        """Whether a cell has been run."""
        return cell.key in set(self.results[KEY])

    @contextmanager
    def claim(self, work: str) -> Iterator[bool]:
        """Keep other processes from a piece of work meanwhile, and see what they have finished.

        Args:
            work: Name of the work, which can be one of a file.

        Yields:
            Whether it is this process's; False where another one is at it.

        Raises:
            StudyError: The folder of the results cannot be written, or a file in it is damaged.
        """
        lock = self._lock(work)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise _not_written(self._locks, error) from error
        try:
            self.refresh()
            yield True
        finally:
            lock.release()

    def _lock(self, name: str) -> FileLock:
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_written(self._locks, error) from error
        return FileLock(self._locks / name)

    def gamma(self, cell: Cell) -> pd.DataFrame:
        """The modulators a finished cell ended with: block, position, gamma."""
        rows = self.modulators[self.modulators[KEY] == cell.key]
        return rows[["block", "position", "gamma"]]

    def add(self, cell: Cell, result: dict[str, Any], modulators: pd.DataFrame) -> None:
        """Write down a finished cell."""
        row = {KEY: cell.key, VARIANT: cell.variant, **cell.levels, SEED: cell.seed, **result}
        source = "" if cell.source is None else cell.source.key
        row |= {SOURCE: source, PATTERN: cell.pattern, RECORD: cell.record}
        found = modulators.assign(**{KEY: cell.key})[_MODULATORS]
        with self._lock("table"):
            self.refresh()
            self.results = _appended(self.results, pd.DataFrame([row]))
            self.modulators = _appended(self.modulators, found)
            # The modulators first: a cell counts as done once it is among the results.
            _write(self.modulators_file, self.modulators)
            _write(self.results_file, self.results)

    def of(self, cells: list[Cell]) -> pd.DataFrame:
        """The results of these cells alone, in their order and by their names.

        Cells of one key, such as the winners of two searches, share a result. Missing ones are
        left out. The column `passes_with_search` is what the result has cost in all.
        """
        rows = self.results.drop(columns=[VARIANT, SEED], errors="ignore").set_index(KEY)
        found = [
            {KEY: cell.key, VARIANT: cell.variant, **rows.loc[cell.key], **cell.levels}
            | {SEED: cell.seed, ALL_PASSES: rows.loc[cell.key][PASSES] + cell.search_passes}
            for cell in cells
            if cell.key in rows.index
        ]
        return pd.DataFrame(found)


def _present_keys(results: pd.DataFrame) -> dict[str, str]:
    """The keys that this version gives to the cells of a table, by the keys in the table."""
    keys: dict[str, str] = {}
    for _, row in results.iterrows():  # a cell stands after the one it takes its modulators from
        record = present_record(row[RECORD])
        if record is not None:
            source = keys.get(row[SOURCE], row[SOURCE])
            keys[row[KEY]] = digest(record, source, row[PATTERN])
    return keys


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame({name: pd.Series(dtype=str) for name in columns})
    try:
        texts = {KEY: str, SOURCE: str, PATTERN: str, RECORD: str}
        table = pd.read_csv(path, dtype=texts)
        table = table.fillna({SOURCE: "", PATTERN: ""})
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(f"results '{path}' cannot be read: {reason}") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise StudyError(f"results '{path}' have no column '{missing[0]}'; restore or remove them")
    for name in [column for column in (KEY, RECORD) if column in columns]:
        empty = table.index[table[name].isna()]
        if len(empty):
            raise StudyError(
                f"results '{path}' are damaged: row {empty[0] + 1} has no '{name}'; restore or "
                "remove them"
            )
    return table


def _appended(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    return rows if table.empty else pd.concat([table, rows], ignore_index=True)


def _write(path: Path, table: pd.DataFrame) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(partial, index=False, lineterminator="\n", float_format="%.6g")
        partial.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> StudyError:
    return StudyError(f"results '{path}' cannot be written: {error.strerror}")
