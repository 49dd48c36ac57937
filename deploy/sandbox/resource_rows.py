"""Resources and their files as rows. Not here: HTTP (``resources``, ``files``) and rights."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from deploy.sandbox.errors import conflict
from deploy.sandbox.file_changes import FileChanges, IncomingFile
from deploy.sandbox.file_paths import check_resource_label
from deploy.sandbox.store import now_text

if TYPE_CHECKING:
    from deploy.sandbox.objects import Kind
    from deploy.sandbox.targets import Owner


@dataclass(frozen=True, slots=True)
class Details:
    """What describes a resource or a file, as free text."""

    format: str = ""
    content: str = ""
    tags: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource; ``dir`` is its folder relative to the archive."""

    id: int
    owner_kind: str
    owner_id: str
    direction: str
    label: str
    details: Details
    dir: PurePosixPath

    @property
    def catalog_name(self) -> str:
        """Return the name that the catalog has in the resource's folder."""
        return f"{self.label}_catalog.xml"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a resource; ``path`` is relative to the resource, ``md5`` hexadecimal."""

    resource_id: int
    path: str
    size: int
    md5: str
    details: Details
    created_at: str


@dataclass(slots=True)
class Outcome:
    """What became of files that were to be stored."""

    stored: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)


def _details(row: sqlite3.Row) -> Details:
    return Details(row["format"], row["content"], row["tags"], row["description"])


def resource_from_row(row: sqlite3.Row) -> Resource:
    """Return the resource of a complete row of the table."""
    return Resource(
        row["id"], row["owner_kind"], row["owner_id"], row["direction"], row["label"],
        _details(row), PurePosixPath(row["dir"]),
    )  # fmt: skip


def file_from_row(row: sqlite3.Row) -> StoredFile:
    """Return the file of a complete row of the table."""
    return StoredFile(
        row["resource_id"], row["path"], row["size"], row["md5"], _details(row), row["created_at"]
    )


def resources_of(
    connection: sqlite3.Connection, kind: Kind, owner_id: str, direction: str = ""
) -> list[Resource]:
    """Return an object's resources in the order in which they were made."""
    rows = connection.execute(
        "SELECT * FROM resource WHERE owner_kind = ? AND owner_id = ? AND direction = ?"
        " ORDER BY id",
        (kind.value, owner_id, direction),
    )
    return [resource_from_row(row) for row in rows]


def files_of(connection: sqlite3.Connection, resource_id: int) -> list[StoredFile]:
    """Return a resource's files in the order of their paths."""
    rows = connection.execute(
        "SELECT * FROM file WHERE resource_id = ? ORDER BY path", (resource_id,)
    )
    return [file_from_row(row) for row in rows]


def find_resource(connection: sqlite3.Connection, owner: Owner, name: str) -> Resource | None:
    """Return a resource of an object by its label or number, or None."""
    for each in resources_of(connection, owner.kind, owner.owner_id, owner.direction):
        if name in (each.label, str(each.id)):
            return each
    return None


def insert_resource(
    connection: sqlite3.Connection, owner: Owner, label: str, login: str, details: Details
) -> Resource:
    """Make a resource; the label must be free.

    Raises
    ------
    HttpError
        417 or 400 for a label that cannot be used.
    """
    check_resource_label(label)
    folder = owner.dir / label
    now = now_text()
    cursor = connection.execute(
        "INSERT INTO resource (owner_kind, owner_id, direction, label, format, content,"
        " description, tags, dir, insert_date, insert_user, last_modified)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            owner.kind.value, owner.owner_id, owner.direction, label, details.format,
            details.content, details.description, details.tags, str(folder), now, login, now,
        ),
    )  # fmt: skip
    return Resource(
        int(cursor.lastrowid or 0), owner.kind.value, owner.owner_id, owner.direction, label,
        details, folder,
    )  # fmt: skip


# Files --------------------------------------------------------------------------------------


def store_files(
    changes: FileChanges,
    resource: Resource,
    received: Iterable[tuple[str, IncomingFile]],
    details: Details,
    *,
    overwrite: bool,
) -> Outcome:
    """Put received files into a resource; those that are there already need ``overwrite``.

    Parameters
    ----------
    received : iterable of (path, file)
        Paths are checked ones (``check_file_path``).

    Raises
    ------
    HttpError
        409 when a file would have to be a folder or the other way round.
    """
    files, outcome = list(received), Outcome()
    stored = store_each(changes, resource, files, details, overwrite=overwrite)
    for (path, _), is_stored in zip(files, stored, strict=True):
        (outcome.stored if is_stored else outcome.duplicates).append(path)
    return outcome


def store_each(
    changes: FileChanges,
    resource: Resource,
    received: Sequence[tuple[str, IncomingFile]],
    details: Details,
    *,
    overwrite: bool,
) -> list[bool]:
    """Do what ``store_files`` does; return of each file whether it was stored.

    A path that comes twice is there already the second time.
    """
    taken = _taken_paths(changes.connection, resource, {path for path, _ in received})
    stored, rows = [], []
    for path, incoming in received:
        is_stored = path != resource.catalog_name and (overwrite or path not in taken)
        stored.append(is_stored)
        if is_stored:
            taken.add(path)
            changes.place(incoming, resource.dir, path)
            rows.append((path, incoming.size, incoming.md5))
    now = now_text()
    if rows:  # in one statement: each costs more than to store a small file
        changes.connection.execute(
            "INSERT OR REPLACE INTO file SELECT ?, json_extract(value, '$[0]'),"
            " json_extract(value, '$[1]'), json_extract(value, '$[2]'), ?, ?, ?, ?, ?"
            " FROM json_each(?) ORDER BY key",
            (
                resource.id, details.format, details.content, details.tags, details.description,
                now, json.dumps(rows),
            ),
        )  # fmt: skip
    changes.modified(resource.id, now)
    return stored


def _taken_paths(connection: sqlite3.Connection, resource: Resource, paths: set[str]) -> set[str]:
    """Return which files are there; raise 409 when a path is a folder or below a file."""
    parents = {
        str(parent): path
        for path in paths
        if "/" in path
        for parent in list(PurePosixPath(path).parents)[:-1]
    }
    rows = connection.execute(
        "SELECT path FROM file WHERE resource_id = ? AND path IN (SELECT value FROM json_each(?))",
        (resource.id, json.dumps([*paths, *parents])),
    )
    found = {row["path"] for row in rows}
    clash = next(((parents[name], name) for name in parents if name in found | paths), None)
    if clash is None:
        clash = connection.execute(
            # '0' is the character after '/'
            "SELECT asked.value, file.path FROM json_each(?) AS asked CROSS JOIN file"
            " WHERE resource_id = ? AND file.path > asked.value || '/'"
            " AND file.path < asked.value || '0' LIMIT 1",
            (json.dumps(list(paths)), resource.id),
        ).fetchone()
    if clash is not None:
        path, other = clash
        raise conflict(
            f"'{path}' cannot be stored: resource {resource.label} has '{other}', and "
            "one of them would have to be a file and a folder at once."
        )
    return found & paths


def remove_files(
    changes: FileChanges, resource: Resource, paths: Sequence[str], *, on_disk: bool = True
) -> None:
    """Take files out of a resource; without ``on_disk`` their bytes stay where they are."""
    changes.connection.executemany(
        "DELETE FROM file WHERE resource_id = ? AND path = ?",
        [(resource.id, path) for path in paths],
    )
    for path in paths if on_disk else ():
        changes.remove(resource.dir, path)
    changes.connection.execute(
        "UPDATE resource SET last_modified = ? WHERE id = ?", (now_text(), resource.id)
    )
