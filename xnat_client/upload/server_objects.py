"""Subjects, sessions, scans and resources on the server: looking them up and making them.

EEG and MEG have no importer in XNAT: their sessions and scans are made by REST. Not here: DICOM,
whose objects the importer makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xnat_client.address import path_of
from xnat_client.errors import ConflictError, NotFoundError
from xnat_client.listings import list_rows
from xnat_client.resources import RemoteFile, read_file_rows
from xnat_client.sessions import Session

if TYPE_CHECKING:
    from xnat_client.transport import Transport
    from xnat_client.upload.session_task import ResourceTask, SessionTask

_COLUMNS = "ID,label,project,subject_label,xsiType"


def find_session_by_label(transport: Transport, project_id: str, label: str) -> Session | None:
    """Return a session by its label, without regard to case, or None; asks for one row."""
    rows = list_rows(
        transport,
        path_of("data", "projects", project_id, "experiments"),
        doing=f"look for session {label} in project {project_id}",
        query={"columns": _COLUMNS, "label": label},
    )
    found = [row for row in rows if row.get("label", "").casefold() == label.casefold()]
    exact = [row for row in found if row.get("label") == label]
    for row in [*exact, *found]:
        return Session(
            session_id=row["ID"],
            label=row.get("label", ""),
            project_id=row.get("project") or project_id,
            subject_label=row.get("subject_label", ""),
            xsi_type=row.get("xsiType", ""),
        )
    return None


def list_subject_labels(transport: Transport, project_id: str) -> frozenset[str]:
    """Return the labels of a project's subjects."""
    rows = list_rows(
        transport,
        path_of("data", "projects", project_id, "subjects"),
        doing=f"list the subjects of project {project_id}",
        query={"columns": "ID,label"},
    )
    return frozenset(row.get("label", "") for row in rows)


def make_subject(transport: Transport, project_id: str, label: str) -> None:
    """Make a subject, unless it is there."""
    path = path_of("data", "projects", project_id, "subjects", label)
    transport.request("PUT", path, doing=f"make subject {label}")


def make_session(transport: Transport, task: SessionTask) -> None:
    """Make a session of the task's type."""
    transport.request(
        "PUT",
        task.key,
        doing=f"make session {task.session} in project {task.project}",
        query={"xsiType": task.session_type},
    )


def make_scan(transport: Transport, owner: str, resource: ResourceTask) -> None:
    """Make a scan for a recording, unless it is there."""
    try:
        transport.request(
            "PUT",
            owner,
            doing=f"make scan {resource.scan}",
            query={"xsiType": resource.scan_type, "type": resource.label},
        )
    except ConflictError as error:
        raise ConflictError(
            f"Scan {resource.scan} is on the server already, and of another type. Give the "
            "recording another scan in the plan.",
            status=error.status,
        ) from error


def make_resource(transport: Transport, path: str, resource: ResourceTask) -> None:
    """Make a resource, unless it is there."""
    query = {"format": resource.format} if resource.format else {}
    try:
        transport.request("PUT", path, doing=f"make resource {resource.label}", query=query)
    except ConflictError:
        return  # it is there: somebody else made it, or an earlier try did


def list_held(transport: Transport, path: str, label: str) -> dict[str, RemoteFile] | None:
    """Return the files of a resource by name, or None if there is no such resource."""
    doing = f"list the files of resource {label}"
    try:
        return {file.path: file for file in read_file_rows(transport, f"{path}/files", doing=doing)}
    except NotFoundError:
        return None
