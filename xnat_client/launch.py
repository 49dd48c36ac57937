"""Running a command on a session through the Container Service: launch, watch, kill.

A launch is answered before the service has looked at its inputs; only the workflow tells how it
went (XNAT Container Service, launch reports and workflow statuses). Not here: registering and
finding commands (``commands_registry``).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xnat_client.address import path_of
from xnat_client.errors import (
    NotFoundError,
    RefusedError,
    RunFailedError,
    UnreachableError,
    UsageError,
    XnatClientError,
)

if TYPE_CHECKING:
    from xnat_client.commands_registry import AvailableWrapper
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport

_NOT_ASSIGNED = "To be assigned"
_STDERR_LINES = 20
_LONGEST_LINE = 500
# Only from where a part of a sentence begins: from each character it takes seconds on long texts.
_LOG_ADDRESS = re.compile(r"(?:^|(?<=[.;]))(?:[^.;]*/xapi/containers/\S*)+")
_MISSING_INPUT = (
    " What they are taken from is not there, most often a resource that another command makes: "
    "winqc and mriqc take BIDS, which dicom-to-bids and eeg-to-bids make. Run that command first."
)


@dataclass(frozen=True, slots=True)
class Run:
    """A launched run; ``workflow_id`` is where its state is, ``place`` what it is on, in a word."""

    workflow_id: str
    project_id: str
    command_name: str
    session_label: str
    place: str = "session"


@dataclass(frozen=True, slots=True)
class WholeProject:
    """A project as that which a command is launched on; its label is its ID."""

    project_id: str

    @property
    def label(self) -> str:
        """Return how messages call it."""
        return self.project_id

    @property
    def archive_uri(self) -> str:
        """Return the URI by which the Container Service knows the project."""
        return path_of("archive", "projects", self.project_id)


@dataclass(frozen=True, slots=True)
class RunState:
    """One look at a run.

    ``status`` is the service's text, such as ``Running`` or ``Failed (Upload)``; ``step`` and
    ``details`` say more where the service does.
    """

    status: str
    step: str = ""
    details: str = ""

    @property
    def is_over(self) -> bool:
        """Return whether the status will not change any more."""
        return self.is_complete or self.status.startswith(("Failed", "Killed"))

    @property
    def is_complete(self) -> bool:
        """Return whether the run ended well and its outputs are in the archive."""
        return self.status == "Complete"


@dataclass(frozen=True, slots=True)
class Patience:
    """How a run is watched: pauses between two looks grow by half each time.

    Parameters
    ----------
    first_pause_s, longest_pause_s : float
        The service itself looks at its containers every ten seconds.
    timeout_s : float or None
        None waits as long as it takes.
    assignment_s : float
        How long a launched run may take to get a workflow.
    """

    first_pause_s: float = 0.5
    longest_pause_s: float = 15.0
    timeout_s: float | None = None
    assignment_s: float = 60.0


def launch_command(
    transport: Transport,
    wrapper: AvailableWrapper,
    session: Session | WholeProject,
    parameters: Mapping[str, str] | None = None,
    *,
    patience: Patience | None = None,
) -> Run:
    """Launch a command on a session, or on a project as a whole.

    Parameters
    ----------
    parameters : Mapping
        Values of further inputs, as text.

    Raises
    ------
    UsageError
        A parameter has the name of the input that takes the session.
    RefusedError
        The service does not take the launch; its reason is in the message.
    """
    _check_parameters(wrapper, parameters)
    before = frozenset(_workflows_of_containers(transport, session.project_id, wrapper.wrapper_id))
    workflow_id = request_launch(transport, wrapper, session, parameters)
    if workflow_id is None:
        workflow_id = _await_assignment(
            transport, session, wrapper, before=before, patience=patience or Patience()
        )
    place = _place(session)
    return Run(workflow_id, session.project_id, wrapper.command_name, session.label, place)


def request_launch(
    transport: Transport,
    wrapper: AvailableWrapper,
    session: Session | WholeProject,
    parameters: Mapping[str, str] | None = None,
) -> str | None:
    """Send one launch request; return the workflow, or None while the service assigns it.

    The request is sent once: after a broken connection (``UnreachableError``) the launch may
    have been made, and only the server's workflows tell.

    Raises
    ------
    UsageError
        A parameter has the name of the input that takes the session.
    RefusedError
        The service does not take the launch; its reason is in the message.
    """
    _check_parameters(wrapper, parameters)
    doing = f"launch {wrapper.command_name} on {_place(session)} {session.label}"
    path = path_of(
        "xapi", "projects", session.project_id, "wrappers", str(wrapper.wrapper_id),
        "root", wrapper.root_input, "launch",
    )  # fmt: skip
    values = {**(parameters or {}), wrapper.root_input: session.archive_uri}
    answer = transport.request(
        "POST",
        path,
        doing=doing,
        headers={"Content-Type": "application/json"},
        body=json.dumps(values).encode("utf-8"),
    )
    workflow_id = _workflow_id(answer.body, doing)
    return None if workflow_id == _NOT_ASSIGNED else workflow_id


def get_state(transport: Transport, run: Run) -> RunState:
    """Return the present state of a run."""
    doing = f"look at the run of {run.command_name} on {run.place} {run.session_label}"
    document = transport.get_json(
        path_of("data", "workflows", run.workflow_id), doing=doing, query={"format": "json"}
    )
    try:
        fields = document["items"][0]["data_fields"]
        return RunState(
            status=str(fields["status"]),
            step=str(fields.get("step_description") or ""),
            # Where a log is on the server is of no use to who has only a command line.
            details=_LOG_ADDRESS.sub("", str(fields.get("details") or "")).strip(),
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise RefusedError(
            f"Cannot {doing}: the answer of {transport.host} is not a workflow."
        ) from error


def watch_run(
    transport: Transport,
    run: Run,
    *,
    patience: Patience | None = None,
    progress: Callable[[RunState], None] | None = None,
) -> RunState:
    """Wait until a run is over; return its state if it ended well.

    Parameters
    ----------
    progress : callable
        Is given the state each time it has changed.

    Raises
    ------
    RunFailedError
        It failed or was killed; holds the service's reason and the end of the container's stderr.
    UnreachableError
        It was not over in time; it goes on on the server.
    """
    wait = patience or Patience()
    started = time.monotonic()
    pause_s, last = wait.first_pause_s, None
    while True:
        state = get_state(transport, run)
        if state != last and progress is not None:
            progress(state)
        last = state
        if state.is_over:
            break
        if wait.timeout_s is not None and time.monotonic() - started > wait.timeout_s:
            raise UnreachableError(
                f"The run of {run.command_name} on {run.place} {run.session_label} (workflow "
                f"{run.workflow_id}) was not over after {wait.timeout_s:.0f} s; it goes on, last "
                f"seen as {state.status}. Look at it on the server."
            )
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, wait.longest_pause_s)
    if not state.is_complete:
        raise describe_failure(transport, run, state)
    return state


def kill_run(transport: Transport, run: Run) -> None:
    """End a run that is not over.

    Raises
    ------
    NotFoundError
        It has no container (yet, or any more).
    """
    container = _container_of(transport, run)
    if container is None:
        raise NotFoundError(
            f"The run of {run.command_name} on {run.place} {run.session_label} has no container, "
            "so there is nothing to end."
        )
    transport.request(
        "POST",
        path_of("xapi", "containers", container, "kill"),
        doing=f"end the run of {run.command_name} on {run.place} {run.session_label}",
    )


def read_log(transport: Transport, run: Run, stream: str = "stderr") -> str:
    """Return what the container of a run wrote to ``stdout`` or ``stderr``; empty if nothing."""
    container = _container_of(transport, run)
    if container is None:
        return ""
    answer = transport.request(
        "GET",
        path_of("xapi", "containers", container, "logs", stream),
        doing=f"read the log of {run.command_name}",
        accept=(200, 204),
    )
    return answer.text


def describe_failure(
    transport: Transport, run: Run, state: RunState, log_command: str = ""
) -> RunFailedError:
    """Return the error for a run that is over without success, with the end of its stderr.

    Parameters
    ----------
    log_command : str
        The command line that prints the whole log, where there is one.
    """
    tail, has_container = "", True
    # The run's failure is the news; a log that cannot be read must not hide it.
    with suppress(XnatClientError):
        has_container = _container_of(transport, run) is not None
        lines = read_log(transport, run).splitlines()[-_STDERR_LINES:] if has_container else []
        tail = "\n".join(line[:_LONGEST_LINE] for line in lines)
    details = f" The server says: {state.details}" if state.details else ""
    hint = _MISSING_INPUT if "Missing values for required inputs" in state.details else ""
    if tail:
        log = f"\nEnd of the container's stderr:\n{tail}"
        log += f"\nAll of it: {log_command}" if log_command else ""
    elif not has_container:
        log = " The server shows this account no container of it."
    elif log_command:
        log = f" The container left no stderr; what it printed: {log_command} --stream stdout"
    else:
        log = " The container left no stderr; see the workflow on the server."
    return RunFailedError(
        f"The run of {run.command_name} on {run.place} {run.session_label} ended as {state.status} "
        f"(workflow {run.workflow_id}); it stored no results.{details}{hint}{log}",
        workflow_id=run.workflow_id,
        run_status=state.status,
        details=state.details,
        stderr_tail=tail,
    )


def _place(target: Session | WholeProject) -> str:
    return "project" if isinstance(target, WholeProject) else "session"


def _check_parameters(wrapper: AvailableWrapper, parameters: Mapping[str, str] | None) -> None:
    if wrapper.root_input in (parameters or {}):
        raise UsageError(
            f"Parameter {wrapper.root_input} is what the command runs on. Leave it out."
        )


def _workflow_id(body: bytes, doing: str) -> str:
    try:
        report = json.loads(body)
        status = report["status"]
        workflow_id = str(report.get("workflow-id") or _NOT_ASSIGNED)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"Cannot {doing}: the answer is not a launch report.") from error
    if status != "success":
        raise RefusedError(f"Cannot {doing}. The server says: {str(report.get('message'))[:200]}")
    return workflow_id


def _containers(transport: Transport, project_id: str) -> Sequence[Mapping[str, Any]]:
    rows = transport.get_json(
        path_of("xapi", "projects", project_id, "containers"),
        doing=f"list the containers of project {project_id}",
    )
    if not isinstance(rows, list):
        raise RefusedError(f"{transport.host} did not answer with a list of containers.")
    return [row for row in rows if isinstance(row, dict)]


def _workflows_of_containers(
    transport: Transport, project_id: str, wrapper_id: int
) -> Mapping[str, Mapping[str, Any]]:
    return {
        str(row["workflow-id"]): row
        for row in _containers(transport, project_id)
        if str(row.get("wrapper-id")) == str(wrapper_id) and row.get("workflow-id")
    }


def _await_assignment(
    transport: Transport,
    session: Session | WholeProject,
    wrapper: AvailableWrapper,
    *,
    before: frozenset[str],
    patience: Patience,
) -> str:
    """Return the workflow of the container that was not there before the launch."""
    started, pause_s = time.monotonic(), patience.first_pause_s
    while True:
        now = _workflows_of_containers(transport, session.project_id, wrapper.wrapper_id)
        new = sorted(set(now) - before)
        if len(new) == 1:
            return new[0]
        if len(new) > 1:
            raise RefusedError(
                f"Launched, but {len(new)} runs of the same command began at this moment and the "
                "server does not say which is yours. Look at the project's workflows."
            )
        if time.monotonic() - started > patience.assignment_s:
            raise UnreachableError(
                f"The server accepted the launch of {wrapper.command_name} on {_place(session)} "
                f"{session.label}, but no container appeared within {patience.assignment_s:.0f} s. "
                "Look at its workflows on the server."
            )
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, patience.longest_pause_s)


def _container_of(transport: Transport, run: Run) -> str | None:
    rows = [
        row
        for row in _containers(transport, run.project_id)
        if str(row.get("workflow-id")) == run.workflow_id
    ]
    # Setup and wrap-up containers share the workflow and name the main one as their parent.
    rows.sort(key=lambda row: row.get("parent-database-id") is not None)
    return str(rows[0].get("id") or rows[0].get("container-id")) if rows else None
