"""Ending jobs and bringing the memory up to date, without launching anything.

Not here: launching (``driver``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from xnat_client.errors import ConflictError, NotFoundError, RefusedError
from xnat_client.jobs.model import Job, JobState
from xnat_client.launch import Run, get_state, kill_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xnat_client.jobs.store import JobStore
    from xnat_client.transport import Transport

_KILL_PATIENCE_S = 30.0
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of the wish to end a job."""

    job: Job
    remark: str


def run_of(job: Job) -> Run:
    """Return the run of a job on the server."""
    return Run(job.workflow_id, job.project_id, job.command, job.session_label)


def refresh(transport: Transport, store: JobStore, jobs: Sequence[Job]) -> list[Job]:
    """Return jobs with the server's present status for those that are running.

    A run that is over stays ``running`` here until a launch, which also checks its results, is
    started again; only its status on the server is stored.
    """
    fresh = []
    for job in jobs:
        if job.state is JobState.RUNNING:
            try:
                status = get_state(transport, run_of(job)).status
            except NotFoundError:
                status = "(not known to the server)"
            fresh.append(store.change(job, run_status=status))
        else:
            fresh.append(job)
    return fresh


def cancel(transport: Transport, store: JobStore, jobs: Sequence[Job]) -> list[Ending]:
    """End jobs that are waiting or running; return what became of each.

    A run without a container (still queued or being prepared) cannot be ended by the service's
    interface; the remark says so.
    """
    endings = []
    for job in jobs:
        if job.state is JobState.WAITING:
            endings.append(_cancel_waiting(store, job))
        elif job.state is JobState.RUNNING:
            endings.append(_cancel_running(transport, store, job))
        elif job.state is JobState.LAUNCHING:
            remark = "its launch is not settled; run the same winxnat launch again, then cancel"
            endings.append(Ending(job, remark))
    return endings


def _cancel_waiting(store: JobStore, job: Job) -> Ending:
    try:
        with store.driving(job.server, job.project_id):
            ended = store.change(
                job, state=JobState.CANCELLED, reason="Cancelled before it was launched.",
                ended_at=_now(),
            )  # fmt: skip
    except ConflictError:
        return Ending(job, "a winxnat launch is at work and would launch it; stop that first")
    return Ending(ended, "cancelled")


def _cancel_running(transport: Transport, store: JobStore, job: Job) -> Ending:
    run = run_of(job)
    state = get_state(transport, run)
    if not state.is_over:
        try:
            kill_run(transport, run)
        except NotFoundError:
            return Ending(job, f"it has no container yet ({state.status}); try again later")
        except (ConflictError, RefusedError) as error:
            return Ending(job, f"the service did not end it: {error}")
    started = time.monotonic()
    while not state.is_over and time.monotonic() - started < _KILL_PATIENCE_S:
        time.sleep(_PAUSE_S)
        state = get_state(transport, run)
    if not state.status.startswith("Killed"):
        remark = "it was over already" if state.is_over else "asked; the service has not ended it"
        return Ending(store.change(job, run_status=state.status), f"{remark} ({state.status})")
    ended = store.change(
        job, state=JobState.CANCELLED, run_status=state.status, reason="Cancelled.",
        ended_at=_now(),
    )  # fmt: skip
    return Ending(ended, "cancelled")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
