"""Files of resources: listed, downloaded alone or as an archive, uploaded, deleted.

Not here: the resources themselves (``resources``) and how files and rows change together
(``file_changes``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO

from starlette.responses import Response

from deploy.sandbox import targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.downloads import ARCHIVE_FORMATS, Entry, answer_archive, answer_file
from deploy.sandbox.errors import bad_request, forbidden, not_found, not_implemented
from deploy.sandbox.file_changes import (
    FileChanges,
    change_files,
    open_stored,
)
from deploy.sandbox.resource_rows import (
    StoredFile,
    file_from_row,
    remove_files,
)
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import OWNER_PATHS, Routes
from deploy.sandbox.selections import Selected, Selection, select
from deploy.sandbox.tables import answer_table
from deploy.sandbox.targets import Owner

ROUTES = Routes()

LIST_PATHS = tuple(
    f"{path}{end}" for path in OWNER_PATHS for end in ("/resources/{resource}/files", "/files")
)
FILE_PATHS = tuple(f"{path}/{{path:path}}" for path in LIST_PATHS)

_COLUMNS = (
    "Name", "Size", "URI", "collection", "file_tags", "file_format", "file_content", "cat_ID",
    "digest",
)  # fmt: skip
_HEADERS = {
    "Columns": [{"key": c, "serverRoot": ""} if c == "URI" else {"key": c} for c in _COLUMNS]
}
_LOCATORS = frozenset({"absolutepath", "projectpath"})


@dataclass(frozen=True, slots=True)
class Found:
    """A file with where it was found."""

    selected: Selected
    file: StoredFile

    @property
    def entry_path(self) -> str:
        """Return the file's path inside downloaded archives."""
        resource = self.selected.resource
        return f"{self.selected.place.entry}/resources/{resource.label}/files/{self.file.path}"


# Reading ------------------------------------------------------------------------------------


@ROUTES.add("GET", *LIST_PATHS, *FILE_PATHS)
def read_files(call: Call) -> Response:
    """Answer one file, an archive of files, or a table of them."""
    return answer_files(call)


def answer_files(call: Call) -> Response:
    """Answer the files that the path means, in the form that the query asks for."""
    selection = select(call, whole=call.flag("all"))
    path = call.path.get("path", "")
    if call.flag("listContents"):
        raise not_implemented("the list of contents of archives")
    found = _filtered(call, _matching(call, selection, path))
    kind = call.query.get("format", "").lower()
    is_pattern = not path or path.endswith(("/", "*"))
    if kind in ARCHIVE_FORMATS:
        return _answer_archive(call, kind, selection, found) if found else _missing(call, path)
    if not is_pattern or "index" in call.query:
        return _answer_one(call, found[0]) if found else _missing(call, path)
    return _answer_list(call, selection, found)


def _missing(call: Call, path: str) -> Response:
    if call.flag("acceptNotFound"):
        return Response(status_code=204)
    lower = path.lower()
    if any(
        f"{suffix}{mark}" in lower for suffix in (".zip", ".tar", ".tgz", ".gz") for mark in "!/"
    ):
        raise not_implemented("reading inside a stored archive")
    raise not_found("There are no such files." if not path else "There is no such file.")


def _matching(call: Call, selection: Selection, path: str) -> list[Found]:
    """Return the files at a path: one, or those of a folder (``x/``) or a beginning (``x*``)."""
    by_id = {each.resource.id: each for each in selection.found}
    query = "SELECT * FROM file WHERE resource_id IN (SELECT value FROM json_each(?))"
    values: list[object] = [json.dumps(list(by_id))]
    start = path.removesuffix("*")
    if path.endswith(("/", "*")) and start:
        query += " AND substr(path, 1, ?) = ?"
        values += [len(start), start]
    elif path and path != "*":
        query += " AND path = ?"
        values.append(path)
    rows = call.site.store.connection.execute(f"{query} ORDER BY resource_id, path", values)
    files = [file_from_row(row) for row in rows]
    if path.endswith("/") and not call.flag("recursive", default=True):
        files = [each for each in files if "/" not in each.path[len(path) :]]
    order = {number: position for position, number in enumerate(by_id)}
    files.sort(key=lambda each: (order[each.resource_id], each.path))
    return [Found(by_id[each.resource_id], each) for each in files]


def _filtered(call: Call, found: list[Found]) -> list[Found]:
    formats, contents = call.query.get("file_format"), call.query.get("file_content")
    if formats is not None:
        found = [f for f in found if f.file.details.format in formats.split(",")]
    if contents is not None:
        found = [f for f in found if f.file.details.content in contents.split(",")]
    index = call.query.get("index")
    if index is not None:
        if not (index.isascii() and index.isdigit() and len(index) < 10):  # noqa: PLR2004 - fits any list
            raise bad_request("'index' must be a whole number.")
        found = found[int(index) : int(index) + 1]
    return found


def _open(call: Call, found: Found) -> IO[bytes] | None:
    site = call.site
    return open_stored(site.store, site.settings, found.file.resource_id, found.file.path)


def _answer_one(call: Call, found: Found) -> Response:
    stream = _open(call, found)
    if stream is None:
        return _missing(call, found.file.path)
    return answer_file(call, found.file.path, stream)


def _answer_archive(call: Call, kind: str, selection: Selection, found: list[Found]) -> Response:
    if "structure" in call.query:
        raise not_implemented("'structure', another structure of downloaded archives")
    for each in found:  # before the answer begins: a broken one says nothing
        folder = call.site.settings.archive_dir / each.selected.resource.dir
        if not (folder / each.file.path).exists():
            stream = _open(call, each)
            if stream is not None:
                stream.close()
    entries = (Entry(each.entry_path, partial(_open, call, each)) for each in found)
    return answer_archive(call, kind, selection.label, entries)


def _answer_list(call: Call, selection: Selection, found: list[Found]) -> Response:
    locator = call.query.get("locator")
    if locator is not None and locator.lower() not in _LOCATORS:
        raise bad_request("'locator' must be absolutePath or projectPath.")
    has_digest = bool(call.site.get("checksums"))
    rows = (
        (
            PurePosixPath(each.file.path).name,
            each.file.size,
            _locate(call, locator, selection, each),
            each.selected.resource.label,
            each.file.details.tags,
            each.file.details.format,
            each.file.details.content,
            each.selected.resource.id,
            each.file.md5 if has_digest else "",
        )
        for each in found
    )
    return answer_table(call, _COLUMNS, rows, title="Files", count=False, extra=_HEADERS)


def _locate(call: Call, locator: str | None, selection: Selection, found: Found) -> str:
    resource = found.selected.resource
    if locator is not None:
        folder = resource.dir
        if locator.lower() == "absolutepath":
            return str(call.site.settings.archive_dir / folder / found.file.path)
        return str(PurePosixPath(*folder.parts[1:]) / found.file.path)
    name = call.path["resource"] if selection.single else str(resource.id)
    # Encoded is only what a client would cut off or decode; XNAT leaves the rest as it is.
    path = found.file.path.replace("%", "%25").replace("#", "%23")
    return f"{found.selected.place.uri}/resources/{name}/files/{path}"


# Deleting -----------------------------------------------------------------------------------


def owner_to_delete_from(call: Call) -> Owner:
    """Return the object of the path if the caller may delete its files, else raise.

    Through a project that the object is shared into only the sharing can be ended; its files are
    deleted by the rights in its own project.
    """
    owner = targets.owner(call)
    call.site.rights.require(call.user, Action.READ, owner.secured, owner.context_project)
    if not call.site.rights.can(call.user, Action.DELETE, owner.secured):
        raise forbidden(f"You may read {owner.secured.what} but not delete its files.")
    return owner


@ROUTES.add("DELETE", *FILE_PATHS)
def delete_files(call: Call) -> Response:
    """Delete a file, the files of a folder, or those whose path begins so (``x*``)."""
    path = call.path["path"]
    if not path.strip("/"):
        raise bad_request("Name the file or folder to delete.")
    with change_files(call.site.store, call.site.settings) as changes:
        owner_to_delete_from(call)
        selection = select(call)
        found = _matching(call, selection, path)
        if not found and not path.endswith(("/", "*")):
            found = _matching(call, selection, f"{path}/")
        if found:
            _delete(call, changes, found)
    return text() if found else _missing(call, path)


def _delete(call: Call, changes: FileChanges, found: list[Found]) -> None:
    by_resource: dict[int, list[Found]] = {}
    for each in found:
        by_resource.setdefault(each.file.resource_id, []).append(each)
    for group in by_resource.values():
        paths = [each.file.path for each in group]
        resource = group[0].selected.resource
        remove_files(changes, resource, paths, on_disk=call.flag("removeFiles", default=True))


@ROUTES.add("DELETE", *LIST_PATHS)
def delete_no_file(_call: Call) -> Response:
    """Refuse to delete without a name; all files of a resource go with the resource."""
    raise bad_request("Name the file or folder to delete, or delete the resource.")
