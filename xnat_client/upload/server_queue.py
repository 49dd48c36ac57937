"""How much a server still has to do with what it received, as its prearchive tells.

A server that takes data faster than it can archive them seems quick until it stands still; so the
queue counts like a slow answer. Not here: what is done about it (``pace``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from xnat_client.address import path_of
from xnat_client.errors import XnatClientError
from xnat_client.listings import list_rows

if TYPE_CHECKING:
    from xnat_client.transport import Transport

_EVERY_S = 15.0
_AT_REST = frozenset({"READY", "ERROR", "CONFLICT"})
"""Statuses of sessions that wait for a person, not for the server (XNAT, PrearcStatus)."""


def queue_length(transport: Transport, projects: Iterable[str]) -> int:
    """Return how many sessions of some projects the server is receiving, building or archiving."""
    count = 0
    for project in projects:
        rows = list_rows(
            transport, path_of("data", "prearchive", "projects", project),
            doing=f"ask what waits in project {project}",
        )  # fmt: skip
        count += sum(row.get("status", "").upper() not in _AT_REST for row in rows)
    return count


class QueueWatch:
    """Asks for the queue now and then, in a thread of its own, until it is closed.

    Parameters
    ----------
    tell : callable
        Is given the length each time.
    every_s : float
        Seconds between two questions; the first comes after that time.
    """

    def __init__(
        self,
        transport: Transport,
        projects: Iterable[str],
        tell: Callable[[int], None],
        every_s: float = _EVERY_S,
    ) -> None:
        self._transport = transport
        self._projects = sorted(set(projects))
        self._tell = tell
        self._every_s = every_s
        self._closed = threading.Event()
        # A daemon, as all threads of an upload: a silent server must not hold up its end.
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()

    def join(self, timeout_s: float) -> None:
        """Wait, for so many seconds at most, until it asks no more."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            began = time.monotonic()
            try:
                length = queue_length(self._transport, self._projects)
            except XnatClientError:
                return  # not every account may look; the answers' times tell enough
            if self._closed.is_set():
                return
            self._tell(length)
            # A server that takes long to say so is not asked more often than it can bear.
            self._closed.wait(min(60.0, 10 * (time.monotonic() - began)))
