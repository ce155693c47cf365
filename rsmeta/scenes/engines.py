"""Who does the units of a scene: this process, or several processes of this machine."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from itertools import islice
from typing import Protocol, Self, cast

from rsmeta.errors import EngineError, SceneError
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.work import SceneWork, UnitResult, classify_unit, classify_units

Loader = Callable[[], TileClassifier]

_WAITING_PER_WORKER = 2


class Engine(Protocol):
    """Does units of scenes; whichever does them, the results are the same."""

    def run(self, work: SceneWork, units: Sequence[range]) -> Generator[UnitResult]:
        """Yield the result of each unit, in the order given.

        Args:
            work: The scene.
            units: Tile rows of each unit.

        Raises:
            SceneError: As `classify_units`.
            EngineError: The engine broke down.
        """
        ...


class ThisProcess:
    """Does units one after the other, reading ahead.

    Args:
        classifier: The model.
    """

    def __init__(self, classifier: TileClassifier) -> None:
        self._classifier = classifier

    def run(self, work: SceneWork, units: Sequence[range]) -> Generator[UnitResult]:
        """Yield the result of each unit; see `Engine`."""
        yield from classify_units(work, self._classifier, units)


class Processes:
    """Does units in several processes, each with a model of its own; a context manager.

    Units of several scenes may be asked for at a time, each scene by a thread of its own.

    Args:
        loader: Loads the model in each process: can be pickled and hashed.
        workers: Number of processes.
    """

    def __init__(self, loader: Loader, workers: int) -> None:
        if workers < 1:
            raise SceneError(f"{workers} workers are too few; allowed: 1 or more")
        self._loader = loader
        self._workers = workers
        self._pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes after the units that they have begun."""
        self._pool.shutdown(cancel_futures=True)

    def run(self, work: SceneWork, units: Sequence[range]) -> Generator[UnitResult]:
        """Yield the result of each unit; see `Engine`."""
        rest = iter(units)
        waiting: deque[Future[UnitResult]] = deque()
        try:
            for rows in islice(rest, _WAITING_PER_WORKER * self._workers):
                waiting.append(self._pool.submit(_classify, self._loader, work, rows))
            while waiting:
                result = waiting.popleft().result()
                for rows in islice(rest, 1):
                    waiting.append(self._pool.submit(_classify, self._loader, work, rows))
                yield result
        except BrokenProcessPool as cause:
            raise EngineError(
                f"one of {self._workers} worker processes ended unexpectedly, perhaps for lack of "
                "memory; the same command continues where it stopped, with fewer --workers if need "
                "be"
            ) from cause
        finally:
            for future in waiting:
                future.cancel()


def _classify(loader: Loader, work: SceneWork, rows: range) -> UnitResult:
    return classify_unit(work, _loaded(cast("Hashable", loader)), rows)


@lru_cache(maxsize=1)
def _loaded(loader: Hashable) -> TileClassifier:
    """The model of this process, loaded with its first unit."""
    return cast("Loader", loader)()


def _end_with_parent() -> None:
    """Set a worker up: it leaves Ctrl-C to the parent, and does not outlive one that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
