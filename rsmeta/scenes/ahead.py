"""Running an iterator in a thread, a bounded number of items ahead of who takes them."""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class _Failed:
    """What the thread ended with instead of its last item."""

    error: BaseException


class _End:
    """After the last item."""


@contextmanager
def ahead(items: Generator[T], depth: int) -> Iterator[Iterator[T]]:
    """Run a generator in a thread of its own while the items before are being worked on.

    The thread ends before the block does, also where not all items were taken: the generator
    is closed in the thread that ran it.

    Args:
        items: The generator.
        depth: Items that may wait, 1 or more.

    Yields:
        The same items in the same order; an error of the generator is raised in its place.
    """
    feed = _Feed(items, depth)
    thread = threading.Thread(target=feed.run, daemon=True)
    thread.start()
    try:
        yield feed.items()
    finally:
        feed.stop()
        thread.join()


class _Feed(Generic[T]):
    def __init__(self, items: Generator[T], depth: int) -> None:
        self._source = items
        self._queue: queue.Queue[T | _Failed | type[_End]] = queue.Queue(depth)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Body of the thread."""
        last: _Failed | type[_End] = _End
        try:
            for item in self._source:
                if not self._put(item):
                    break
        except BaseException as error:  # noqa: BLE001  raised where the item would be taken
            last = _Failed(error)
        finally:
            self._source.close()
        self._put(last)

    def stop(self) -> None:
        """Let the thread end after the item it is working on."""
        self._stopped.set()

    def items(self) -> Iterator[T]:
        """Take the items; to be called once."""
        while True:
            item = self._queue.get()
            if item is _End:
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]  # neither an end nor a failure is left

    def _put(self, item: T | _Failed | type[_End]) -> bool:
        """Wait for room; False if nobody takes items any more."""
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False
