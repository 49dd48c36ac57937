"""Jobs with what they are about on the server: made from sessions, or found again from memory.

Not here: driving them (``driver``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xnat_client.commands_registry import AvailableWrapper, find_available
from xnat_client.errors import NotFoundError, UsageError
from xnat_client.jobs.driver import Target
from xnat_client.jobs.evidence import Outputs, find_outputs
from xnat_client.jobs.model import Job, JobState, Wish
from xnat_client.jobs.selection import choose_sessions

if TYPE_CHECKING:
    from xnat_client.jobs.store import JobStore
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport

Work = list[tuple[Job, Target]]


def fitting_wrappers(
    transport: Transport,
    project_id: str,
    sessions: Sequence[Session],
    command: str,
    wrapper: str | None = None,
) -> Mapping[str, AvailableWrapper]:
    """Return the wrapper of a command for each data type among the sessions that it fits.

    Raises
    ------
    NotFoundError
        It fits none of them, or is not available to this account.
    UsageError
        It fits in several ways and none was named.
    """
    found: dict[str, AvailableWrapper] = {}
    refusals: list[NotFoundError] = []
    for xsi_type in sorted({session.xsi_type for session in sessions}):
        try:
            found[xsi_type] = find_available(transport, project_id, xsi_type, command, wrapper)
        except NotFoundError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    return found


def check_parameters(
    transport: Transport,
    wrappers: Mapping[str, AvailableWrapper],
    parameters: Mapping[str, str],
) -> None:
    """Raise ``UsageError`` for a parameter that a command has not: the service would ignore it.

    The input that takes the session is the session's own and is refused too.
    """
    for wrapper in {one.wrapper_id: one for one in wrappers.values()}.values():
        if wrapper.root_input in parameters:
            raise UsageError(
                f"Parameter {wrapper.root_input} is what the command runs on. Leave it out."
            )
        known = find_outputs(transport, wrapper).inputs
        unknown = sorted(set(parameters) - (known or set(parameters)))
        if unknown:
            names = ", ".join(sorted((known or set()) - {wrapper.root_input})) or "none"
            raise UsageError(
                f"Command {wrapper.command_name} has no input {', '.join(unknown)}; its inputs "
                f"are: {names}."
            )


def make_work(
    transport: Transport,
    store: JobStore,
    sessions: Sequence[Session],
    wrappers: Mapping[str, AvailableWrapper],
    parameters: Mapping[str, str],
) -> Work:
    """Return the job of each session that a wrapper fits; new jobs are stored."""
    outputs: dict[int, Outputs] = {}
    work: Work = []
    for session in sessions:
        chosen = wrappers.get(session.xsi_type)
        if chosen is None:
            continue
        if chosen.wrapper_id not in outputs:
            outputs[chosen.wrapper_id] = find_outputs(transport, chosen)
        job = store.add(
            Wish(
                transport.url, session.project_id, session.session_id, session.label,
                chosen.command_name, chosen.wrapper_name, chosen.image, parameters,
            )
        )  # fmt: skip
        work.append((job, Target(session, chosen, outputs[chosen.wrapper_id])))
    return work


def work_of(transport: Transport, project_id: str, jobs: Sequence[Job]) -> Work:
    """Return remembered jobs of a project with what they are about now.

    Raises
    ------
    NotFoundError
        A session or command of theirs is not there any more.
    """
    names = sorted({job.session_id for job in jobs})
    sessions = {one.session_id: one for one in choose_sessions(transport, project_id, names=names)}
    wrappers: dict[tuple[str, str, str], tuple[AvailableWrapper, Outputs]] = {}
    work: Work = []
    for job in jobs:
        session = sessions[job.session_id]
        key = (session.xsi_type, job.command, job.wrapper)
        if key not in wrappers:
            chosen = find_available(transport, project_id, *key)
            wrappers[key] = (chosen, find_outputs(transport, chosen))
        work.append((job, Target(session, *wrappers[key])))
    return work


def count_states(jobs: Sequence[Job]) -> dict[str, int]:
    """Return how many jobs are in each state, states without any left out."""
    counts = {state.value: sum(job.state is state for job in jobs) for state in JobState}
    return {name: count for name, count in counts.items() if count}
