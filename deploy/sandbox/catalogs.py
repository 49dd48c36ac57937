"""Catalogs and the disk: rows made to agree with files, and catalogs written for containers.

Not here: catalogs as documents (``resources``).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from deploy.sandbox import objects
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import HttpError, bad_request, not_found
from deploy.sandbox.file_changes import COPY_BYTES, change_files
from deploy.sandbox.file_paths import check_file_path
from deploy.sandbox.objects import Experiment, Project, Subject
from deploy.sandbox.resource_rows import Resource, files_of, resource_from_row
from deploy.sandbox.resources import catalog_document
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.store import now_text

if TYPE_CHECKING:
    from deploy.sandbox.site import Site

ROUTES = Routes()

OPTIONS = frozenset({"append", "checksum", "delete", "populateStats"})


@ROUTES.add("POST", "/data/services/refresh/catalog", body=True)
def refresh_catalogs(call: Call) -> Response:
    """Refresh the catalogs below the objects named by ``resource`` (repeatable)."""
    call.count_form()
    options: set[str] = set()
    for value in call.query.getlist("options"):
        options.update(part.strip() for part in value.split(",") if part.strip())
    options.update(name for name in OPTIONS if call.flag(name))
    uris = call.query.getlist("resource")
    if not uris:
        raise bad_request("Name what to refresh: resource=/archive/...")
    _refresh(call, uris, options)
    return text()


@ROUTES.add(
    "PUT POST",
    "/xapi/archive/catalogs/refresh",
    "/xapi/archive/catalogs/refresh/{options}",
    body=True,
)
def refresh_listed_catalogs(call: Call) -> Response:
    """Refresh the catalogs below the objects in a JSON list."""
    uris: Any = json_body(call)
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
        raise bad_request("The body must be a JSON list of addresses such as /archive/...")
    named = call.path.get("options", ",".join(sorted(OPTIONS)))
    try:
        _refresh(call, uris, {part.strip() for part in named.split(",")})
    except HttpError as error:
        if error.status == 404:  # noqa: PLR2004 - /xapi does not tell hidden from forbidden
            raise HttpError(403, "You may not refresh one of these, or it is not there.") from error
        raise
    return text()


def _refresh(call: Call, uris: list[str], options: set[str]) -> None:
    by_name = {name.lower(): name for name in OPTIONS}
    unknown = {name for name in options if name.lower() not in by_name}
    if unknown:
        raise bad_request(f"Options of a refresh are: {', '.join(sorted(OPTIONS))}.")
    chosen = {by_name[name.lower()] for name in options}
    for uri in uris:
        for resource in resources_below(call, uri, Action.EDIT):
            _refresh_one(call, resource, chosen)


# What an address means ----------------------------------------------------------------------


def resources_below(call: Call, uri: str, action: Action) -> list[Resource]:
    """Return the resources of the object at an address, and of the scans that belong to it.

    Raises
    ------
    HttpError
        400 for an address that names no object, 404 and 403 by the rights on the object.
    """
    parts = [part for part in uri.split("/") if part]
    while parts[:1] in (["data"], ["archive"], ["REST"]):
        parts = parts[1:]
    if not parts or len(parts) % 2:
        raise bad_request("'resource' must be an address such as /archive/experiments/ID.")
    names: dict[str, str] = {}
    for kind, name in zip(parts[::2], parts[1::2], strict=True):
        if kind in names:
            raise bad_request("'resource' names an object twice.")
        names[kind] = name
    known = {"projects", "subjects", "experiments", "scans", "assessors", "resources"}
    if not set(names) <= known:
        raise bad_request(f"'resource' may have these parts: {', '.join(sorted(known))}.")
    owners = _owners(call, names, action)
    rows = call.site.store.connection.execute(
        "SELECT * FROM resource WHERE EXISTS (SELECT 1 FROM json_each(?) AS owner"
        " WHERE owner.value ->> 0 = owner_kind AND owner.value ->> 1 = owner_id) ORDER BY id",
        (json.dumps(owners),),
    )
    found = [resource_from_row(row) for row in rows]
    wanted = names.get("resources")
    if wanted is None:
        return found
    found = [each for each in found if wanted in (each.label, str(each.id))]
    if not found:
        raise not_found(f"There is no {uri} that you can read.")
    return found


def _owners(call: Call, names: dict[str, str], action: Action) -> list[tuple[str, str]]:
    """Return (kind, id) of the object and, unless one of its resources is named, of its scans."""
    connection = call.site.store.connection
    # The words of the rights table, so that a hidden object is answered like none.
    missing = not_found("There is no such object that you can read.")
    context: str | None = None
    found: Project | Subject | Experiment | None = None
    if "projects" in names:
        found = objects.find_project(connection, names["projects"])
        if found is None:
            raise missing  # else an object's ID would tell this from a project that is hidden
        context = found.id
    if "subjects" in names:
        found = objects.find_subject(connection, names["subjects"], context)
    for kind in ("experiments", "assessors"):
        if kind in names:
            found = objects.find_experiment(connection, names[kind], context)
    if found is None:
        raise missing
    call.site.rights.require(call.user, action, found.secured, context)
    if not isinstance(found, Experiment):
        return [("project" if isinstance(found, Project) else "subject", found.id)]
    scans = connection.execute("SELECT key, id FROM scan WHERE session_id = ?", (found.id,))
    keys = [("scan", str(row["key"])) for row in scans if names.get("scans") in {None, row["id"]}]
    if "scans" not in names:
        return [("experiment", found.id), *([] if "resources" in names else keys)]
    if not keys:
        raise missing
    return keys


# Refreshing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Measured:
    """Size and digest of a file, with the time of change that they belong to."""

    size: int
    md5: str
    changed_ns: int


def _refresh_one(call: Call, resource: Resource, options: set[str]) -> None:
    site = call.site
    folder = site.settings.archive_dir / resource.dir
    again = bool(options & {"checksum", "populateStats"})
    # Digesting takes long for large files, so it is done before others are kept from writing;
    # what changes meanwhile is looked at again.
    measured: dict[str, _Measured] = {}
    _compare(site.store.connection, resource, folder, measured, again=again)
    with change_files(site.store, site.settings) as changes:
        connection = changes.connection
        present, known = _compare(connection, resource, folder, measured, again=again)
        if "delete" in options:
            connection.executemany(
                "DELETE FROM file WHERE resource_id = ? AND path = ?",
                [(resource.id, path) for path in sorted(known - present)],
            )
        if "append" in options:
            connection.executemany(
                "INSERT INTO file (resource_id, path, size, md5, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                [
                    (resource.id, path, measured[path].size, measured[path].md5, now_text())
                    for path in sorted(present - known)
                ],
            )
        if again:
            connection.executemany(
                "UPDATE file SET size = ?, md5 = ? WHERE resource_id = ? AND path = ?",
                [
                    (measured[path].size, measured[path].md5, resource.id, path)
                    for path in sorted(present & known)
                ],
            )


def _compare(
    connection: sqlite3.Connection,
    resource: Resource,
    folder: Path,
    measured: dict[str, _Measured],
    *,
    again: bool,
) -> tuple[set[str], set[str]]:
    """Return the paths on disk and those with rows; measure what was not, or has changed."""
    known = {each.path for each in files_of(connection, resource.id)}
    present = dict(_on_disk(folder, resource))
    for path, file in list(present.items()):
        if path in known and not again:
            continue
        try:
            changed_ns = file.stat().st_mtime_ns
            if path not in measured or measured[path].changed_ns != changed_ns:
                measured[path] = _Measured(*_measure(file), changed_ns)
        except FileNotFoundError:
            del present[path]  # removed while we looked
    return set(present), known


def _on_disk(folder: Path, resource: Resource) -> Iterator[tuple[str, Path]]:
    """Yield the plain files of a resource's folder whose names may be served."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file() or relative == resource.catalog_name:
                continue
            try:
                yield check_file_path(relative), path
            except HttpError:
                continue  # a name that could not have been uploaded either


def _measure(path: Path) -> tuple[int, str]:
    size, md5 = 0, hashlib.md5(usedforsecurity=False)  # what XNAT shows as the digest
    with path.open("rb") as stream:
        while chunk := stream.read(COPY_BYTES):
            size += len(chunk)
            md5.update(chunk)
    return size, md5.hexdigest()


# Catalogs on disk ---------------------------------------------------------------------------


def write_catalogs(site: Site, folder: PurePosixPath) -> None:
    """Write the catalog of every resource at or below a folder of the archive.

    A real XNAT keeps them there always, so that a container finds ``LABEL_catalog.xml`` beside
    the files of each mounted resource. Here they are written when somebody will look.
    """
    rows = site.store.connection.execute(
        "SELECT * FROM resource WHERE dir = ? OR substr(dir, 1, ?) = ? || '/'",
        (str(folder), len(str(folder)) + 1, str(folder)),
    ).fetchall()
    for resource in map(resource_from_row, rows):
        target = site.settings.archive_dir / resource.dir
        document = catalog_document(resource, files_of(site.store.connection, resource.id))
        if _holds(target / resource.catalog_name, document):
            continue  # a container may be reading it: a file that is replaced fails its copy
        partial = site.settings.incoming_dir / uuid.uuid4().hex
        partial.write_text(document, encoding="utf-8")
        with site.store.exclusive():  # the folder must not be moved meanwhile
            target.mkdir(parents=True, exist_ok=True)
            partial.replace(target / resource.catalog_name)


def _holds(path: Path, document: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == document
    except (FileNotFoundError, NotADirectoryError):
        return False
