"""Which sessions of a project a command is run on: named, all, or by conditions.

Not here: which of them are finished already (``driver``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xnat_client.address import check_project_id, path_of
from xnat_client.conditions import SIGNS, Condition, split_condition
from xnat_client.errors import NotFoundError, UsageError
from xnat_client.listings import list_rows
from xnat_client.projects import require_project
from xnat_client.resources import list_resources
from xnat_client.sessions import Session, list_scans

if TYPE_CHECKING:
    from xnat_client.transport import Transport

_MANY = ("scan", "resource")
_COLUMNS = ("label", "id", "subject", "type", "date", *_MANY)


def read_condition(text: str) -> Condition:
    """Read a condition as it is written on the command line.

    Raises
    ------
    UsageError
        It has no known column or sign, or its regular expression is none.

    Examples
    --------
    >>> read_condition("resource != BIDS")
    Condition(column='resource', sign='!=', value='BIDS')
    """
    condition = split_condition(text)
    if condition is None or condition.column not in _COLUMNS:
        raise UsageError(
            f"The condition must be written COLUMN SIGN VALUE, with a column of "
            f"{', '.join(_COLUMNS)} and a sign of {SIGNS}; for example: resource!=BIDS"
        )
    return condition


def choose_sessions(
    transport: Transport,
    project_id: str,
    *,
    names: Sequence[str] = (),
    conditions: Sequence[Condition] = (),
) -> list[Session]:
    """Return sessions of a project, sorted by label.

    Parameters
    ----------
    names : sequence of str
        Labels or IDs; empty for all sessions.
    conditions : sequence of Condition
        All of them must hold.

    Raises
    ------
    NotFoundError
        No such project, or it has no session of one of the names, or none at all is left.
    """
    require_project(transport, project_id)
    rows = list_rows(
        transport,
        path_of("data", "projects", check_project_id(project_id), "experiments"),
        doing=f"list the sessions of project {project_id}",
        query={"columns": "ID,label,project,subject_label,xsiType,date"},
    )
    dates = {row["ID"]: row.get("date", "") for row in rows}
    sessions = [
        Session(
            session_id=row["ID"],
            label=row.get("label", ""),
            project_id=project_id,
            subject_label=row.get("subject_label", ""),
            xsi_type=row.get("xsiType", ""),
        )
        for row in rows
    ]
    if names:
        sessions = _named(transport, project_id, sessions, names)
    chosen = [
        session
        for session in sessions
        if all(
            condition.holds(_cells(transport, session, dates[session.session_id], condition.column))
            for condition in conditions
        )
    ]
    if not chosen:
        raise NotFoundError(
            f"Project {project_id} on {transport.host} has no session that fits; of "
            f"{len(sessions)} that this account may read none was chosen."
        )
    return sorted(chosen, key=lambda one: one.label)


def _named(
    transport: Transport, project_id: str, sessions: list[Session], names: Sequence[str]
) -> list[Session]:
    found: dict[str, Session] = {}
    missing = []
    for name in names:
        exact = [one for one in sessions if name in (one.label, one.session_id)]
        alike = [one for one in sessions if one.label.casefold() == name.casefold()]
        session = next(iter([*exact, *alike]), None)
        if session is None:
            missing.append(name)
        else:
            found[session.session_id] = session
    if missing:
        shown = ", ".join(missing[:10]) + (" ..." if len(missing) > 10 else "")  # noqa: PLR2004 - enough to see
        raise NotFoundError(
            f"Project {project_id} on {transport.host} has no session {shown} that this account "
            "may read. Check the label, or ask an owner of the project for access."
        )
    return list(found.values())


def _cells(transport: Transport, session: Session, date: str, column: str) -> list[str]:
    """Return a session's values in a column; scans and resources are asked for one by one."""
    if column == "scan":
        scans = list_scans(transport, session)
        return [text for scan in scans for text in (scan.scan_type, scan.series_description)]
    if column == "resource":
        return [resource.label for resource in list_resources(transport, session)]
    # xnat:mrSessionData may be asked for as mr, as people say it.
    short = session.xsi_type.partition(":")[2].removesuffix("SessionData")
    return {
        "label": [session.label],
        "id": [session.session_id],
        "subject": [session.subject_label],
        "type": [session.xsi_type, short],
        "date": [date],
    }[column]
