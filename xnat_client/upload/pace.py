"""How many requests are in flight: more while the server is quick, half when it is in trouble.

Additive increase, multiplicative decrease, as in TCP's congestion avoidance (Chiu and Jain 1989,
Computer Networks and ISDN Systems 17:1-14; RFC 5681, section 3.1). Not here: the requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BYTES_PER_UNIT = 4 << 20
"""A request of this size may take twice as long as an empty one before it counts as slow."""
_SLOW_FACTOR = 8.0
_LEAST_SLOW_S = 2.0
"""Below this, a slow answer says more of this machine than of the server."""
_SMOOTHING = 0.1


class StoppedError(Exception):
    """The upload is being interrupted."""


class Pace:
    """A limit on requests in flight that adapts itself; safe to use from several threads.

    Parameters
    ----------
    most : int
        Never more than this at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(max(1, (most + 1) // 2))
        self._in_flight = 0
        self._usual_s = 0.0
        self._since_cut = most
        self._condition = threading.Condition()
        self._stopped = False

    @property
    def limit(self) -> int:
        """Return how many requests may be in flight now."""
        return int(self._limit)

    @property
    def is_stopped(self) -> bool:
        """Return whether the upload is being interrupted."""
        return self._stopped

    def stop(self) -> None:
        """Let nobody begin any more."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def check(self) -> None:
        """Raise ``StoppedError`` after ``stop``."""
        if self._stopped:
            raise StoppedError

    @contextmanager
    def slot(self, size_bytes: int = 0) -> Iterator[None]:
        """Wait until one more request may be sent; learn from how long it takes."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopped or self._in_flight < self.limit)
            self.check()
            self._in_flight += 1
        began = time.monotonic()
        done = False
        try:
            yield
            done = True
        finally:
            with self._condition:
                self._in_flight -= 1
                if done:
                    self._learn((time.monotonic() - began) / (1 + size_bytes / _BYTES_PER_UNIT))
                self._condition.notify_all()

    def trouble(self) -> None:
        """Note that the server was too busy, or a connection broke: halve the limit."""
        with self._condition:
            self._cut()
        self.check()

    def _learn(self, took_s: float) -> None:
        self._since_cut += 1
        if self._usual_s and took_s > max(_LEAST_SLOW_S, _SLOW_FACTOR * self._usual_s):
            self._cut()
        else:
            self._limit = min(float(self._most), self._limit + 1 / self._limit)
        self._usual_s += (took_s - self._usual_s) * (_SMOOTHING if self._usual_s else 1)

    def _cut(self) -> None:
        # Requests that were already in flight met the same trouble: it counts once.
        if self._since_cut < self._limit:
            return
        self._since_cut = 0
        self._limit = max(1.0, self._limit / 2)
