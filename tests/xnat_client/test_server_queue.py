"""The server's queue: what counts as waiting for the server, and that it slows an upload down."""

from __future__ import annotations

import queue

from xnat_client.transport import Transport
from xnat_client.upload.server_queue import QueueWatch, queue_length

from .conftest import Reply, ScriptedServer


def _sessions(*statuses: str) -> Reply:
    return Reply.table(*({"name": f"E{n}", "status": s} for n, s in enumerate(statuses)))


def test_what_waits_for_a_person_is_no_queue(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """READY, CONFLICT and ERROR stay until somebody comes; all else is the server's work."""
    path = "/data/prearchive/projects"
    scripted.answer("GET", f"{path}/P", _sessions("READY", "CONFLICT", "ERROR", "QUEUED_ARCHIVING"))
    scripted.answer("GET", f"{path}/Q", _sessions("RECEIVING", "_ARCHIVING", "BUILDING"))

    assert queue_length(transport, ["P", "Q"]) == 4


def test_queue_is_told_until_it_is_closed(scripted: ScriptedServer, transport: Transport) -> None:
    """The watch asks again and again by itself."""
    scripted.answer("GET", "/data/prearchive/projects/P", _sessions("BUILDING"))
    told: queue.Queue[int] = queue.Queue()

    watch = QueueWatch(transport, ["P"], told.put, every_s=0.01)
    first = told.get(timeout=20)
    second = told.get(timeout=20)
    watch.close()

    assert (first, second) == (1, 1)


def test_account_that_may_not_look_is_left_in_peace(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """A refusal ends the asking, not the upload."""
    scripted.answer("GET", "/data/prearchive/projects/P", Reply(403))
    told: queue.Queue[int] = queue.Queue()

    watch = QueueWatch(transport, ["P"], told.put, every_s=0.001)
    watch.join(timeout_s=20)

    assert told.empty()
    assert len(scripted.requests_to("/data/prearchive/projects/P")) == 1
