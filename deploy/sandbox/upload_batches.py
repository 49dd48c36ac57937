"""Small files stored many at once: those that come while others are stored share a transaction.

To begin and end a transaction, and to change from one thread to another, costs more than to store
a small file. So the event loop stores them itself, unless it would have to wait: for another thread
that is writing, or for a slow disk. Then a thread does. Each is answered when it is stored for
good, as if it had come alone; one that is refused leaves the others as they are.

Not here: what is stored, and by which rules (``uploads``).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from deploy.sandbox.file_changes import IncomingFiles, change_files, full_disk_is_507
from deploy.sandbox.resource_rows import Outcome, store_each
from deploy.sandbox.store import ACTING_LOGIN
from deploy.sandbox.uploads import (
    Received,
    Upload,
    check_upload,
    prepared_files,
    resource_to_fill,
)

if TYPE_CHECKING:
    from deploy.sandbox.call import Call
    from deploy.sandbox.resource_rows import Details, Resource
    from deploy.sandbox.site import Site

ENOUGH = 32
"""With so many bodies, of at most 1 MiB each, no more are waited for."""

QUICK_BYTES = 128 * 1024
"""Longer bodies are digested and written in threads, while the event loop receives others."""
TURN_BYTES = 4 * 1024 * 1024
"""What the event loop writes at once, in some milliseconds."""
TURNS = 128
"""After so many of the event loop the thread takes one. Its connection to the database is the one
that, when much was written, brings it into the main file and waits for the disk."""
SLOW_S = 0.05
"""After a turn that took longer, since the disk is busy, the thread takes one too."""


@dataclass(slots=True)
class _Job:
    """One upload: what came, and what became of it."""

    call: Call
    pieces: Sequence[bytes]
    size: int
    answered: asyncio.Future[Outcome]
    asked: Upload | None = None
    incoming: IncomingFiles | None = None
    files: Received = field(default_factory=list)
    outcome: Outcome | None = None
    error: Exception | None = None


class UploadBatches:
    """What stores the small files of one site: the event loop itself, or a thread for it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._arrived: list[_Job] = []
        self._seen = 0
        self._handed_over = 0
        self._turns = 0
        self._waiting: SimpleQueue[list[_Job] | None] = SimpleQueue()
        self._receivers = ThreadPoolExecutor(2, thread_name_prefix="receivers")
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)

    def start(self) -> None:
        """Begin to store; to be called in the event loop."""
        self._site.store.leave_checkpoints_to_others()
        self._thread.start()
        self._site.on_stop.append(self.stop)

    def stop(self) -> None:
        """Store what waits, and end."""
        self._waiting.put(None)
        self._thread.join()
        self._receivers.shutdown()

    # In the event loop ------------------------------------------------------------------------

    async def store(self, call: Call, pieces: Sequence[bytes]) -> Outcome:
        """Store one file, whose body is in pieces; return what became of it.

        Raises
        ------
        HttpError
            It was refused.
        """
        loop = asyncio.get_running_loop()
        job = _Job(call, pieces, sum(map(len, pieces)), loop.create_future())
        if job.size > QUICK_BYTES:
            await loop.run_in_executor(self._receivers, self._receive, job)
        if not self._arrived:
            loop.call_soon(self._take)
        self._arrived.append(job)
        return await job.answered

    def _take(self) -> None:
        """Store all that arrived, or have the thread do so.

        As long as each turn of the event loop brings another file, the next one is waited for: a
        turn costs little, a transaction as much as some files.
        """
        if self._seen < len(self._arrived) < ENOUGH:
            self._seen = len(self._arrived)
            asyncio.get_running_loop().call_soon(self._take)
            return
        self._seen = 0
        arrived, self._arrived = self._arrived, []
        if self._is_quick(arrived):
            with self._site.store.exclusive_now() as is_free:
                if is_free:
                    began = time.monotonic()
                    self._store_all(arrived)
                    _answer(arrived)
                    is_slow = time.monotonic() - began > SLOW_S
                    self._turns = TURNS if is_slow else self._turns + 1
                    return
        self._turns = 0
        self._handed_over += len(arrived)
        self._waiting.put(arrived)

    def _is_quick(self, jobs: Sequence[_Job]) -> bool:
        """Return whether to store these here takes no longer than to hand them over."""
        return (
            not self._handed_over
            and self._turns < TURNS
            and sum(job.size for job in jobs if job.incoming is None) <= TURN_BYTES
        )

    def _take_back(self, jobs: Sequence[_Job]) -> None:
        self._handed_over -= len(jobs)
        _answer(jobs)

    # In the thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        ended = False
        while not ended:
            jobs, ended = self._next_jobs()
            if jobs:
                self._store_all(jobs)
                jobs[0].answered.get_loop().call_soon_threadsafe(self._take_back, jobs)

    def _next_jobs(self) -> tuple[list[_Job], bool]:
        """Wait for a job; return all that are there, and whether none will come any more."""
        jobs: list[_Job] = []
        arrived = self._waiting.get()
        while arrived is not None:
            jobs += arrived
            if len(jobs) >= ENOUGH:
                return jobs, False
            try:
                arrived = self._waiting.get_nowait()
            except Empty:
                return jobs, False
        return jobs, True

    # In any of them ---------------------------------------------------------------------------

    def _store_all(self, jobs: Sequence[_Job]) -> None:
        try:
            with ExitStack() as stack:
                for job in jobs:
                    if job.incoming is None and job.error is None:
                        self._receive(job)
                    if job.incoming is not None:
                        stack.enter_context(job.incoming)
                self._store([job for job in jobs if job.error is None])
        except Exception as error:  # noqa: BLE001 - it is raised where the requests are answered
            for job in jobs:
                job.error = job.error or error

    def _receive(self, job: _Job) -> None:
        """Refuse what can be refused; write the body into a file of its own."""
        ACTING_LOGIN.set(job.call.user.login)
        try:
            job.asked = check_upload(job.call)
            job.incoming = IncomingFiles(self._site.settings)
            received = job.incoming.new()
            with full_disk_is_507():
                for piece in job.pieces:
                    received.write(piece)
            received.close()
            job.files = prepared_files(job.asked, [("", received)], job.incoming)
        except Exception as error:  # noqa: BLE001 - it is raised where the request is answered
            job.error = error

    def _store(self, jobs: Sequence[_Job]) -> None:
        """Store the files together; if that fails, each alone, to learn which of them cannot be."""
        if not jobs:
            return
        try:
            outcomes = self._store_together(jobs)
        except Exception as error:  # noqa: BLE001 - it is raised where the request is answered
            committed = any(incoming.kept for job in jobs for _, incoming in job.files)
            if len(jobs) == 1 or committed:
                for job in jobs:
                    job.error = error
                return
            for job in jobs:
                self._store([job])
        else:
            for job, outcome in zip(jobs, outcomes, strict=True):
                job.outcome = outcome

    def _store_together(self, jobs: Sequence[_Job]) -> list[Outcome]:
        outcomes = [Outcome() for _ in jobs]
        with change_files(self._site.store, self._site.settings) as changes:
            together: dict[tuple[int, Details, bool], list[int]] = {}
            resources: dict[int, Resource] = {}
            for position, job in enumerate(jobs):
                if job.asked is None:  # pragma: no cover - those were refused before
                    raise RuntimeError("An upload was not looked at before it is stored.")
                ACTING_LOGIN.set(job.call.user.login)
                resource = resource_to_fill(job.call, job.asked, changes)
                resources[resource.id] = resource
                key = (resource.id, job.asked.details, job.asked.overwrite)
                together.setdefault(key, []).append(position)
            for (number, details, overwrite), positions in together.items():
                files = [file for position in positions for file in jobs[position].files]
                owners = [
                    outcomes[position] for position in positions for _ in jobs[position].files
                ]
                stored = store_each(changes, resources[number], files, details, overwrite=overwrite)
                for (path, _), outcome, is_stored in zip(files, owners, stored, strict=True):
                    (outcome.stored if is_stored else outcome.duplicates).append(path)
        return outcomes


def _answer(jobs: Sequence[_Job]) -> None:
    """Answer, in the event loop, the requests that still wait."""
    for job in jobs:
        if job.answered.done():
            continue
        if job.outcome is not None:
            job.answered.set_result(job.outcome)
        else:
            job.answered.set_exception(job.error or RuntimeError("An upload was left over."))
