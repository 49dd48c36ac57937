"""Projects: item, creation, change, deletion, and their plain-text properties.

Not here: lists (``listings``), accessibility and users (``access``), the rules of who may
(``rights``).
"""

from __future__ import annotations

import sqlite3
from functools import partial

from starlette.responses import Response

from deploy.sandbox import objects, records, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.datatypes import PROJECT
from deploy.sandbox.errors import (
    HttpError,
    bad_request,
    conflict,
    forbidden,
    not_found,
    not_implemented,
)
from deploy.sandbox.folders import change_folders
from deploy.sandbox.items import answer_item, project_item
from deploy.sandbox.objects import Project
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.store import now_text
from deploy.sandbox.submissions import Submission, merge, read_submission
from deploy.sandbox.values import check_project_id
from deploy.sandbox.xml_documents import write_document

ROUTES = Routes()
LAST_ROUTES = Routes()
"""Patterns that match whatever no other part has claimed below a project."""

DEFAULT_ACCESSIBILITY = "protected"
_LEVELS = frozenset({"private", "protected", "public"})


@ROUTES.add("GET", "/data/projects/{project}")
def get_project(call: Call) -> Response:
    """Answer a project."""
    return answer_item(call, project_item(call, targets.project(call)))


@ROUTES.add("PUT", "/data/projects/{project}", body=True)
def put_project(call: Call) -> Response:
    """Make or change a project; the creator becomes its owner."""
    return _put(call)


def _put(call: Call) -> Response:
    name = call.path["project"]
    submission = read_submission(call, PROJECT, present=partial(_present, call, name))
    with call.site.store.write() as connection:
        existing = objects.find_project(connection, name)
        if existing is None or existing.id.lower() != name.lower():  # found by its alias
            _create(call, connection, check_project_id(name), submission)
        else:
            if Action.EDIT not in call.site.rights.record_actions(call.user, existing.id):
                raise forbidden(f"You may not edit project {existing.id}.")
            _change(call, connection, existing, submission)
    return text()


def _present(call: Call, name: str) -> bytes | None:
    """Return the document of a project if it is there and may be edited."""
    project = objects.find_project(call.site.store.connection, name)
    if project is None or Action.EDIT not in call.site.rights.record_actions(call.user, project.id):
        return None
    return write_document(call.site.types, project_item(call, project))


@ROUTES.add("POST", "/data/projects", body=True)
def post_project(call: Call) -> Response:
    """Make a project named by the body or the query; answer its address."""
    submission = read_submission(call, PROJECT)
    project_id = submission.identity.get("ID", "")
    if not project_id:
        raise HttpError(417, "Requires XNAT ProjectData ID: none is in the body or the query.")
    _refuse_existing(call, project_id)
    with call.site.store.write() as connection:
        _create(call, connection, check_project_id(project_id), submission)
    return text(f"/data/projects/{project_id}")


@ROUTES.add("POST", "/data/projects/{project}", body=True)
def post_named_project(call: Call) -> Response:
    """Make a project at its address; 409 if it exists."""
    _refuse_existing(call, call.path["project"])
    return _put(call)


def _refuse_existing(call: Call, project_id: str) -> None:
    if objects.find_project(call.site.store.connection, project_id) is not None:
        raise conflict(f"Project {project_id} already exists.")


@ROUTES.add("DELETE", "/data/projects/{project}")
def delete_project(call: Call) -> Response:
    """Delete a project with its contents; ``removeFiles=true`` removes its folder too."""
    if objects.find_project(call.site.store.connection, call.path["project"]) is None:
        raise bad_request(f"There is no project {call.path['project']} to delete.")
    with change_folders(call.site.store, call.site.settings) as changes:
        project = targets.project(call, Action.DELETE)
        records.delete_project(call.site.store.connection, project)
        if call.flag("removeFiles"):
            changes.remove(project.dir)
    return text()


# Creating and changing ----------------------------------------------------------------------


def _create(
    call: Call, connection: sqlite3.Connection, project_id: str, submission: Submission
) -> None:
    if call.user.is_guest:
        raise forbidden("A guest may not create projects.")
    if not call.user.is_admin and not call.site.get("uiAllowNonAdminProjectCreation"):
        raise forbidden("Only administrators may create projects on this site.")
    if submission.empty:
        raise HttpError(417, "Need PUT Contents: name at least xsiType=xnat:projectData.")
    if submission.identity.get("ID", project_id) != project_id:
        raise HttpError(417, "The project ID in the body differs from that in the address.")
    blocked = connection.execute(
        "SELECT 1 FROM deleted_project WHERE id = ?", (project_id,)
    ).fetchone()
    if blocked is not None:
        raise forbidden(f"ID {project_id} belonged to a deleted project and stays blocked.")
    accessibility = _wanted_accessibility(call)
    if accessibility is None:
        may_be_seen = call.site.get("securityAllowNonPrivateProjects")
        accessibility = DEFAULT_ACCESSIBILITY if may_be_seen else "private"
    identity = {"name": project_id, "secondary_ID": project_id, **submission.identity}
    aliases, values = _split_aliases(submission)
    _require_unique(
        connection, "", [project_id, identity["name"], identity["secondary_ID"], *aliases]
    )
    now = now_text()
    connection.execute(
        "INSERT INTO project (id, name, secondary_id, accessibility, fields, insert_date,"
        " insert_user, last_modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project_id, identity["name"], identity["secondary_ID"], accessibility,
            records.fields_json(merge({}, values)), now, call.user.login, now,
        ),
    )  # fmt: skip
    _add_aliases(connection, project_id, aliases)
    connection.execute(
        "INSERT INTO user_group VALUES (?, ?)", (call.user.id, f"{project_id}_owner")
    )


def _change(
    call: Call, connection: sqlite3.Connection, project: Project, submission: Submission
) -> None:
    if submission.empty:
        raise HttpError(417, "Need PUT Contents: the request names nothing to change.")
    identity = submission.identity
    if identity.get("ID", project.id) != project.id:
        raise HttpError(417, "The ID of a project cannot be changed.")
    accessibility = _wanted_accessibility(call)
    if accessibility is not None:
        call.site.rights.require_record(call.user, Action.DELETE, project.id)
    aliases, values = _split_aliases(submission)
    name = identity.get("name", project.name)
    secondary_id = identity.get("secondary_ID", project.secondary_id)
    _require_unique(connection, project.id, [name, secondary_id, *aliases])
    connection.execute(
        "UPDATE project SET name = ?, secondary_id = ?, accessibility = ?, fields = ?,"
        " last_modified = ? WHERE id = ?",
        (
            name, secondary_id, accessibility or project.accessibility,
            records.fields_json(merge(project.fields, values)), now_text(), project.id,
        ),
    )  # fmt: skip
    _add_aliases(connection, project.id, aliases)


def _wanted_accessibility(call: Call) -> str | None:
    wanted = call.query.get("accessibility")
    if wanted is None:
        return None
    level = wanted if wanted in _LEVELS else "private"  # as XNAT takes it
    if level != "private" and not call.site.get("securityAllowNonPrivateProjects"):
        raise forbidden("This site allows private projects only.")
    return level


def _split_aliases(submission: Submission) -> tuple[list[str], dict[str, str | None]]:
    aliases, values = [], {}
    for path, value in submission.values.items():
        if not path.startswith("aliases/"):
            values[path] = value
        elif value is not None:
            aliases.append(value)
    return aliases, values


def _add_aliases(connection: sqlite3.Connection, project_id: str, aliases: list[str]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO project_alias VALUES (?, ?)",
        [(alias, project_id) for alias in aliases],
    )


def _require_unique(connection: sqlite3.Connection, own_id: str, names: list[str]) -> None:
    """Raise 409 when another project has one of the names as ID, title, secondary ID or alias."""
    for name in names:
        taken = connection.execute(
            "SELECT 1 FROM project WHERE id <> ? AND ? COLLATE NOCASE IN (id, name, secondary_id)"
            " UNION ALL SELECT 1 FROM project_alias WHERE project <> ? AND alias = ?",
            (own_id, name, own_id, name),
        ).fetchone()
        if taken is not None:
            raise conflict("Another project has this ID, title, secondary ID or alias already.")


# Plain-text properties ----------------------------------------------------------------------


@ROUTES.add("GET", "/data/projects/{project}/prearchive_code")
def get_prearchive_code(call: Call) -> Response:
    """Answer what happens to incoming sessions: 0 wait, 4 archive, 5 archive and overwrite."""
    return text(str(targets.project(call).prearchive_code))


@ROUTES.add("GET", "/data/projects/{project}/quarantine_code")
def get_quarantine_code(call: Call) -> Response:
    """Answer whether new data are quarantined (1) or not (0)."""
    return text(str(targets.project(call).quarantine_code))


@ROUTES.add("GET", "/data/projects/{project}/current_arc")
def get_current_arc(call: Call) -> Response:
    """Answer the name of the folder that holds the project's sessions."""
    return text(targets.project(call).current_arc)


def _put_code(call: Call, column: str) -> Response:
    project = targets.project(call, Action.EDIT)
    value = call.path["value"]
    if not (value.isascii() and value.isdigit() and len(value) <= 9):  # noqa: PLR2004 - an int
        raise bad_request(f"'{column}' must be a whole number.")
    with call.site.store.write() as connection:
        connection.execute(
            f"UPDATE project SET {column} = ?, last_modified = ? WHERE id = ?",  # noqa: S608 - one of two names
            (int(value), now_text(), project.id),
        )
    return text()


@ROUTES.add("PUT", "/data/projects/{project}/prearchive_code/{value}")
def put_prearchive_code(call: Call) -> Response:
    """Set what happens to incoming sessions."""
    return _put_code(call, "prearchive_code")


@ROUTES.add("PUT", "/data/projects/{project}/quarantine_code/{value}")
def put_quarantine_code(call: Call) -> Response:
    """Set whether new data are quarantined."""
    return _put_code(call, "quarantine_code")


@ROUTES.add("PUT", "/data/projects/{project}/current_arc/{value}")
def put_current_arc(call: Call) -> Response:
    """Set the folder of the project's sessions; possible while there are none."""
    project = targets.project(call, Action.EDIT)
    folder = check_project_id(call.path["value"])
    with call.site.store.write() as connection:
        used = connection.execute(
            "SELECT 1 FROM experiment WHERE project = ?", (project.id,)
        ).fetchone()
        if used is not None and folder != project.current_arc:
            raise conflict(f"Project {project.id} has sessions in folder {project.current_arc}.")
        connection.execute("UPDATE project SET current_arc = ? WHERE id = ?", (folder, project.id))
    return text()


@ROUTES.add(
    "GET PUT POST DELETE",
    *(
        f"/data/projects/{{project}}/{name}{end}"
        for end in ("", "/{rest:path}")
        for name in (
            "investigators",
            "archive_spec",
            "pipelines",
            "searches",
            "protocols",
            "visits",
        )
    ),
)
def other_parts(call: Call) -> Response:
    """Refuse parts of a project that a full XNAT has and the sandbox has not."""
    targets.project(call)
    raise not_implemented("this part of a project")


@LAST_ROUTES.add("GET PUT", "/data/projects/{project}/{rest:path}")
def unknown_part(call: Call) -> Response:
    """Refuse unknown parts of a project: 400 for PUT, as XNAT answers it, else 404."""
    targets.project(call)
    if call.request.method == "PUT":
        raise bad_request("There is nothing at this address that could be set.")
    raise not_found("There is nothing at this address.")
