"""What all senders of one upload share, and how far it is.

Not here: drawing bars or writing events (``cli``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xnat_client.transport import Transport
    from xnat_client.upload.ledger import Ledger
    from xnat_client.upload.pace import Pace
    from xnat_client.upload.receiver import Receiver
    from xnat_client.upload.state import UploadState
    from xnat_client.upload.workers import Workers


@dataclass(frozen=True, slots=True)
class Totals:
    """How far an upload is: bytes sent or found on the server, of all; bytes that travelled.

    ``server_queue`` is the number of sessions that the server is still working on; None if that is
    not known.
    """

    done_bytes: int
    total_bytes: int
    sent_bytes: int
    server_queue: int | None = None


class SendProgress:
    """Counts bytes from several threads.

    Parameters
    ----------
    total_bytes : int
        Of the whole upload.
    show : callable or None
        Is given ``Totals`` after each change.
    """

    def __init__(self, total_bytes: int, show: Callable[[Totals], None] | None = None) -> None:
        self._total = total_bytes
        self._done = 0
        self._sent = 0
        self._queue: int | None = None
        self._show = show
        self._lock = threading.Lock()

    @property
    def totals(self) -> Totals:
        """Return how far it is."""
        # Headers of archives are no content.
        return Totals(min(self._done, self._total), self._total, self._sent, self._queue)

    def held(self, size_bytes: int) -> None:
        """Count bytes that need not travel."""
        self._count(size_bytes, 0)

    def queue(self, length: int) -> None:
        """Note how many sessions the server is working on."""
        self._queue = length
        self._count(0, 0)

    def counter(self) -> RequestCounter:
        """Return a counter for one request."""
        return RequestCounter(self._count)

    def _count(self, done: int, sent: int) -> None:
        with self._lock:
            self._done += done
            self._sent += sent
            totals = self.totals
        if self._show is not None:
            self._show(totals)


class RequestCounter:
    """The bytes of one request; a new try takes back what the last one counted as done."""

    def __init__(self, count: Callable[[int, int], None]) -> None:
        self._count = count
        self._counted = 0

    def add(self, size_bytes: int) -> None:
        """Count bytes that were sent."""
        self._counted += size_bytes
        self._count(size_bytes, size_bytes)

    def restart(self) -> None:
        """Begin again."""
        if self._counted:
            self._count(-self._counted, 0)
            self._counted = 0


@dataclass(frozen=True, slots=True)
class SendContext:
    """What all senders of one upload share.

    Parameters
    ----------
    part_bytes : int
        The most that one request carries of a session's small files.
    append : bool
        Sessions that somebody else made may be added to.
    receiver : Receiver or None
        DICOM goes to this receiver, not through the importer.
    wait_s : float
        How long, in seconds, what a receiver took may take to appear.
    """

    transport: Transport
    state: UploadState
    ledger: Ledger
    pace: Pace
    workers: Workers
    progress: SendProgress
    part_bytes: int
    append: bool = False
    receiver: Receiver | None = None
    wait_s: float = 0.0
