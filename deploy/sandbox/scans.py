"""Scans and reconstructions of a session: item, creation, change, deletion. Not here: lists."""

from __future__ import annotations

import sqlite3
from pathlib import PurePosixPath

from starlette.responses import Response

from deploy.sandbox import objects, records, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.datatypes import IMAGE_SCAN, IMAGE_SESSION, RECONSTRUCTION
from deploy.sandbox.errors import (
    HttpError,
    bad_request,
    conflict,
    forbidden,
    not_found,
    unprocessable,
)
from deploy.sandbox.folders import change_folders
from deploy.sandbox.items import answer_item, part_item
from deploy.sandbox.objects import Experiment, Kind
from deploy.sandbox.options import refuse_unknown_options
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import RECONSTRUCTION_PATHS, SCAN_PATHS, Routes
from deploy.sandbox.store import now_text
from deploy.sandbox.submissions import Submission, merge, read_submission
from deploy.sandbox.values import check_label
from deploy.sandbox.xml_documents import write_document

ROUTES = Routes()

_LEVELS = {Kind.SCAN: IMAGE_SCAN, Kind.RECONSTRUCTION: RECONSTRUCTION}
_FOLDERS = {Kind.SCAN: "SCANS", Kind.RECONSTRUCTION: "RECONSTRUCTIONS"}
_LIST_PATHS = {
    Kind.SCAN: tuple(path.rpartition("/")[0] for path in SCAN_PATHS),
    Kind.RECONSTRUCTION: tuple(path.rpartition("/")[0] for path in RECONSTRUCTION_PATHS),
}


@ROUTES.add("GET", *SCAN_PATHS)
def get_scan(call: Call) -> Response:
    """Answer a scan."""
    _, scan = targets.scan(call)
    return answer_item(call, part_item(call, scan, Kind.SCAN))


@ROUTES.add("PUT", *SCAN_PATHS, body=True)
def put_scan(call: Call) -> Response:
    """Make or change a scan; the answer is empty."""
    return _put(call, Kind.SCAN)


@ROUTES.add("POST", *_LIST_PATHS[Kind.SCAN], body=True)
def post_scan(call: Call) -> Response:
    """Make a scan, with the next free number when it has no ID; answer its absolute address."""
    return _post(call, Kind.SCAN)


@ROUTES.add("DELETE", *SCAN_PATHS)
def delete_scans(call: Call) -> Response:
    """Delete scans, their IDs separated by commas."""
    return _delete(call, Kind.SCAN)


@ROUTES.add("GET", *RECONSTRUCTION_PATHS)
def get_reconstruction(call: Call) -> Response:
    """Answer a reconstruction."""
    _, found = targets.scan(call, table="reconstruction")
    return answer_item(call, part_item(call, found, Kind.RECONSTRUCTION))


@ROUTES.add("PUT", *RECONSTRUCTION_PATHS, body=True)
def put_reconstruction(call: Call) -> Response:
    """Make or change a reconstruction; the answer is empty."""
    return _put(call, Kind.RECONSTRUCTION)


@ROUTES.add("POST", *_LIST_PATHS[Kind.RECONSTRUCTION], body=True)
def post_reconstruction(call: Call) -> Response:
    """Make a reconstruction; answer its absolute address."""
    return _post(call, Kind.RECONSTRUCTION)


@ROUTES.add("DELETE", *RECONSTRUCTION_PATHS)
def delete_reconstructions(call: Call) -> Response:
    """Delete reconstructions, their IDs separated by commas."""
    return _delete(call, Kind.RECONSTRUCTION)


# For both kinds -----------------------------------------------------------------------------


def _put(call: Call, kind: Kind) -> Response:
    refuse_unknown_options(call, "activate", "quarantine")
    name = call.path[kind.value]
    with call.site.store.write() as connection:
        session = _session(call, Action.EDIT)
        found = objects.find_scan(connection, name, session, kind.value)
        submission = read_submission(
            call,
            _LEVELS[kind],
            found.xsi_type if found else None,
            lambda: (
                write_document(call.site.types, part_item(call, found, kind)) if found else None
            ),
        )
        if submission.identity.get("ID", name) != name:
            raise bad_request(f"The ID of a {kind.value} cannot be changed.")
        _store(call, connection, session, kind=kind, name=name, submission=submission)
    return text()


def put_scans_of_document(
    call: Call, connection: sqlite3.Connection, session: Experiment, found: list[Submission]
) -> None:
    """Make or change the scans that a session's XML document holds."""
    for submission in found:
        name = submission.identity["ID"]
        _store(call, connection, session, kind=Kind.SCAN, name=name, submission=submission)


def _store(  # noqa: PLR0913 - what a row needs
    call: Call,
    connection: sqlite3.Connection,
    session: Experiment,
    *,
    kind: Kind,
    name: str,
    submission: Submission,
) -> None:
    if submission.identity.get("image_session_ID", session.id) != session.id:
        raise bad_request(f"A {kind.value} stays with its session.")
    found = objects.find_scan(connection, name, session, kind.value)
    if found is None:
        if submission.empty:
            raise HttpError(417, "Need PUT Contents: a new scan needs its xsiType.")
        _insert(call, connection, session, kind=kind, name=name, submission=submission)
        return
    wanted = submission.xsi_type
    if wanted is not None and wanted != found.xsi_type:
        raise conflict(f"This {kind.value} is of type {found.xsi_type} and stays so.")
    if submission.values:
        fields = merge(found.fields, submission.values)
        records.update_fields(connection, kind, found.key, fields)


def _post(call: Call, kind: Kind) -> Response:
    refuse_unknown_options(call)
    submission = read_submission(call, _LEVELS[kind])
    if submission.empty:
        raise HttpError(417, "Need POST Contents: name at least the xsiType.")
    with call.site.store.write() as connection:
        session = _session(call, Action.EDIT)
        name = submission.identity.get("ID") or _next_number(connection, session, kind)
        if objects.find_scan(connection, name, session, kind.value) is not None:
            raise conflict(f"This session has a {kind.value} {name} already.")
        _insert(call, connection, session, kind=kind, name=name, submission=submission)
    address = f"{call.base_url}{call.request.url.path}/{name}"
    return text(address, headers={"Location": address})


def _session(call: Call, action: Action) -> Experiment:
    session = targets.experiment(call, action)
    if not call.site.types.is_a(session.xsi_type, IMAGE_SESSION):
        raise unprocessable(
            f"{session.xsi_type} is not a kind of {IMAGE_SESSION}: it has no scans."
        )
    return session


def _next_number(connection: sqlite3.Connection, session: Experiment, kind: Kind) -> str:
    rows = connection.execute(
        f"SELECT id FROM {kind.value} WHERE session_id = ?",  # noqa: S608 - a table of the two kinds
        (session.id,),
    )
    used = {name for (name,) in rows}
    return next(str(n) for n in range(1, len(used) + 2) if str(n) not in used)


def _insert(  # noqa: PLR0913 - what a new row needs
    call: Call,
    connection: sqlite3.Connection,
    session: Experiment,
    *,
    kind: Kind,
    name: str,
    submission: Submission,
) -> None:
    check_label(f"{kind.value} ID", name)
    xsi_type = submission.xsi_type
    if xsi_type is None:
        if kind is Kind.SCAN:
            raise bad_request("A new scan needs its xsiType, such as xnat:mrScanData.")
        xsi_type = RECONSTRUCTION
    if call.site.types.is_abstract(xsi_type):
        raise bad_request(f"{xsi_type} is a general type; name the exact one.")
    now = now_text()
    connection.execute(
        f"INSERT INTO {kind.value} (session_id, id, xsi_type, fields, insert_date, insert_user,"  # noqa: S608 - a table of the two kinds
        " last_modified) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            session.id, name, xsi_type, records.fields_json(merge({}, submission.values)),
            now, call.user.login, now,
        ),
    )  # fmt: skip


def _delete(call: Call, kind: Kind) -> Response:
    with change_folders(call.site.store, call.site.settings) as changes:
        connection = call.site.store.connection
        session = _session(call, Action.DELETE)
        context = targets.context_project(call)
        shared = context is not None and context != session.project
        keys, folders = [], []
        for name in call.path[kind.value].split(","):
            found = objects.find_scan(connection, name, session, kind.value)
            if found is None:
                raise not_found(f"There is no {kind.value} {name} in experiment {session.id}.")
            if shared and not records.unshare(connection, kind, str(found.key), context or ""):
                raise forbidden(f"A {kind.value} is deleted in the project that owns its session.")
            keys.append(found.key)
            folder = objects.experiment_dir(connection, session) / _FOLDERS[kind]
            folders.append(folder / PurePosixPath(found.id))
        if not shared:
            records.delete_parts(connection, kind, keys)
            if call.flag("removeFiles"):
                for folder in folders:
                    changes.remove(folder)
    return text()
