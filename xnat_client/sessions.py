"""Imaging sessions of a project.

XNAT calls them experiments in its paths. Not here: their files (``resources``), bringing new
ones in (``upload``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xnat_client.address import check_project_id, path_of
from xnat_client.errors import NotFoundError
from xnat_client.listings import list_rows

if TYPE_CHECKING:
    from xnat_client.transport import Transport

_COLUMNS = "ID,label,project,subject_ID,subject_label,xsiType,date"


@dataclass(frozen=True, slots=True)
class Session:
    """One session, as seen from the project of the listing.

    ``session_id`` is the server's accession number, ``label`` its name inside the project,
    ``xsi_type`` the data type (``xnat:mrSessionData``).
    """

    session_id: str
    label: str
    project_id: str
    subject_label: str
    xsi_type: str

    @property
    def path(self) -> str:
        """Return the session's path below the server's address."""
        return path_of("data", "experiments", self.session_id)

    @property
    def archive_uri(self) -> str:
        """Return the URI by which the Container Service knows the session."""
        return path_of("archive", "experiments", self.session_id)


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of a session; ``scan_id`` is the series number as text."""

    scan_id: str
    scan_type: str
    quality: str
    xsi_type: str
    series_description: str


def list_sessions(transport: Transport, project_id: str) -> tuple[Session, ...]:
    """Return the sessions of a project that this account may read, sorted by label.

    Notes
    -----
    Subject assessors that are not imaging sessions are in the list too, as XNAT has them.
    """
    rows = list_rows(
        transport,
        path_of("data", "projects", check_project_id(project_id), "experiments"),
        doing=f"list the sessions of project {project_id}",
        query={"columns": _COLUMNS},
    )
    sessions = [
        Session(
            session_id=row["ID"],
            label=row.get("label", ""),
            project_id=row.get("project") or project_id,
            subject_label=row.get("subject_label", ""),
            xsi_type=row.get("xsiType", ""),
        )
        for row in rows
    ]
    return tuple(sorted(sessions, key=lambda session: session.label))


def look_up_session(transport: Transport, project_id: str, name: str) -> Session | None:
    """Return the session with this label or ID in a project, or None.

    Labels are compared without regard to case: they become folder names on the server.
    """
    sessions = list_sessions(transport, project_id)
    by_label = [one for one in sessions if one.label.casefold() == name.casefold()]
    exact = [one for one in by_label if one.label == name]
    by_id = [one for one in sessions if one.session_id == name]
    return next(iter([*exact, *by_label, *by_id]), None)


def find_session(transport: Transport, project_id: str, name: str) -> Session:
    """Return the session with this label or ID in a project; raise ``NotFoundError`` if none."""
    session = look_up_session(transport, project_id, name)
    if session is None:
        raise NotFoundError(
            f"Project {project_id} on {transport.host} has no session {name} that this account may "
            "read. Check the label, or ask an owner of the project for access."
        )
    return session


def list_scans(transport: Transport, session: Session) -> tuple[Scan, ...]:
    """Return the scans of a session in the server's order."""
    rows = list_rows(
        transport,
        f"{session.path}/scans",
        doing=f"list the scans of session {session.label}",
        query={"columns": "ID,type,quality,xsiType,series_description"},
    )
    return tuple(
        Scan(
            scan_id=row["ID"],
            scan_type=row.get("type", ""),
            quality=row.get("quality", ""),
            xsi_type=row.get("xsiType", ""),
            series_description=row.get("series_description", ""),
        )
        for row in rows
    )
