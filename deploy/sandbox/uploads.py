"""Files received into resources.

Not here: reading and deleting them (``files``), how small ones are stored many at once
(``upload_batches``), and how bytes and rows change together (``file_changes``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

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
from deploy.sandbox.errors import HttpError, bad_request, not_found, not_implemented
from deploy.sandbox.file_changes import FileChanges, IncomingFile, IncomingFiles, change_files
from deploy.sandbox.file_paths import check_file_path, check_resource_label
from deploy.sandbox.files import FILE_PATHS, LIST_PATHS
from deploy.sandbox.resource_rows import (
    Details,
    Outcome,
    Resource,
    find_resource,
    insert_resource,
    store_files,
)
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.targets import Owner
from deploy.sandbox.values import MAX_STRING_LENGTH

ROUTES = Routes()

Received = list[tuple[str, IncomingFile]]
"""Files of one request with the names that it gives them (empty: the address names the file)."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What an upload asks for."""

    path: str
    details: Details
    overwrite: bool
    extract: bool


def read_details(call: Call) -> Details:
    """Return format, content, tags and description of the query; 400 when one is too long."""
    if not call.query:
        return Details()
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
    if is_small(call) and not is_multipart(call) and not call.flag("extract"):
        body = await receive_small(call)
        return _answer(await call.site.upload_batches.store(call, body))
    asked = await checked_first(call, check_upload)
    with IncomingFiles(call.site.settings) as incoming:
        if is_multipart(call):
            received = await receive_multipart(call, incoming)
        else:
            received = [("", await receive_raw(call, incoming))]
        outcome = await run_in_threadpool(_store, call, asked, incoming, received)
    return _answer(outcome)


def _answer(outcome: Outcome) -> Response:
    if outcome.duplicates:
        return HTMLResponse(json.dumps({"duplicates": outcome.duplicates}))
    return text()


def check_upload(call: Call) -> Upload:
    """Return what is asked for; refuse what can be refused before the body comes."""
    if "reference" in call.query:
        targets.owner(call, Action.EDIT)
        raise not_implemented("uploads by reference to a path on the server")
    if "resource" not in call.path:
        targets.owner(call, Action.EDIT)
        raise not_implemented("files outside a resource; name one: .../resources/LABEL/files")
    _target(call)
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
    return Upload(path, read_details(call), call.flag("overwrite"), call.flag("extract"))


def _target(call: Call) -> tuple[Owner, Resource | None]:
    """Return what the path names before the file, for a caller who may edit it.

    Most uploads go where the one before them went.
    """
    whole = call.request.scope["path"]
    before = whole[: len(whole) - len(call.path.get("path", ""))]
    return call.site.upload_targets.get((call.user, before), partial(_find_target, call))


def _find_target(call: Call) -> tuple[Owner, Resource | None]:
    owner = targets.owner(call, Action.EDIT)
    name = call.path["resource"]
    found = find_resource(call.site.store.connection, owner, name)
    if found is None:
        if name.isdigit():
            raise not_found(f"There is no resource {name} here.")
        check_resource_label(name)
    return owner, found


def _store(call: Call, asked: Upload, incoming: IncomingFiles, received: Received) -> Outcome:
    files = prepared_files(asked, received, incoming)
    with change_files(call.site.store, call.site.settings) as changes:
        resource = resource_to_fill(call, asked, changes)
        return store_files(changes, resource, files, asked.details, overwrite=asked.overwrite)


def resource_to_fill(call: Call, asked: Upload, changes: FileChanges) -> Resource:
    """Return the resource of an upload within a transaction, made when it is not there.

    The caller's rights are those of this moment.
    """
    call.refresh_user()  # the body may have taken hours
    owner, resource = _target(call)
    if resource is None:
        resource = insert_resource(
            changes.connection, owner, call.path["resource"], call.user.login, asked.details
        )
    return resource


def prepared_files(asked: Upload, received: Received, incoming: IncomingFiles) -> Received:
    """Return the files to store with their paths in the resource; archives unpacked on request.

    Raises
    ------
    HttpError
        400 when there is nothing to store or two of the files have one path.
    """
    files = list(_named(asked, received, incoming))
    _require_distinct(files)
    return files


def _named(
    asked: Upload, received: Received, incoming: IncomingFiles
) -> Iterator[tuple[str, IncomingFile]]:
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
