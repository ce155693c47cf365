"""Units of scenes, or whole scenes, done by Ray actors on this machine or on many."""

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from rsmeta.errors import EngineError, RsmetaError, SceneError
from rsmeta.scenes.classifier import TileClassifier
from rsmeta.scenes.engines import Loader
from rsmeta.scenes.work import SceneWork, UnitResult, classify_unit

_LOGGER = logging.getLogger(__name__)

# One reads while the other's batch is with the model.
_TASKS_PER_WORKER = 2
_WAITING_PER_WORKER = 4
_RETRIES = 4
_START_MINUTES = 15
_SILENCE_SECONDS = 600
_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10

Task = Callable[..., Any]


@dataclass(frozen=True)
class RayCluster:
    """Which Ray cluster does the work, and what of it each worker takes.

    Attributes:
        address: Of the cluster, as for `ray.init`: `auto` for one that runs, HOST:PORT of its
            head, `local` for a new one on this machine; None for that of RAY_ADDRESS, else one
            that runs on this machine, else a new one.
        cpus: Processor cores of a worker, more than 0.
        gpus: GPUs of a worker, 0 or more, or a fraction of one that several workers share.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus <= 0 or self.gpus < 0:
            raise SceneError(
                f"{self.cpus:g} CPUs and {self.gpus:g} GPUs a worker are not allowed: CPUs are "
                "more than 0, GPUs 0 or more"
            )


class RayWorkers:
    """An engine of Ray actors, each with a model of its own; a context manager.

    Ray restarts an actor that dies, on another machine if need be, and repeats what it was doing.
    Units of several scenes may be asked for at a time, each scene by a thread of its own.

    A connection to Ray that is there already is used, whatever the address; else one is made, and
    ended at the end of the block.

    Args:
        loader: Loads the model in each actor; it is sent to them, so that they need no files.
        workers: Number of actors; those that the cluster has no room for join when it has.
        cluster: The cluster.

    Raises:
        SceneError: Ray is not installed, the cluster is not there, or there are too few workers.
    """

    def __init__(self, loader: Loader, workers: int, cluster: RayCluster | None = None) -> None:
        if workers < 1:
            raise SceneError(f"{workers} workers are too few; allowed: 1 or more")
        cluster = cluster or RayCluster()
        self._connected_here = _connect(cluster.address)
        import ray

        self.workers = workers
        self._changed = threading.Condition()
        self._free: deque[Any] = deque()
        self._failure: EngineError | None = None
        self._started = False
        worker = ray.remote(_Worker).options(
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
            max_restarts=-1,
            max_task_retries=_RETRIES,
            max_concurrency=_TASKS_PER_WORKER,
        )
        # Kept as long as actors may be restarted: Ray deletes what nobody holds.
        self._loader = [ray.put(loader)]
        self._actors = [worker.remote(str(Path.cwd())) for _ in range(workers)]
        for actor in self._actors:
            actor.load.remote(self._loader).future().add_done_callback(partial(self._join, actor))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the actors at once, with what they are doing."""
        import ray

        with self._changed:
            self._failure = EngineError("the Ray workers were ended")
            actors, self._actors = self._actors, []
            self._changed.notify_all()
        for actor in actors:
            ray.kill(actor)
        if actors and self._connected_here:
            ray.shutdown()

    def run(self, work: SceneWork, units: Sequence[range]) -> Generator[UnitResult]:
        """Yield the result of each unit; see `Engine`.

        Raises:
            EngineError: The workers cannot start, or die again and again.
        """
        rest = iter(units)
        waiting: deque[Future[UnitResult]] = deque()
        while True:
            for rows in islice(rest, _WAITING_PER_WORKER * self.workers - len(waiting)):
                waiting.append(self.submit(_classify, work, rows))
            if not waiting:
                return
            yield self.result(waiting.popleft())

    def submit(self, task: Task, *arguments: Any) -> "Future[Any]":
        """Let a worker do something as soon as one has nothing to do.

        Args:
            task: Called with the worker's model and the arguments; can be pickled.
            arguments: Can be pickled.

        Returns:
            What `result` waits for.

        Raises:
            EngineError: The workers cannot start.
        """
        with self._changed:
            self._wait_for_start()
            while not self._free and self._failure is None:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            actor = self._free.popleft()
            future: Future[Any] = actor.do.remote(self._loader, task, *arguments).future()
        future.add_done_callback(lambda _: self._release(actor))
        return future

    def result(self, future: "Future[Any]") -> Any:
        """Wait for what a worker does.

        Raises:
            EngineError: The workers have died.
            RsmetaError: Raised by the task.
        """
        from ray.exceptions import RayError, RayTaskError

        polls = 0
        while True:
            try:
                return future.result(timeout=_POLL_SECONDS)
            except RayTaskError as error:
                if isinstance(error.cause, RsmetaError):
                    raise error.cause from None
                raise
            except RayError as error:
                raise EngineError(_died(error)) from error
            except TimeoutError:
                if self._failure is not None:
                    raise self._failure from None
            polls += 1
            if polls % int(_SILENCE_SECONDS / _POLL_SECONDS) == 0:
                _LOGGER.warning(
                    "no result of the Ray workers for %d minutes; `ray status` tells what the "
                    "cluster lacks",
                    polls * _POLL_SECONDS // 60,
                )

    def _wait_for_start(self) -> None:
        """Wait until the first actor has loaded its model, or none will."""
        hint = "`ray status` tells what the cluster has, and what is asked of it"
        for minute in range(_START_MINUTES):
            if self._changed.wait_for(lambda: self._started or self._failure is not None, 60):
                return
            if minute == 0:
                _LOGGER.warning("no Ray worker has started yet; %s", hint)
        self._failure = EngineError(
            f"no Ray worker has started within {_START_MINUTES} minutes; {hint}"
        )

    def _join(self, actor: Any, ready: "Future[None]") -> None:
        """An actor has loaded its model, or cannot."""
        error = ready.exception()
        with self._changed:
            if error is None:
                self._started = True
                self._free.extend([actor] * _TASKS_PER_WORKER)
            elif self._failure is None:
                self._failure = EngineError(_died(error))
            self._changed.notify_all()

    def _release(self, actor: Any) -> None:
        with self._changed:
            self._free.append(actor)
            self._changed.notify()


class _Worker:
    """What runs in an actor.

    The model comes with what is done first, not with the constructor: Ray prints a warning of
    large arguments there. Its loader is referred to in a list, or Ray would fetch it each time.
    """

    def __init__(self, folder: str) -> None:
        # Relative paths then mean what they mean to the user, where machines share the folder.
        with suppress(OSError):
            os.chdir(folder)
        self._lock = threading.Lock()
        self._classifier: TileClassifier | None = None

    def load(self, loader: list[Any]) -> None:
        """Load the model."""
        self._loaded(loader)

    def do(self, loader: list[Any], task: Task, *arguments: Any) -> Any:
        """Call a task with the model."""
        return task(self._loaded(loader), *arguments)

    def _loaded(self, loader: list[Any]) -> TileClassifier:
        import ray

        with self._lock:
            if self._classifier is None:
                load: Loader = ray.get(loader[0])
                self._classifier = load()
            return self._classifier


def _classify(classifier: TileClassifier, work: SceneWork, rows: range) -> UnitResult:
    return classify_unit(work, classifier, rows)


def _connect(address: str | None) -> bool:
    """Connect to Ray unless there is a connection; whether one was made.

    Raises:
        SceneError: Ray is not installed, or there is no cluster at this address.
    """
    try:
        import ray
    except ImportError as error:
        raise SceneError("the engine 'ray' needs Ray: pip install 'rsmeta[ray]'") from error
    if ray.is_initialized():
        return False
    try:
        _knock(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise SceneError(
            f"no Ray cluster answers at address '{address}': {_line(error)}; start one with `ray "
            "start --head` or `ray up`, or leave the address out for one on this machine"
        ) from error
    return True


def _knock(address: str | None) -> None:
    """Make sure that something listens at HOST:PORT: Ray would try for minutes.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = (address or "").rpartition(":")
    if port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()


def _died(error: BaseException) -> str:
    return (
        f"Ray workers died or could not start, perhaps for lack of memory: {_line(error)}; rsmeta "
        "must be installed on all machines; the same command continues where it stopped"
    )


def _line(error: BaseException) -> str:
    """The last line of a message: Ray's begin with where, and end with why."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
