"""Threads that do transfers. They are daemons: a silent server must not hold up an interruption.

Not here: how many requests may be in flight (``pace``).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Workers:
    """A fixed number of daemon threads that take work in order.

    Parameters
    ----------
    count : int
        Threads.
    name : str
        What the threads are called.
    """

    def __init__(self, count: int, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True)
            for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have a piece of work done; return what will hold its result."""
        future: Future[T] = Future()

        def do() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
                future.set_exception(error)

        self._queue.put(do)
        return future

    def close(self) -> None:
        """Let the threads end after the work that waits."""
        for _ in self._threads:
            self._queue.put(None)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
