"""Workflow entries over HTTP. Not here: what moves them on (``runner``)."""

from __future__ import annotations

import re
import sqlite3
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from starlette.responses import JSONResponse, Response

from deploy.sandbox import objects, workflow_rows
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import bad_request, forbidden, not_found
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.rights import SUBJECT_TYPE, Action, Secured
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.workflow_rows import WorkflowEntry

ROUTES = Routes()

_PREFIX = "wrk:workflowData/"
_REQUIRED = ("id", "pipeline_name", "launch_time", "data_type")
_FIELDS = {
    "id": "object_id",
    "pipeline_name": "pipeline_name",
    "data_type": "data_type",
    "externalid": "project",
    "external_id": "project",
    "status": "status",
    "details": "details",
    "step_description": "step_description",
    "percentagecomplete": "percent_complete",
    "justification": "justification",
    "launch_time": "launch_time",
}
_MAX_TEXT = 4000
_MAX_PAGE = 1000
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?\Z")
_SORTABLE = {
    "wfid": "workflow.id",
    "id": "object_id",
    "externalid": "project",
    "pipelineName": "pipeline_name",
    "status": "status",
    "launchTime": "launch_time",
    "modTime": "workflow.last_modified",
}


def _secured(call: Call, object_id: str) -> Secured | None:
    """Return what decides the rights on a workflow's object, or None when it is gone."""
    connection = call.site.store.connection
    found = (
        objects.find_experiment(connection, object_id)
        or objects.find_subject(connection, object_id)
        or objects.find_project(connection, object_id)
    )
    return None if found is None else found.secured


def _may_read(call: Call, row: sqlite3.Row) -> bool:
    if row["user_id"] == call.user.id or call.user.is_admin:
        return True
    secured = _secured(call, row["object_id"])
    return secured is not None and call.site.rights.can(call.user, Action.READ, secured)


def _row(call: Call) -> sqlite3.Row:
    if call.user.is_guest:
        raise unauthenticated()
    number = call.number("workflow")
    row = workflow_rows.find(call.site.store.connection, number)
    if row is None or not _may_read(call, row):
        raise not_found(f"There is no workflow {number} that you can read.")
    return row


def _data_fields(row: sqlite3.Row) -> dict[str, Any]:
    fields = {
        "wrk_workflowData_id": row["id"],
        "wrk_workflowdata_id": row["id"],
        "id": row["object_id"],
        "ExternalID": row["project"],
        "external_id": row["project"],
        "pipeline_name": row["pipeline_name"],
        "data_type": row["data_type"],
        "status": row["status"],
        "details": row["details"],
        "step_description": row["step_description"],
        "percentageComplete": row["percent_complete"],
        "justification": row["justification"],
        "launch_time": row["launch_time"],
    }
    return {key: value for key, value in fields.items() if value != ""}


@ROUTES.add("GET", "/data/workflows/{workflow}")
def read_workflow(call: Call) -> Response:
    """Answer one workflow as an item (JSON), or as XML when no format is named."""
    row = _row(call)
    fields = _data_fields(row)
    if call.query.get("format", "xml").lower() == "json":
        meta = {
            "xsi:type": "wrk:workflowData",
            "isHistory": False,
            "start_date": row["launch_time"],
            "create_user": row["login"],
        }
        item = {"children": [], "data_fields": fields, "meta": meta}
        return JSONResponse({"items": [item]})
    attributes = "".join(
        f" {name}={quoteattr(str(value))}" for name, value in fields.items() if name != "details"
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<wrk:Workflow'
        f' xmlns:wrk="http://nrg.wustl.edu/workflow"{attributes}>'
        f"<wrk:details>{escape(row['details'])}</wrk:details></wrk:Workflow>\n"
    )
    return Response(body, media_type="text/xml; charset=utf-8")


@ROUTES.add("PUT", "/data/workflows", "/data/workflows/{workflow}")
def write_workflow(call: Call) -> Response:
    """Create or change a workflow; the fields are query parameters."""
    if call.user.is_guest:
        raise unauthenticated()
    given = _given(call)
    if "workflow" in call.path:
        return _change(call, given)
    missing = [name for name in _REQUIRED if not given.get(_FIELDS[name])]
    if missing:
        raise bad_request(f"A new workflow needs: {', '.join(_PREFIX + name for name in missing)}.")
    project = _editable_project(call, given["object_id"], given.get("project"))
    with call.site.store.write() as connection:
        number = workflow_rows.create(
            connection,
            WorkflowEntry(
                **{
                    "status": "Queued",
                    "project": project,
                    **given,
                    "user_id": call.user.id,
                }  # type: ignore[arg-type] # texts but for the number, by construction
            ),
        )
    return text(str(number))


def _given(call: Call) -> dict[str, str]:
    given = {}
    for name, value in call.query.multi_items():
        if not name.casefold().startswith(_PREFIX.casefold()):
            continue
        column = _FIELDS.get(name[len(_PREFIX) :].casefold())
        if column is None:
            raise bad_request(f"A workflow has no field {name[:200]}.")
        if len(value) > _MAX_TEXT or "\0" in value:
            raise bad_request(f"The value of {name} is too long or has a NUL character.")
        given[column] = value
    if "launch_time" in given and not _TIME.match(given["launch_time"]):
        raise bad_request("launch_time must look like 2030-12-31 23:59:59.")
    return given


def _editable_project(call: Call, object_id: str, named: str | None = None) -> str:
    """Return the project of the object, which the caller may edit.

    Another project that the entry names must be one the caller edits too: its readers will see
    the entry.
    """
    secured = _secured(call, object_id)
    if secured is None or not call.site.rights.can(call.user, Action.READ, secured):
        # A hidden object is answered like none, so that the answer does not tell of it.
        raise not_found(f"There is no object {object_id} that you can read.")
    if not call.site.rights.can(call.user, Action.EDIT, secured):
        raise forbidden(f"You may not edit {secured.what}.")
    if named not in {None, secured.project} and Action.EDIT not in call.site.rights.data_actions(
        call.user, str(named), SUBJECT_TYPE
    ):
        raise forbidden("You may not edit data in the project that the workflow names.")
    return secured.project


def _change(call: Call, given: dict[str, str]) -> Response:
    row = _row(call)
    _editable_project(call, row["object_id"], given.get("project"))
    if given.get("object_id", row["object_id"]) != row["object_id"]:
        raise bad_request("A workflow keeps the object it is about.")
    columns = [column for column in given if column != "object_id"]
    if columns:
        settings = ", ".join(f"{column} = ?" for column in columns)
        with call.site.store.write() as connection:
            connection.execute(
                f"UPDATE workflow SET {settings} WHERE id = ?",  # noqa: S608 - names from our table
                (*(given[column] for column in columns), row["id"]),
            )
    return text(str(row["id"]))


@ROUTES.add("POST", "/xapi/workflows", body=True)
def list_workflows(call: Call) -> Response:
    """Answer a page of workflows: the caller's own and those on readable projects' objects."""
    if call.user.is_guest:
        raise unauthenticated()
    request = json_body(call)
    if not isinstance(request, dict):
        raise bad_request('The body must be a JSON object such as {"page": 1, "size": 50}.')
    numbers = {name: request.get(name) or default for name, default in _PAGE.items()}
    if any(type(n) is not int or not 1 <= n <= 10**9 for n in numbers.values()):
        raise bad_request("'page', 'size' and 'days' must be whole numbers from 1.")
    where, values = _conditions(call, request, numbers["days"])
    column = _SORTABLE.get(str(request.get("sortColumn")), "workflow.id")
    direction = "ASC" if str(request.get("sortDir", "")).lower() == "asc" else "DESC"
    size = min(numbers["size"], _MAX_PAGE)
    query = f"{_SELECT} WHERE {where} ORDER BY {column} {direction} LIMIT ? OFFSET ?"
    rows = call.site.store.connection.execute(
        query, (*values, size, (numbers["page"] - 1) * size)
    ).fetchall()
    return JSONResponse([_line(row) for row in rows])


_SELECT = "SELECT workflow.*, user.login FROM workflow JOIN user ON user.id = workflow.user_id"
_PAGE = {"page": 1, "size": 50, "days": 10**6}


def _conditions(call: Call, request: dict[str, Any], days: int) -> tuple[str, list[Any]]:
    parts = ["workflow.launch_time >= datetime('now', ?)"]
    values: list[Any] = [f"-{min(days, 10**6)} days"]
    for key, column in (("id", "object_id"), ("data_type", "data_type")):
        if isinstance(request.get(key), str) and request[key]:
            parts.append(f"{column} = ?")
            values.append(request[key])
    if not (call.user.is_admin and request.get("admin_workflows")):
        readable = sorted(
            call.site.rights.projects_with(call.user, Action.READ, "xnat:imageSessionData")
        )
        marks = ", ".join("?" * len(readable))
        parts.append(f"(workflow.user_id = ? OR project IN ({marks}))")
        values += [call.user.id, *readable]
    return " AND ".join(parts), values


def _line(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "wfid": row["id"],
        "id": row["object_id"],
        "externalId": row["project"],
        "dataType": row["data_type"],
        "pipelineName": row["pipeline_name"],
        "status": row["status"],
        "details": row["details"],
        "stepDescription": row["step_description"],
        "percentComplete": row["percent_complete"],
        "launchTime": row["launch_time"],
        "modTime": row["last_modified"],
        "createUser": row["login"],
    }
