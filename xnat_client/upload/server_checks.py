"""What only the server knows of a plan, asked before the first byte is sent.

Not here: what is wrong in itself (``plan_checks``).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from xnat_client.errors import NotAllowedError, NotFoundError, RefusedError
from xnat_client.projects import require_project
from xnat_client.sessions import list_sessions
from xnat_client.upload.plan_checks import Findings
from xnat_client.upload.server_objects import list_subject_labels
from xnat_client.upload.session_task import session_tasks

if TYPE_CHECKING:
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport
    from xnat_client.upload.plan import Plan, Row
    from xnat_client.upload.state import UploadState

_READERS = frozenset({"Collaborators", "ALL_DATA_ACCESS"})
"""Roles that read only (XNAT, project groups and site roles)."""


def check_on_server(
    transport: Transport,
    plan: Plan,
    state: UploadState,
    *,
    append: bool = False,
    session_type: str = "",
) -> Plan:
    """Return the plan with what clashes on the server.

    Raises
    ------
    NotFoundError
        A project is unknown, or hidden from this account.
    NotAllowedError
        The account may not add data to a project.
    """
    findings = Findings()
    by_project: dict[str, list[Row]] = defaultdict(list)
    for row in plan.sent_rows:
        by_project[row.project].append(row)
    for project_id, rows in sorted(by_project.items()):
        require_project(transport, project_id)
        require_right(transport, project_id)
        sessions = {one.label.casefold(): one for one in list_sessions(transport, project_id)}
        _check_sessions(transport, rows, sessions, state, findings, append=append)
        _check_subjects(rows, list_subject_labels(transport, project_id), findings)
        _check_types(rows, sessions, session_type, findings)
    return findings.put_into(plan)


def require_right(transport: Transport, project_id: str) -> None:
    """Raise ``NotAllowedError`` if the server says that this account may only read a project.

    A server that does not know the question, or answers with a role of its own, leaves it to the
    first request that makes something; XNAT refuses that one.
    """
    doing = f"ask for the role of this account in project {project_id}"
    try:
        rows = transport.get_json("/xapi/access/projects", doing=doing)
    except (NotFoundError, RefusedError, NotAllowedError):
        return
    if not isinstance(rows, list):
        return
    roles = {
        row.get("role") for row in rows if isinstance(row, dict) and row.get("ID") == project_id
    }
    if roles and roles <= _READERS:
        raise NotAllowedError(
            f"This account may see project {project_id} but not add data to it. Nothing was sent; "
            "ask an owner of the project to make it a member."
        )


def _check_sessions(  # noqa: PLR0913  # what there is to compare
    transport: Transport,
    rows: list[Row],
    sessions: dict[str, Session],
    state: UploadState,
    findings: Findings,
    *,
    append: bool,
) -> None:
    for task in session_tasks(rows):
        existing = sessions.get(task.session.casefold()) if task.session else None
        if existing is None:
            continue
        members = [row for row in rows if row.session == task.session]
        if existing.label != task.session:
            findings.problem(members, "the server has the session in another spelling")
        elif existing.subject_label and existing.subject_label != task.subject:
            findings.problem(members, "the server has the session at another subject")
        elif state.has_begun(f"{transport.url}{task.key}"):
            findings.note(members, "begun before; what the server holds is not sent again")
        elif append:
            findings.note(members, "the session exists already and is added to")
        else:
            findings.problem(
                members, "the session exists already on the server; choose another label, or "
                "--append to add to it",
            )  # fmt: skip


def _check_subjects(rows: list[Row], labels: frozenset[str], findings: Findings) -> None:
    spellings = {label.casefold(): label for label in labels}
    for row in rows:
        known = spellings.get(row.subject.casefold()) if row.subject else None
        if row.subject and known is None:
            findings.note([row], "new subject")
        elif known is not None and row.subject not in labels:
            findings.problem([row], "the server has the subject in another spelling")


def _check_types(
    rows: list[Row], sessions: dict[str, Session], session_type: str, findings: Findings
) -> None:
    for task in session_tasks(rows, session_type):
        is_new = task.session and task.session.casefold() not in sessions
        if is_new and not task.images and not task.session_type:
            members = [row for row in rows if row.session == task.session]
            findings.problem(
                members, "a new session without images or recordings; give --session-type, or "
                "leave the session empty to put it at the subject",
            )  # fmt: skip
