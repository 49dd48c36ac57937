"""Projects: listing, and creating them private.

Not here: widening access to a project (``sharing``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from xnat_client.address import check_project_id, path_of
from xnat_client.errors import ConflictError, NotFoundError, RefusedError
from xnat_client.listings import list_rows

if TYPE_CHECKING:
    from xnat_client.transport import Transport


class Accessibility(StrEnum):
    """Who sees a project without being a member of it (XNAT, project accessibility)."""

    PRIVATE = "private"
    PROTECTED = "protected"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Project:
    """A project as its listing shows it."""

    project_id: str
    name: str
    description: str = ""


def list_projects(transport: Transport) -> tuple[Project, ...]:
    """Return the projects that this account sees, sorted by ID."""
    rows = list_rows(
        transport,
        "/data/projects",
        doing="list the projects",
        query={"columns": "ID,name,description"},
    )
    projects = [Project(row["ID"], row.get("name", ""), row.get("description", "")) for row in rows]
    return tuple(sorted(projects, key=lambda project: project.project_id))


def get_accessibility(transport: Transport, project_id: str) -> Accessibility:
    """Return a project's accessibility.

    Raises
    ------
    NotFoundError
        No such project, or it is hidden from this account.
    """
    doing = f"read the accessibility of project {project_id}"
    path = path_of("data", "projects", check_project_id(project_id), "accessibility")
    text = transport.get_text(path, doing=doing)
    try:
        return Accessibility(text)
    except ValueError:
        raise RefusedError(f"Cannot {doing}: the answer is none of the three levels.") from None


def require_project(transport: Transport, project_id: str) -> None:
    """Raise ``NotFoundError`` unless this account sees the project."""
    try:
        get_accessibility(transport, project_id)
    except NotFoundError as error:
        raise NotFoundError(
            f"There is no project {project_id} on {transport.host}, or this account may not see "
            "it. Check the ID, or ask an owner of the project to add you; a project that is new "
            "is made on the pages of XNAT, or by 'winxnat site apply'.",
            status=error.status,
        ) from error


def create_project(
    transport: Transport, project_id: str, name: str | None = None, description: str = ""
) -> Project:
    """Create a private project.

    XNAT makes a project ``protected`` when a request does not say otherwise (its title and
    description are then visible to everybody); so this asks for ``private`` and reads it back.

    Raises
    ------
    ConflictError
        The project exists.
    RefusedError
        The project was made but is not private, even after asking a second time.
    """
    check_project_id(project_id)
    doing = f"create project {project_id}"
    try:
        get_accessibility(transport, project_id)
    except NotFoundError:
        pass  # the wanted case
    else:
        raise ConflictError(f"Cannot {doing}: it exists already. Choose another ID.")
    query = {
        "xsiType": "xnat:projectData",
        "req_format": "qs",
        "xnat:projectData/name": name or project_id,
        "accessibility": Accessibility.PRIVATE.value,
    }
    if description:
        query["xnat:projectData/description"] = description
    transport.request("PUT", path_of("data", "projects", project_id), doing=doing, query=query)
    _make_private(transport, project_id)
    return Project(project_id, name or project_id, description)


def _make_private(transport: Transport, project_id: str) -> None:
    if get_accessibility(transport, project_id) is Accessibility.PRIVATE:
        return
    path = path_of("data", "projects", project_id, "accessibility", Accessibility.PRIVATE.value)
    transport.request("PUT", path, doing=f"make project {project_id} private")
    found = get_accessibility(transport, project_id)
    if found is not Accessibility.PRIVATE:
        raise RefusedError(
            f"Project {project_id} was created, but the server keeps it {found.value} instead of "
            "private. Upload nothing to it; make it private on the server first."
        )
