"""A whole plan on its way: several sessions at once, each to its own end, and the receipt.

Not here: making the plan (``plan``), one session (``session_sender``).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnat_client.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_OUR_FAULT,
    NotLoggedInError,
    UnreachableError,
    XnatClientError,
)
from xnat_client.upload.ledger import Ledger
from xnat_client.upload.pace import Pace, StoppedError
from xnat_client.upload.send_context import SendContext, SendProgress, Totals
from xnat_client.upload.server_queue import QueueWatch
from xnat_client.upload.session_sender import Arrived, SessionSender
from xnat_client.upload.workers import Workers

if TYPE_CHECKING:
    from xnat_client.transport import Transport
    from xnat_client.upload.receiver import Receiver
    from xnat_client.upload.session_task import SessionTask
    from xnat_client.upload.state import UploadState

_PARTS_IN_ALL = 400
"""One request carries at most this part of all, so that an interruption costs little ..."""
_LEAST_PART_BYTES = 512 << 10
"""... but not less than this, or requests would cost more than content, ..."""
_MOST_PART_BYTES = 256 << 20
"""... nor more than this."""
_STOP_S = 3.0
_LONG_QUEUE = 4
"""A server that works on more sessions than this for each one in flight gets fewer requests."""


@dataclass(frozen=True, slots=True)
class SendSettings:
    """How a plan is sent.

    Parameters
    ----------
    connections : int
        The most requests in flight.
    sessions : int
        The most sessions in flight: XNAT's archiving suffers from many.
    part_bytes : int
        The most that one request carries of a session's DICOM; 0 for a part of all.
    append : bool
        Sessions that somebody else made may be added to.
    receiver : Receiver or None
        DICOM goes to this receiver by C-STORE; None: through XNAT's importer.
    wait_s : float
        How long, in seconds, what a receiver took may take to appear on the server.
    """

    connections: int = 8
    sessions: int = 4
    part_bytes: int = 0
    append: bool = False
    receiver: Receiver | None = None
    wait_s: float = 600.0

    def part_of(self, total_bytes: int) -> int:
        """Return the most that one request carries, in bytes."""
        part = max(_LEAST_PART_BYTES, total_bytes // _PARTS_IN_ALL)
        return self.part_bytes or min(_MOST_PART_BYTES, part)


class Outcome(StrEnum):
    """What became of a session."""

    CONFIRMED = "confirmed"
    FAILED = "failed"
    NOT_DONE = "not done"


@dataclass(frozen=True, slots=True)
class SessionReceipt:
    """What became of one session, subject or project; ``reason`` is empty if all is well.

    Of ``files``, ``files_rewritten`` and ``files_by_uid`` are not there bit by bit
    (``session_sender.Arrived``).
    """

    project: str
    subject: str
    session: str
    session_id: str
    outcome: Outcome
    files: int
    files_sent: int
    size_bytes: int
    reason: str = ""
    exit_code: int = EXIT_DONE
    files_rewritten: int = 0
    files_by_uid: int = 0
    in_prearchive: bool = False


@dataclass(frozen=True, slots=True)
class BulkReceipt:
    """What arrived and what did not.

    ``files_confirmed`` were found on the server with the right size and MD5. Where a script of the
    server rewrites headers, ``files_rewritten`` were read back and have the image data that were
    sent, and ``files_by_uid`` have none and were found by their UID only. ``content_sha256`` is the
    SHA-256 of the sorted MD5s of all of them as they were sent, each with a line feed. ``seconds``
    is the time of sending and proving. Times of day are UTC.
    """

    server: str
    sessions: tuple[SessionReceipt, ...]
    files_confirmed: int
    files_rewritten: int
    files_by_uid: int
    files_sent: int
    bytes_sent: int
    content_sha256: str
    interrupted: bool
    seconds: float
    started_at: datetime
    finished_at: datetime
    client_version: str

    @property
    def exit_code(self) -> int:
        """Return 0 if all arrived, 130 after an interruption, else the first failure's code."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        codes = [one.exit_code for one in self.sessions if one.outcome is not Outcome.CONFIRMED]
        return next((code for code in codes if code), EXIT_OUR_FAULT) if codes else EXIT_DONE

    def as_json(self) -> dict[str, Any]:
        """Return the receipt as JSON types."""
        document = asdict(self)
        for key in ("started_at", "finished_at"):
            document[key] = document[key].isoformat(timespec="seconds")
        document["sessions"] = list(document["sessions"])
        document["exit_code"] = self.exit_code
        return document


def send_plan(  # noqa: PLR0913  # what, with what, and who is told
    transport: Transport,
    tasks: Sequence[SessionTask],
    state: UploadState,
    ledger_path: Path,
    settings: SendSettings | None = None,
    *,
    show: Callable[[Totals], None] | None = None,
    tell: Callable[[SessionReceipt], None] | None = None,
) -> BulkReceipt:
    """Send sessions, each verified by itself; one that fails does not stop the others.

    After an interruption (Ctrl-C) the requests in flight are broken off and the receipt says what
    was confirmed until then; the same call again goes on.

    Parameters
    ----------
    show : callable or None
        Is told how far the bytes are.
    tell : callable or None
        Is told what became of each session, as it happens.

    Raises
    ------
    BadInputError
        The ledger cannot be written.
    """
    return _Sending(transport, tasks, state, settings or SendSettings(), show, tell).run(
        ledger_path
    )


class _Sending:
    """One run over a plan."""

    def __init__(  # noqa: PLR0913, PLR0917  # the parts of a run
        self,
        transport: Transport,
        tasks: Sequence[SessionTask],
        state: UploadState,
        settings: SendSettings,
        show: Callable[[Totals], None] | None,
        tell: Callable[[SessionReceipt], None] | None,
    ) -> None:
        self._transport = transport
        self._tasks = tasks
        self._state = state
        self._settings = settings
        self._tell = tell
        self._total = sum(task.size_bytes for task in tasks)
        self._progress = SendProgress(self._total, show)
        self._began = time.monotonic()
        self._pace = Pace(settings.connections)
        self._receipts: dict[int, SessionReceipt] = {}
        self._md5s: list[str] = []
        self._hopeless: XnatClientError | None = None

    def run(self, ledger_path: Path) -> BulkReceipt:
        """Send all; see ``send_plan``."""
        started_at = datetime.now(UTC)
        interrupted = False
        with closing(Ledger(ledger_path)) as ledger:
            workers = Workers(self._settings.connections, "transfer")
            sessions = Workers(max(1, self._settings.sessions), "session")
            context = SendContext(
                self._transport, self._state, ledger, self._pace, workers, self._progress,
                self._settings.part_of(self._total), self._settings.append,
                self._settings.receiver, self._settings.wait_s,
            )  # fmt: skip
            futures = {
                sessions.submit(partial(self._send, context, task)): number
                for number, task in enumerate(self._tasks)
            }
            projects = {task.project for task in self._tasks}
            watch = QueueWatch(self._transport, projects, self._heed_queue)
            try:
                self._collect(futures)
            except KeyboardInterrupt:
                interrupted = True
                self._pace.stop()
                wait(futures, timeout=_STOP_S)
                self._take([future for future in futures if future.done()], futures)
            finally:
                watch.close()
            sessions.close()
            workers.close()
        return self._receipt(started_at, interrupted=interrupted)

    def _heed_queue(self, length: int) -> None:
        self._progress.queue(length)
        if length > _LONG_QUEUE * self._settings.sessions:
            with suppress(StoppedError):
                self._pace.trouble()

    def _send(self, context: SendContext, task: SessionTask) -> Arrived:
        self._pace.check()
        if self._hopeless is not None:
            raise self._hopeless
        try:
            return SessionSender(context, task).send()
        except (NotLoggedInError, UnreachableError) as error:
            self._hopeless = error  # it will be the same for all others
            raise

    def _collect(self, futures: dict[Future[Arrived], int]) -> None:
        waiting = set(futures)
        while waiting:
            # Without a time-out the wait could not be interrupted on every system.
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            self._take(list(done), futures)

    def _take(self, done: list[Future[Arrived]], futures: dict[Future[Arrived], int]) -> None:
        for future in done:
            number = futures[future]
            if number not in self._receipts:
                receipt = self._receipt_of(self._tasks[number], future)
                self._receipts[number] = receipt
                if self._tell is not None:
                    self._tell(receipt)

    def _receipt_of(self, task: SessionTask, future: Future[Arrived]) -> SessionReceipt:
        error = future.exception()
        if error is None:
            arrived = future.result()
            self._md5s += arrived.md5s
            return SessionReceipt(
                task.project, task.subject, task.session, arrived.session_id,
                Outcome.CONFIRMED, task.file_count, arrived.files_sent, task.size_bytes,
                files_rewritten=arrived.files_rewritten, files_by_uid=arrived.files_by_uid,
                in_prearchive=arrived.in_prearchive,
            )  # fmt: skip
        if isinstance(error, StoppedError):
            return _not_done(task, "interrupted; run the same command again to go on")
        if not isinstance(error, XnatClientError):
            raise error
        return SessionReceipt(
            task.project, task.subject, task.session, "", Outcome.FAILED, task.file_count, 0,
            task.size_bytes, str(error), error.exit_code,
        )  # fmt: skip

    def _receipt(self, started_at: datetime, *, interrupted: bool) -> BulkReceipt:
        receipts = tuple(
            self._receipts.get(number) or _not_done(task, "interrupted before its end")
            for number, task in enumerate(self._tasks)
        )
        confirmed = [one for one in receipts if one.outcome is Outcome.CONFIRMED]
        content = "".join(f"{md5}\n" for md5 in sorted(self._md5s))
        return BulkReceipt(
            server=self._transport.url,
            sessions=receipts,
            files_confirmed=sum(
                one.files - one.files_rewritten - one.files_by_uid for one in confirmed
            ),
            files_rewritten=sum(one.files_rewritten for one in confirmed),
            files_by_uid=sum(one.files_by_uid for one in confirmed),
            files_sent=sum(one.files_sent for one in confirmed),
            bytes_sent=self._progress.totals.sent_bytes,
            content_sha256=hashlib.sha256(content.encode()).hexdigest(),
            interrupted=interrupted,
            seconds=round(time.monotonic() - self._began, 3),
            started_at=started_at,
            finished_at=datetime.now(UTC),
            client_version=version("winxnat"),
        )


def _not_done(task: SessionTask, reason: str) -> SessionReceipt:
    return SessionReceipt(
        task.project, task.subject, task.session, "", Outcome.NOT_DONE, task.file_count, 0,
        task.size_bytes, reason, EXIT_INTERRUPTED,
    )  # fmt: skip
