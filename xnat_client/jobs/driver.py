"""Driving jobs: skip what is finished, find again what is running, launch the rest with a cap.

Every step is stored before and after it is taken, so that the driver may be killed at any moment
and started again. Not here: single requests (``xnat_client.launch``), choosing sessions
(``selection``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from xnat_client.errors import (
    NotFoundError,
    NotLoggedInError,
    RefusedError,
    UnreachableError,
    XnatClientError,
)
from xnat_client.jobs.evidence import Outputs, catalogue_digest, check_results
from xnat_client.jobs.model import Job, JobState
from xnat_client.jobs.recognition import SeenRun, launch_values, list_runs, user_name
from xnat_client.launch import Run, RunState, get_state, request_launch

if TYPE_CHECKING:
    from xnat_client.commands_registry import AvailableWrapper
    from xnat_client.jobs.store import JobStore
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport

T = TypeVar("T")

_FIRST_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class Target:
    """What a job is about on the server."""

    session: Session
    wrapper: AvailableWrapper
    outputs: Outputs


@dataclass(frozen=True, slots=True)
class DriveSettings:
    """How jobs are driven.

    Parameters
    ----------
    max_running : int
        Runs of these jobs that may be under way at a time; 0 for no cap.
    watch : bool
        Stay until all are over; else only until all are launched.
    again : bool
        Launch finished ones again too.
    pause_s : float
        Longest pause between two rounds of looking; shorter ones follow upon each change. The
        service itself looks at its containers every ten seconds.
    settle_s : float
        How long a launch whose answer was lost is looked for before it counts as not made.
    patience_s : float
        How long a server that does not answer is waited for.
    timeout_s : float or None
        When to stop watching; the runs go on.
    """

    max_running: int = 8
    watch: bool = False
    again: bool = False
    pause_s: float = 3.0
    settle_s: float = 15.0
    patience_s: float = 1800.0
    timeout_s: float | None = None


Observer = Callable[[Job, str], None]
"""Is told a job that changed, and a remark (empty if the job says all)."""


class Driver:
    """Moves the jobs of one project on.

    Parameters
    ----------
    tell : callable
        Is told each change.
    """

    def __init__(
        self, transport: Transport, store: JobStore, settings: DriveSettings, tell: Observer
    ) -> None:
        self._transport = transport
        self._store = store
        self._settings = settings
        self._tell = tell
        self._started = time.monotonic()
        self._pause_s = min(_FIRST_PAUSE_S, settings.pause_s)
        self._user = ""
        self._jobs: dict[int, Job] = {}
        self._targets: dict[int, Target] = {}

    def drive(self, work: Sequence[tuple[Job, Target]]) -> list[Job]:
        """Drive jobs until all are over (or launched, without ``watch``); return them.

        Raises
        ------
        UnreachableError
            The server did not answer for too long, or the time is over; run it again to go on.
        """
        self._user = self._patiently(lambda: user_name(self._transport))
        self._jobs = {job.job_id: job for job, _ in work}
        self._targets = {job.job_id: target for job, target in work}
        for job, _ in work:
            self._for_one(job, self._take_up)
        while True:
            self._look_at_running()
            self._launch_waiting()
            left = [job for job in self._jobs.values() if not job.state.is_over]
            if not self._settings.watch:
                left = [job for job in left if job.state is not JobState.RUNNING]
            if not left:
                return list(self._jobs.values())
            self._check_time(len(left))
            time.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 1.5, self._settings.pause_s)

    def _for_one(self, job: Job, act: Callable[[Job], None]) -> None:
        """Do something for a job; what the server refuses ends this job and no other."""
        try:
            act(job)
        except (UnreachableError, NotLoggedInError):
            raise
        except XnatClientError as error:
            job = self._jobs[job.job_id]
            self._change(job, "", state=JobState.FAILED, reason=str(error), ended_at=_now())

    # Taking up ------------------------------------------------------------------------------

    def _take_up(self, job: Job) -> None:
        """Decide from what is remembered whether a job is finished, under way or to be launched."""
        if job.state is JobState.RUNNING:
            self._tell(job, "launched before; it is watched")
        elif job.state is JobState.LAUNCHING:
            self._find_launched(job, "the client ended while it was launched")
        elif job.state is JobState.DONE and not self._settings.again:
            changed = self._what_changed(job)
            if changed:
                self._change(job, changed, state=JobState.WAITING)
            else:
                self._tell(job, "done before, nothing changed")
        elif job.state is not JobState.WAITING:
            self._change(job, "", state=JobState.WAITING)

    def _what_changed(self, job: Job) -> str:
        target = self._targets[job.job_id]
        if job.image != target.wrapper.image:
            return "another version of the command is registered since"
        labels = target.outputs.labels
        digest = self._patiently(lambda: catalogue_digest(self._transport, target.session, labels))
        if digest != job.inputs_digest:
            return "the session's files changed since"
        results, wrong = self._results(target)
        return (
            "its results are not there any more"
            if wrong or not set(job.results) <= set(results)
            else ""
        )

    # Launching ------------------------------------------------------------------------------

    def _launch_waiting(self) -> None:
        for job in list(self._jobs.values()):
            if job.state is JobState.WAITING and self._has_room():
                self._for_one(job, self._launch)

    def _has_room(self) -> bool:
        running = sum(job.state is JobState.RUNNING for job in self._jobs.values())
        return not self._settings.max_running or running < self._settings.max_running

    def _launch(self, job: Job) -> None:
        target = self._targets[job.job_id]
        runs = self._runs(target)
        if under_way := [run for run in runs if not run.is_over]:
            self._join(job, target, under_way)
            return
        labels = target.outputs.labels
        digest = self._patiently(lambda: catalogue_digest(self._transport, target.session, labels))
        # Stored before it is sent: whoever comes after a sudden end must look for the run.
        job = self._change(
            job, "", state=JobState.LAUNCHING, workflow_id="", run_status="", reason="",
            known_workflows=tuple(run.workflow_id for run in runs), inputs_digest=digest,
            image=target.wrapper.image, results=(), attempts=job.attempts + 1,
            launched_at=_now(), ended_at="",
        )  # fmt: skip
        try:
            workflow_id = request_launch(
                self._transport, target.wrapper, target.session, job.parameters
            )
        except UnreachableError:
            self._find_launched(job, "the answer to the launch was lost")
            return
        except RefusedError:
            # A gateway's error may hide a launch that was made.
            if not (new := self._new_runs(job, target)):
                raise
            workflow_id = new[0]
        if workflow_id is None:
            self._find_launched(job, "", accepted=True)
        else:
            self._change(job, "", state=JobState.RUNNING, workflow_id=workflow_id)

    def _join(self, job: Job, target: Target, under_way: Sequence[SeenRun]) -> None:
        """Take over a run that is this very job; wait for the end of any other.

        Two runs of one command on one session would write the same resources.
        """
        taken = self._store.workflows(job.server)
        for run in under_way:
            if run.user in ("", self._user) and run.workflow_id not in taken:
                number = run.workflow_id
                values = self._patiently(
                    lambda number=number: launch_values(self._transport, target.session, number)  # type: ignore[misc] # mypy infers no type for a default
                )
                given = {k: v for k, v in (values or {}).items() if k != target.wrapper.root_input}
                if values is not None and given == dict(job.parameters):
                    remark = "the same launch was under way already; it is watched"
                    self._change(job, remark, state=JobState.RUNNING, workflow_id=run.workflow_id)
                    return
        number = under_way[0].workflow_id
        if not self._settings.watch:
            reason = (
                f"Another run of the command is under way on this session (workflow {number}). "
                "Launch it when that is over, or with --watch, which waits for it."
            )
            self._change(job, "", state=JobState.FAILED, reason=reason, ended_at=_now())
            return
        reason = f"waits for another run of the command on this session (workflow {number})"
        if job.reason != reason:
            self._change(job, reason, reason=reason)

    def _find_launched(self, job: Job, remark: str, *, accepted: bool = False) -> None:
        """Look for the run of a launch whose workflow is not known."""
        target = self._targets[job.job_id]
        first_look: float | None = None
        while True:
            new = self._new_runs(job, target)
            first_look = first_look or time.monotonic()
            if new:
                found = f"{remark}; its run was found" if remark else ""
                self._change(job, found, state=JobState.RUNNING, workflow_id=new[0])
                return
            if time.monotonic() - first_look > self._settings.settle_s * (4 if accepted else 1):
                break
            time.sleep(min(1.0, self._settings.settle_s / 5))
        if accepted:
            reason = "The server accepted the launch, but no workflow appeared. Look at the server."
            self._change(job, "", state=JobState.FAILED, reason=reason, ended_at=_now())
        else:
            self._change(job, f"{remark}; no run was made", state=JobState.WAITING)

    def _new_runs(self, job: Job, target: Target) -> list[str]:
        """Return this account's runs that are no other job's and were not there before."""
        taken = self._store.workflows(job.server)
        return [
            run.workflow_id
            for run in self._runs(target)
            if run.workflow_id not in job.known_workflows
            and run.workflow_id not in taken
            and run.user in ("", self._user)
        ]

    # Watching -------------------------------------------------------------------------------

    def _look_at_running(self) -> None:
        for job in list(self._jobs.values()):
            if job.state is JobState.RUNNING:
                self._for_one(job, self._look_at)

    def _look_at(self, job: Job) -> None:
        target = self._targets[job.job_id]
        run = Run(job.workflow_id, job.project_id, job.command, job.session_label)
        try:
            state = self._patiently(lambda: get_state(self._transport, run))
        except NotFoundError:
            reason = (
                f"The server no longer knows workflow {job.workflow_id}. Launch it again to have "
                "its results."
            )
            self._change(job, "", state=JobState.FAILED, reason=reason, ended_at=_now())
            return
        if state.is_over:
            self._finish(job, target, state)
        elif state.status != job.run_status:
            self._change(job, "", run_status=state.status)

    def _finish(self, job: Job, target: Target, state: RunState) -> None:
        ending = JobState.DONE
        results: tuple[str, ...] = ()
        reason = ""
        if state.is_complete:
            results, reason = self._results(target)
            ending = JobState.FAILED if reason else JobState.DONE
        else:
            ending = JobState.CANCELLED if state.status == "Killed" else JobState.FAILED
            reason = f"The run ended as {state.status}. {state.details}".strip()
        self._change(
            job, "", state=ending, run_status=state.status, reason=reason, results=results,
            ended_at=_now(),
        )  # fmt: skip

    # The server -----------------------------------------------------------------------------

    def _runs(self, target: Target) -> tuple[SeenRun, ...]:
        return self._patiently(lambda: list_runs(self._transport, target.session, target.wrapper))

    def _results(self, target: Target) -> tuple[tuple[str, ...], str]:
        return self._patiently(
            lambda: check_results(self._transport, target.session, target.wrapper, target.outputs)
        )

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Return the answer to a question that may be asked again while the server is away."""
        silent_since: float | None = None
        while True:
            try:
                return ask()
            except UnreachableError as error:
                trouble: XnatClientError = error
            except (NotFoundError, RefusedError) as error:
                # A servlet container that is still starting answers so for every address.
                if self._is_there():
                    raise
                trouble = error
            now = time.monotonic()
            silent_since = silent_since or now
            if now - silent_since > self._settings.patience_s:
                raise UnreachableError(
                    f"{trouble} What was launched goes on there; run the same command again."
                ) from trouble
            time.sleep(self._settings.pause_s)

    def _is_there(self) -> bool:
        try:
            user_name(self._transport)
        except XnatClientError:
            return False
        return True

    def _check_time(self, left: int) -> None:
        limit = self._settings.timeout_s
        if limit is not None and time.monotonic() - self._started > limit:
            raise UnreachableError(
                f"{left} of {len(self._jobs)} jobs were not over after {limit:.0f} s. What was "
                "launched goes on on the server; run the same command again to go on with it."
            )

    def _change(self, job: Job, remark: str, **changes: object) -> Job:
        changed = self._store.change(job, **changes)
        # Where something happens, more will: quick looks again.
        self._pause_s = min(_FIRST_PAUSE_S, self._settings.pause_s)
        self._jobs[job.job_id] = changed
        self._tell(changed, remark)
        return changed


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
