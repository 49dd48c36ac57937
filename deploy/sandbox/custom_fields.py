"""Custom fields: a JSON object on a project, subject, experiment, scan or assessor.

Answers follow ``/xapi``: who may not read an object is told 403 whether it exists or not, and a
protected project counts as not readable. Not here: custom variables, which are fields of the data
types (``submissions``), and forms.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from starlette.responses import JSONResponse, Response

from deploy.sandbox import objects, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import HttpError, bad_request, forbidden, not_found, not_implemented
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.objects import Kind
from deploy.sandbox.rights import Action, Secured
from deploy.sandbox.routing import (
    ASSESSOR_PATHS,
    EXPERIMENT_PATHS,
    PROJECT_PATHS,
    SCAN_PATHS,
    SUBJECT_PATHS,
    Routes,
    json_body,
)

ROUTES = Routes()

_OBJECT_PATHS = (
    *PROJECT_PATHS, *SUBJECT_PATHS, *EXPERIMENT_PATHS, *SCAN_PATHS, *ASSESSOR_PATHS,
)  # fmt: skip
_FIELDS_PATHS = tuple(
    path.replace("/data/", "/xapi/custom-fields/", 1) + "/fields" for path in _OBJECT_PATHS
)
_FIELD_PATHS = tuple(f"{path}/{{field}}" for path in _FIELDS_PATHS)
_KEYS = {Kind.SCAN: "key"}
MAX_NAME_LENGTH = 255
"""Characters in the name of a custom field."""


# The object of the path -----------------------------------------------------------------------


def _found(call: Call) -> tuple[Kind, str | int, Secured]:
    """Return the kind, the row's key and what decides the rights; 404 when hidden or absent."""
    if "scan" in call.path:
        session, scan = targets.scan(call)
        return Kind.SCAN, scan.key, session.secured
    if "assessor" in call.path:
        _, assessor = targets.assessor(call)
        return Kind.EXPERIMENT, assessor.id, assessor.secured
    if "experiment" in call.path:
        experiment = targets.experiment(call)
        return Kind.EXPERIMENT, experiment.id, experiment.secured
    if "subject" in call.path:
        subject = targets.subject(call)
        return Kind.SUBJECT, subject.id, subject.secured
    project = targets.project(call)
    call.site.rights.require(call.user, Action.READ, project.secured, project.id)
    return Kind.PROJECT, project.id, project.secured


def _target(call: Call, action: Action) -> tuple[Kind, str | int]:
    """Return the kind and key of the path's object, if the caller may do this with it."""
    try:
        kind, key, secured = _found(call)
    except HttpError as error:
        if call.user.is_guest:
            raise unauthenticated() from error
        if call.user.reads_everything:
            raise
        raise forbidden("There is no such object that you can read.") from error
    context = _context(call)
    if not call.site.rights.can(call.user, action, secured, context):
        if call.user.is_guest:
            raise unauthenticated()
        raise forbidden(f"You may read {secured.what} but not {action} it.")
    return kind, key


def _context(call: Call) -> str | None:
    if "project" not in call.path:
        return None
    project = objects.find_project(call.site.store.connection, call.path["project"])
    return None if project is None else project.id


# Reading and writing --------------------------------------------------------------------------


def _read(connection: sqlite3.Connection, kind: Kind, key: str | int) -> dict[str, Any]:
    row = connection.execute(
        f"SELECT custom_fields FROM {kind.value} WHERE {_KEYS.get(kind, 'id')} = ?",  # noqa: S608 - names of ours
        (key,),
    ).fetchone()
    if row is None:
        raise not_found("The object is being deleted.")
    fields: dict[str, Any] = json.loads(row["custom_fields"])
    return fields


def _write(
    connection: sqlite3.Connection, kind: Kind, key: str | int, fields: dict[str, Any]
) -> None:
    connection.execute(
        f"UPDATE {kind.value} SET custom_fields = ? WHERE {_KEYS.get(kind, 'id')} = ?",  # noqa: S608 - names of ours
        (json.dumps(fields), key),
    )


@ROUTES.add("GET", *_FIELDS_PATHS)
def get_fields(call: Call) -> Response:
    """Answer an object's custom fields, all or those in ``fieldNames=a,b``."""
    kind, key = _target(call, Action.READ)
    fields = _read(call.site.store.connection, kind, key)
    wanted = call.query.get("fieldNames")
    if wanted is not None:
        names = {name.strip() for name in wanted.split(",")}
        fields = {name: value for name, value in fields.items() if name in names}
    return JSONResponse(fields)


@ROUTES.add("GET", *_FIELD_PATHS)
def get_field(call: Call) -> Response:
    """Answer one custom field as text; what is no text is answered as JSON."""
    kind, key = _target(call, Action.READ)
    fields = _read(call.site.store.connection, kind, key)
    name = call.path["field"]
    if name not in fields:
        raise not_found("The object has no such custom field.")
    value = fields[name]
    return text(value if isinstance(value, str) else json.dumps(value))


@ROUTES.add("PUT", *_FIELDS_PATHS, body=True)
def put_fields(call: Call) -> Response:
    """Set custom fields; others stay. Answer all of them."""
    with call.site.store.write() as connection:
        kind, key = _target(call, Action.EDIT)
        body = json_body(call)
        if not isinstance(body, dict):
            raise bad_request("The body must be a JSON object of custom fields.")
        if any(not name or len(name) > MAX_NAME_LENGTH or "/" in name for name in body):
            raise bad_request(
                f"The name of a custom field has 1 to {MAX_NAME_LENGTH} characters and no slash."
            )
        fields = {**_read(connection, kind, key), **body}
        _write(connection, kind, key, fields)
    return JSONResponse(fields)


@ROUTES.add("DELETE", *_FIELD_PATHS)
def delete_field(call: Call) -> Response:
    """Delete one custom field; answer the remaining ones."""
    with call.site.store.write() as connection:
        kind, key = _target(call, Action.EDIT)
        fields = _read(connection, kind, key)
        if call.path["field"] not in fields:
            raise not_found("The object has no such custom field.")
        del fields[call.path["field"]]
        _write(connection, kind, key, fields)
    return JSONResponse(fields)


@ROUTES.add("GET PUT POST DELETE", "/xapi/customforms", "/xapi/customforms/{rest:path}")
def custom_forms(call: Call) -> Response:
    """Refuse custom forms, which describe custom fields for XNAT's own pages."""
    if call.user.is_guest:
        raise unauthenticated()
    raise not_implemented("custom forms (custom fields work without them)")
