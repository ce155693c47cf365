"""Files that are complete or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write; it takes its final name when the block ends well, else it is removed.

    Several processes may write the same file: the last one stays.

    Args:
        path: The final name; its folder is made if missing. What is there already stays until then.

    Yields:
        A hidden name beside it, with the same suffix.

    Raises:
        OSError: The folder cannot be made, or the file cannot be renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
