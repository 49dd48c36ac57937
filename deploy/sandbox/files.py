"""Files of resources: listed, downloaded alone or as an archive, uploaded, deleted.

Not here: the resources themselves (``resources``) and how files and rows change together
(``file_changes``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from deploy.sandbox import targets
from deploy.sandbox.archives import is_archive_name, unpack
from deploy.sandbox.bodies import (
    checked_first,
    is_multipart,
    is_small,
    receive_multipart,
    receive_raw,
    receive_small,
)
from deploy.sandbox.call import Call, text
from deploy.sandbox.downloads import ARCHIVE_FORMATS, Entry, answer_archive, answer_file
from deploy.sandbox.errors import HttpError, bad_request, forbidden, not_found, not_implemented
from deploy.sandbox.file_changes import (
    FileChanges,
    IncomingFile,
    IncomingFiles,
    change_files,
    full_disk_is_507,
    open_stored,
)
from deploy.sandbox.file_paths import check_file_path, check_resource_label
from deploy.sandbox.resource_rows import (
    Details,
    Outcome,
    Resource,
    StoredFile,
    file_from_row,
    find_resource,
    insert_resource,
    remove_files,
    store_files,
)
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import OWNER_PATHS, Routes
from deploy.sandbox.selections import Selected, Selection, select
from deploy.sandbox.tables import answer_table
from deploy.sandbox.targets import Owner
from deploy.sandbox.values import MAX_STRING_LENGTH

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
    for name in ("structure", "projectIncludedInPath", "subjectIncludedInPath"):
        if name in call.query:
            raise not_implemented(f"'{name}', another structure of downloaded archives")
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


# Writing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Upload:
    """What an upload asks for."""

    path: str
    details: Details
    overwrite: bool
    extract: bool


def read_details(call: Call) -> Details:
    """Return format, content, tags and description of the query; 400 when one is too long."""
    values = {
        name: call.query.get(name, "") for name in ("format", "content", "tags", "description")
    }
    for name, value in values.items():
        if len(value) > MAX_STRING_LENGTH or not value.isprintable():
            raise bad_request(f"'{name}' holds {MAX_STRING_LENGTH} printable characters at most.")
    return Details(**values)


@ROUTES.add("PUT POST", *LIST_PATHS, *FILE_PATHS)
async def upload(call: Call) -> Response:
    """Store one or more files; the resource is made when it is not there."""
    if is_small(call) and not is_multipart(call):
        return await run_in_threadpool(_upload_small, call, await receive_small(call))
    asked = await checked_first(call, _check_upload)
    with IncomingFiles(call.site.settings) as incoming:
        if is_multipart(call):
            received = await receive_multipart(call, incoming)
        else:
            received = [("", await receive_raw(call, incoming))]
        outcome = await run_in_threadpool(_store_upload, call, asked, incoming, received)
    return _answer_upload(outcome)


def _upload_small(call: Call, body: bytes) -> Response:
    asked = _check_upload(call)
    with IncomingFiles(call.site.settings) as incoming:
        received = incoming.new()
        with full_disk_is_507():
            received.write(body)
        received.close()
        outcome = _store_upload(call, asked, incoming, [("", received)])
    return _answer_upload(outcome)


def _answer_upload(outcome: Outcome) -> Response:
    if outcome.duplicates:
        return HTMLResponse(json.dumps({"duplicates": outcome.duplicates}))
    return text()


def _check_upload(call: Call) -> _Upload:
    """Refuse what can be refused before the body comes."""
    owner = targets.owner(call, Action.EDIT)
    if "reference" in call.query:
        raise not_implemented("uploads by reference to a path on the server")
    if "resource" not in call.path:
        raise not_implemented("files outside a resource; name one: .../resources/LABEL/files")
    _find_or_check(call, owner)
    path = call.path.get("path", "")
    if path.rstrip("/"):
        check_file_path(path.rstrip("/"))
    if call.flag("inbody") and is_multipart(call):
        raise HttpError(406, "With inbody=true the body must be the file itself, not a form.")
    kind = call.request.headers.get("content-type", "").lower()
    if kind.startswith("application/x-www-form-urlencoded") and not call.flag("inbody"):
        raise bad_request("The body is declared to be a form. Send inbody=true with a file.")
    if (not path or path.endswith("/")) and not is_multipart(call):
        raise bad_request("Name the file in the address, or send a form with files.")
    return _Upload(path, read_details(call), call.flag("overwrite"), call.flag("extract"))


def _find_or_check(call: Call, owner: Owner) -> Resource | None:
    name = call.path["resource"]
    found = find_resource(call.site.store.connection, owner, name)
    if found is None:
        if name.isdigit():
            raise not_found(f"There is no resource {name} here.")
        check_resource_label(name)
    return found


def _store_upload(
    call: Call,
    asked: _Upload,
    incoming: IncomingFiles,
    received: list[tuple[str, IncomingFile]],
) -> Outcome:
    files = list(_named(asked, received, incoming))
    _require_distinct(files)
    with change_files(call.site.store, call.site.settings) as changes:
        call.refresh_user()
        owner = targets.owner(call, Action.EDIT)  # again: the body may have taken hours
        resource = _find_or_check(call, owner)
        if resource is None:
            resource = insert_resource(
                changes.connection, owner, call.path["resource"], call.user.login, asked.details
            )
        return store_files(changes, resource, files, asked.details, overwrite=asked.overwrite)


def _named(
    asked: _Upload, received: list[tuple[str, IncomingFile]], incoming: IncomingFiles
) -> Iterator[tuple[str, IncomingFile]]:
    """Yield the files to store with their paths; archives unpacked when asked for."""
    if not received or (len(received) == 1 and not received[0][1].size):
        raise bad_request(
            "The request has no content to store. Send the file as the body (with inbody=true or "
            "a content type such as application/octet-stream) or as a part of a "
            "multipart/form-data body, and check that the file itself is not empty."
        )
    for name, each in received:
        path = asked.path
        if not path or path.endswith("/") or len(received) > 1:
            folder = path.rstrip("/")
            path = check_file_path(f"{folder}/{name}" if folder else name)
        if asked.extract and is_archive_name(path):
            parent = PurePosixPath(path).parent
            yield from unpack(each, incoming, "" if str(parent) == "." else str(parent))
            incoming.discard(each)
        else:
            yield path, each


def _require_distinct(files: Iterable[tuple[str, IncomingFile]]) -> None:
    seen: set[str] = set()
    for path, _ in files:
        if path in seen:
            raise bad_request("Two of the files have the same path.")
        seen.add(path)


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
