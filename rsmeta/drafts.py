"""Runs in the making: hidden folders that take their final name when all is written."""

import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rsmeta.errors import RunError, TrainingError
from rsmeta.train.checkpoint import CHECKPOINT

LATEST = "latest"
_SUFFIX = ".partial"
_LOGGER = logging.getLogger(__name__)


@contextmanager
def new_run(root: Path, name: str) -> Iterator[Path]:
    """A folder to write a run into; it appears under its final name when the block ends well.

    Until then, and for good if the block fails, `root` keeps its runs and `latest` as they were.
    If the block fails after training wrote a checkpoint, the hidden folder stays, and
    `unfinished_run` goes on with it.

    Args:
        root: Folder of runs, made if missing.
        name: Start of the run's name; date and time follow.

    Yields:
        A hidden folder. The run's final path is `final_path(folder)`.

    Raises:
        RunError: The folder cannot be written.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    draft = root / f".{name}-{stamp}{_SUFFIX}"
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise RunError(
            f"run folder '{root}' cannot be written: {error.strerror}; set 'runs' to another"
        ) from error
    with _finishing(draft):
        yield draft


@contextmanager
def unfinished_run(run: Path) -> Iterator[Path]:
    """The hidden folder of a run that was begun, to go on writing into; see `new_run`.

    Args:
        run: The run's final path, or the hidden folder itself.

    Raises:
        RunError: There is no such unfinished run, or another process is at it.
    """
    draft = hidden_folder(run)
    if not draft.is_dir():
        if run.is_dir() and not _unfinished(run):
            raise RunError(f"run '{run}' is finished already; predict with it: --run {run}")
        folder = run if run.is_dir() else run.parent
        known = ", ".join(str(final_path(path)) for path in _unfinished(folder)) or "none"
        raise RunError(f"'{run}' is not an unfinished run; unfinished in '{folder}': {known}")
    with _finishing(draft):
        yield draft


def final_path(draft: Path) -> Path:
    """Where a folder of `new_run` will be found."""
    return draft.with_name(draft.name.removeprefix(".").removesuffix(_SUFFIX))


def hidden_folder(run: Path) -> Path:
    """Where a run, by its final path or this very folder, is while it is unfinished."""
    return run if run.name.endswith(_SUFFIX) else run.with_name(f".{run.name}{_SUFFIX}")


def _unfinished(root: Path) -> list[Path]:
    return sorted(path for path in root.glob(f".*{_SUFFIX}") if path.is_dir())


@contextmanager
def _finishing(draft: Path) -> Iterator[None]:
    """Give the folder its final name when the block ends well; one process at a time."""
    final = final_path(draft)
    file = draft.with_name(f".{final.name}.lock")
    resumable = False
    how = f"rsmeta finetune --resume {shlex.quote(str(final))}"
    try:
        with FileLock(file, blocking=False):
            try:
                yield
                draft.rename(final)
                (final / CHECKPOINT).unlink(missing_ok=True)
                _point_latest_at(final)
            finally:
                resumable = (draft / CHECKPOINT).is_file()
                if not resumable:
                    shutil.rmtree(draft, ignore_errors=True)
                file.unlink(missing_ok=True)
    except Timeout as error:
        raise RunError(f"run '{final}' is being written by another process; wait for it") from error
    except OSError as error:
        mended = f"; mend that and go on with: {how}" if resumable else ""
        raise RunError(f"run '{final}' cannot be written: {error}{mended}") from error
    except TrainingError:
        raise  # it would fail again
    except BaseException:
        if resumable:
            _LOGGER.warning("the run is unfinished; go on with: %s", how)
        raise


def _point_latest_at(run: Path) -> None:
    link = run.parent / f".{LATEST}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(run.name, target_is_directory=True)
    link.replace(run.parent / LATEST)
