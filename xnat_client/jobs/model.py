"""A job: one command on one session with one set of parameters, and where it stands.

Not here: keeping jobs (``store``), moving them on (``driver``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands.

    ``launching`` is written before the request is sent, so that a client that dies in between
    looks for its run on the server instead of launching a second one.
    """

    WAITING = "waiting"
    LAUNCHING = "launching"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Return whether nothing more will happen unless somebody asks for it."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it is remembered.

    Attributes
    ----------
    known_workflows : tuple of str
        Workflows that the session had before the launch: what is new after it is ours.
    inputs_digest : str
        SHA-256 of the session's file catalogue at the launch (``inputs.catalogue_digest``).
    reason : str
        Why it failed or was not launched, in words.
    launched_at, ended_at : str
        UTC, ISO 8601; empty when it has not happened.
    """

    job_id: int
    server: str
    project_id: str
    session_id: str
    session_label: str
    command: str
    wrapper: str
    image: str
    parameters: Mapping[str, str]
    state: JobState = JobState.WAITING
    workflow_id: str = ""
    known_workflows: tuple[str, ...] = ()
    run_status: str = ""
    reason: str = ""
    inputs_digest: str = ""
    results: tuple[str, ...] = ()
    attempts: int = 0
    launched_at: str = ""
    ended_at: str = ""

    def document(self) -> dict[str, object]:
        """Return the job for machines."""
        return {
            "job": self.job_id,
            "project_id": self.project_id,
            "session_label": self.session_label,
            "session_id": self.session_id,
            "command": self.command,
            "wrapper": self.wrapper,
            "image": self.image,
            "parameters": dict(self.parameters),
            "state": self.state.value,
            "workflow_id": self.workflow_id,
            "run_status": self.run_status,
            "reason": self.reason,
            "results": list(self.results),
            "attempts": self.attempts,
            "launched_at": self.launched_at,
            "ended_at": self.ended_at,
        }


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: a command on a session; ``parameters`` are launch values as text."""

    server: str
    project_id: str
    session_id: str
    session_label: str
    command: str
    wrapper: str
    image: str
    parameters: Mapping[str, str] = field(default_factory=dict)
