"""What a killed prediction leaves behind for the next one: the results of its finished units."""

import os
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Self

import numpy as np
from filelock import FileLock, Timeout

from rsmeta.errors import SceneError
from rsmeta.scenes.products import writing
from rsmeta.scenes.work import UnitResult

_LOCK = "lock"
_FIELDS = ("row", "column", "valid_fraction", "probabilities", "valid")
# Whatever of a compressed file is damaged, zipfile, zlib or numpy meet it first.
_DAMAGED = (
    OSError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)


class Journal:
    """Finished units of one scene, in a hidden folder beside its products; a context manager.

    The folder is the scene's, and locked while the block runs. In it lies a folder named after
    the key of the work; those of other keys are removed, for their results are of another model,
    scene or grid. Units are complete or not there: they are renamed when written.

    When the block ends with units in the journal they stay, until `remove`.

    Args:
        out_dir: Folder of the products, made if missing.
        name: Name of the scene.
        key: What determines the results, see `rsmeta.scenes.fingerprints`.

    Raises:
        SceneError: Another process predicts the scene to this folder, or it cannot be written.
    """

    def __init__(self, out_dir: Path, name: str, key: str) -> None:
        self._folder = out_dir / f".rsmeta-{name}"
        self._units = self._folder / key
        self.stage = self._units / "products"
        """Where products are written until they are complete; empty at the start."""
        self._lock = FileLock(self._folder / _LOCK)

    def __enter__(self) -> Self:
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as cause:
                raise SceneError(
                    f"'{self._folder}' is in use: another process predicts this scene to the same "
                    "folder; wait for it or choose another --out"
                ) from cause
            try:
                self._clear()
            except OSError:
                self._lock.release()
                raise
        return self

    def _clear(self) -> None:
        """Remove the units of other keys and an unfinished stage."""
        for entry in self._folder.iterdir():
            if entry.is_dir() and entry != self._units:
                shutil.rmtree(entry)
        shutil.rmtree(self.stage, ignore_errors=True)
        self.stage.mkdir(parents=True)

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.stage, ignore_errors=True)
        if not any(self._units.glob("*.npz")):
            self.remove()
        self._lock.release()

    def __contains__(self, rows: range) -> bool:
        return self._file(rows).is_file()

    def load(self, rows: range) -> UnitResult:
        """Result of a unit that is in the journal.

        Raises:
            SceneError: The file is damaged.
        """
        try:
            with np.load(self._file(rows), allow_pickle=False) as stored:
                return UnitResult(**{name: stored[name] for name in _FIELDS})
        except _DAMAGED as cause:
            raise SceneError(
                f"'{self._file(rows)}' of an earlier prediction is damaged; delete "
                f"'{self._folder}' and predict the scene anew"
            ) from cause

    def store(self, rows: range, result: UnitResult) -> None:
        """Add the result of a unit.

        Raises:
            SceneError: It cannot be written.
        """
        draft = self._file(rows).with_suffix(".draft")
        with writing(draft):
            with draft.open("wb") as file:
                np.savez_compressed(file, **{name: getattr(result, name) for name in _FIELDS})
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file(rows))

    def remove(self) -> None:
        """Remove the folder: the products are complete, or nobody can go on from here."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def remove_leftover(self) -> None:
        """Remove what is there of a scene whose products are complete, unless it is in use.

        A prediction that is killed right after its last product leaves its journal behind.
        """
        if not self._folder.is_dir():
            return
        try:
            with self._lock.acquire(timeout=0):
                self.remove()
        except Timeout:
            return

    def _file(self, rows: range) -> Path:
        return self._units / f"{rows.start:06d}-{rows.stop:06d}.npz"
