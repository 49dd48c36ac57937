"""Rows of objects written: made, changed, renamed, deleted with all that belongs to them.

No rights are checked here. Functions that may move or remove folders take the ``FolderChanges``
of the transaction. Not here: HTTP (``projects``, ``subjects``, ``experiments``, ``scans``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from deploy.sandbox import objects
from deploy.sandbox.errors import conflict
from deploy.sandbox.objects import Experiment, Kind, Project, Subject
from deploy.sandbox.store import now_text

if TYPE_CHECKING:
    from deploy.sandbox.folders import FolderChanges
    from deploy.sandbox.site import Site


def fields_json(fields: dict[str, str]) -> str:
    """Return fields as stored; characters are not escaped, so that SQL finds the same keys."""
    return json.dumps(fields, ensure_ascii=False)


def require_free_label(
    connection: sqlite3.Connection, kind: Kind, project: str, label: str, but_id: str = ""
) -> None:
    """Raise 409 when a label is used in a project, by an object of its own or shared into it."""
    taken = connection.execute(
        f"SELECT 1 FROM {kind.value} WHERE project = ? AND label = ? AND id <> ? UNION ALL"  # noqa: S608 - a table name of ours
        " SELECT 1 FROM share WHERE kind = ? AND project = ? AND label = ? AND object_id <> ?",
        (project, label, but_id, kind.value, project, label, but_id),
    ).fetchone()
    if taken is not None:
        raise conflict(f"Label {label} is already used by another {kind.value} in {project}.")


def new_id(site: Site, connection: sqlite3.Connection, kind: Kind, wanted: str | None) -> str:
    """Return an accession number: the client's if it is free (else 409), or a new one."""
    query = f"SELECT 1 FROM {kind.value} WHERE id = ?"  # noqa: S608 - a table name of ours
    if wanted is not None:
        if connection.execute(query, (wanted,)).fetchone() is not None:
            raise conflict(f"ID {wanted} is already used.")
        return wanted
    while True:
        made = site.next_id("S" if kind is Kind.SUBJECT else "E")
        if connection.execute(query, (made,)).fetchone() is None:
            return made


# Subjects -----------------------------------------------------------------------------------


def insert_subject(  # noqa: PLR0913 - the columns of a row
    site: Site,
    connection: sqlite3.Connection,
    login: str,
    *,
    project: str,
    label: str,
    fields: dict[str, str],
    wanted_id: str | None = None,
) -> str:
    """Make a subject; return its ID. 409 when the label or the ID is taken."""
    require_free_label(connection, Kind.SUBJECT, project, label)
    subject_id = new_id(site, connection, Kind.SUBJECT, wanted_id)
    now = now_text()
    connection.execute(
        "INSERT INTO subject (id, project, label, fields, insert_date, insert_user, last_modified)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (subject_id, project, label, fields_json(fields), now, login, now),
    )
    return subject_id


def rename_subject(
    connection: sqlite3.Connection,
    changes: FolderChanges,
    subject: Subject,
    label: str,
    context: str | None,
) -> None:
    """Change a subject's label, in the project through which it was reached."""
    project = context or subject.project
    require_free_label(connection, Kind.SUBJECT, project, label, subject.id)
    if project != subject.project:
        _rename_share(connection, Kind.SUBJECT, subject.id, project, label)
        return
    connection.execute(
        "UPDATE subject SET label = ?, last_modified = ? WHERE id = ?",
        (label, now_text(), subject.id),
    )
    folder = PurePosixPath(project) / "subjects"
    changes.move(folder / subject.label, folder / label)


def _rename_share(
    connection: sqlite3.Connection, kind: Kind, object_id: str, project: str, label: str
) -> None:
    connection.execute(
        "UPDATE share SET label = ? WHERE kind = ? AND object_id = ? AND project = ?",
        (label, kind.value, object_id, project),
    )


# Experiments --------------------------------------------------------------------------------


def insert_experiment(  # noqa: PLR0913 - the columns of a row
    site: Site,
    connection: sqlite3.Connection,
    login: str,
    *,
    project: Project,
    label: str,
    xsi_type: str,
    fields: dict[str, str],
    subject_id: str | None = None,
    session_id: str | None = None,
    wanted_id: str | None = None,
) -> str:
    """Make a session, subject assessor or assessor; return its ID. 409 for a taken label or ID."""
    require_free_label(connection, Kind.EXPERIMENT, project.id, label)
    experiment_id = new_id(site, connection, Kind.EXPERIMENT, wanted_id)
    now = now_text()
    connection.execute(
        "INSERT INTO experiment (id, project, label, xsi_type, subject_id, session_id, status,"
        " fields, insert_date, insert_user, last_modified)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            experiment_id, project.id, label, xsi_type, subject_id, session_id,
            "quarantine" if project.quarantine_code else "active",
            fields_json(fields), now, login, now,
        ),
    )  # fmt: skip
    return experiment_id


def rename_experiment(
    connection: sqlite3.Connection,
    changes: FolderChanges,
    experiment: Experiment,
    label: str,
    context: str | None,
) -> None:
    """Change an experiment's label, in the project through which it was reached."""
    project = context or experiment.project
    require_free_label(connection, Kind.EXPERIMENT, project, label, experiment.id)
    if project != experiment.project:
        _rename_share(connection, Kind.EXPERIMENT, experiment.id, project, label)
        return
    folder = objects.experiment_dir(connection, experiment)
    connection.execute(
        "UPDATE experiment SET label = ?, last_modified = ? WHERE id = ?",
        (label, now_text(), experiment.id),
    )
    changes.move(folder, folder.with_name(label))


# Changing fields ----------------------------------------------------------------------------


def update_fields(
    connection: sqlite3.Connection, kind: Kind, key: str | int, fields: dict[str, str]
) -> None:
    """Replace the stored fields of an object (its ID, or the key of a scan or reconstruction)."""
    column = "key" if kind in {Kind.SCAN, Kind.RECONSTRUCTION} else "id"
    connection.execute(
        f"UPDATE {kind.value} SET fields = ?, last_modified = ? WHERE {column} = ?",  # noqa: S608 - names of ours
        (fields_json(fields), now_text(), key),
    )


# Deleting -----------------------------------------------------------------------------------


def unshare(connection: sqlite3.Connection, kind: Kind, object_id: str, project: str) -> bool:
    """Take an object out of a project it is shared into; return whether it was."""
    cursor = connection.execute(
        "DELETE FROM share WHERE kind = ? AND object_id = ? AND project = ?",
        (kind.value, object_id, project),
    )
    return cursor.rowcount > 0


def delete_parts(connection: sqlite3.Connection, kind: Kind, keys: Iterable[int]) -> None:
    """Delete scans or reconstructions by their table keys."""
    names = [str(key) for key in keys]
    _forget(connection, kind, names)
    connection.execute(
        f"DELETE FROM {kind.value} WHERE key IN (SELECT CAST(value AS INTEGER) FROM json_each(?))",  # noqa: S608 - names of ours
        (json.dumps(names),),
    )


def _forget(connection: sqlite3.Connection, kind: Kind, ids: list[str]) -> None:
    """Delete the resources and shares of objects, whose own rows go next."""
    listed = json.dumps(ids)
    connection.execute(
        "DELETE FROM resource WHERE owner_kind = ?"
        " AND owner_id IN (SELECT value FROM json_each(?))",
        (kind.value, listed),
    )
    connection.execute(
        "DELETE FROM share WHERE kind = ? AND object_id IN (SELECT value FROM json_each(?))",
        (kind.value, listed),
    )


def _ids(connection: sqlite3.Connection, query: str, ids: list[str]) -> list[str]:
    return [str(found) for (found,) in connection.execute(query, (json.dumps(ids),))]


def delete_experiments(connection: sqlite3.Connection, project: str, ids: list[str]) -> None:
    """Delete experiments of a project with their scans, reconstructions and assessors.

    Raises
    ------
    HttpError
        409 when another project has made assessors of these sessions: they are its data.
    """
    assessors = _ids(
        connection,
        "SELECT id FROM experiment WHERE session_id IN (SELECT value FROM json_each(?))",
        ids,
    )
    others = _ids(
        connection,
        "SELECT DISTINCT project FROM experiment WHERE id IN (SELECT value FROM json_each(?))",
        assessors,
    )
    if set(others) - {project}:
        raise conflict(
            "Other projects have assessors of these sessions. Have them deleted there first."
        )
    everything = [*ids, *assessors]
    for kind in (Kind.SCAN, Kind.RECONSTRUCTION):
        query = f"SELECT key FROM {kind.value} WHERE session_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - a table name of ours
        _forget(connection, kind, _ids(connection, query, everything))
    _forget(connection, Kind.EXPERIMENT, everything)
    connection.execute(
        "DELETE FROM experiment WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(everything),),
    )


def delete_subjects(connection: sqlite3.Connection, project: str, ids: list[str]) -> None:
    """Delete subjects of a project with their experiments.

    Raises
    ------
    HttpError
        409 when another project has made experiments of these subjects: they are its data.
    """
    experiments = _ids(
        connection,
        "SELECT id FROM experiment WHERE subject_id IN (SELECT value FROM json_each(?))",
        ids,
    )
    others = _ids(
        connection,
        "SELECT DISTINCT project FROM experiment WHERE id IN (SELECT value FROM json_each(?))",
        experiments,
    )
    if set(others) - {project}:
        raise conflict(
            "Other projects have experiments of these subjects. Have them deleted there first."
        )
    delete_experiments(connection, project, experiments)
    _forget(connection, Kind.SUBJECT, ids)
    connection.execute(
        "DELETE FROM subject WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
    )


def delete_project(connection: sqlite3.Connection, project: Project) -> None:
    """Delete a project with its contents and groups; its ID stays blocked."""
    owned = "SELECT id FROM {} WHERE project = (SELECT value FROM json_each(?))"
    delete_subjects(connection, project.id, _ids(connection, owned.format("subject"), [project.id]))
    # Left: experiments of subjects that are shared into the project, and assessors likewise.
    left = _ids(connection, owned.format("experiment"), [project.id])
    delete_experiments(connection, project.id, left)
    _forget(connection, Kind.PROJECT, [project.id])
    connection.execute(
        "DELETE FROM user_group WHERE group_id IN (SELECT id FROM project_group WHERE project = ?)"
        " OR group_id IN (?, ?, ?)",
        (project.id, *(f"{project.id}_{name}" for name in ("owner", "member", "collaborator"))),
    )
    connection.execute("DELETE FROM project WHERE id = ?", (project.id,))
    connection.execute(
        "INSERT OR REPLACE INTO deleted_project VALUES (?, ?)", (project.id, now_text())
    )
