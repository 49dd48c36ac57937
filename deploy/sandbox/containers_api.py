"""Containers over HTTP: lists, one, logs, kill, finalise, delete.

Others' containers are stripped for everybody but administrators, and are not there at all for
those who may not read their project. Not here: running them.
"""

from __future__ import annotations

import io
import sqlite3
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from starlette.responses import JSONResponse, Response

from containers.engine import LOG_STREAMS, EngineError
from deploy.sandbox import container_rows
from deploy.sandbox.call import Call, text
from deploy.sandbox.container_rows import FINAL_STATUSES
from deploy.sandbox.errors import bad_request, conflict, forbidden, not_found
from deploy.sandbox.finalize import log_path
from deploy.sandbox.rights import SUBJECT_TYPE, Action
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.xapi_access import readable_project, require_manager, require_person

ROUTES = Routes()

SERVICE_VERSION = "3.7.3"
"""The Container Service release whose contract this follows."""

_MAX_PAGE = 1000
_ONE = ("/xapi/containers/{container}", "/xapi/projects/{project}/containers/{container}")


def _viewer(call: Call) -> int | None:
    return None if call.user.is_admin else call.user.id


def _seen(call: Call, rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """Return the containers whose existence is no secret to the caller.

    XNAT lists everybody's, stripped; here a stranger to a project learns nothing of its jobs.
    """
    if call.user.is_container_manager:
        return list(rows)
    projects = call.site.rights.projects_with(call.user, Action.READ, SUBJECT_TYPE)
    return [r for r in rows if r["user_id"] == call.user.id or r["project"] in projects]


def _documents(call: Call, rows: list[sqlite3.Row]) -> list[dict[str, object]]:
    return container_rows.documents(call.site.store.connection, rows, viewer=_viewer(call))


@ROUTES.add("GET", "/xapi/containers/version")
def version(_call: Call) -> Response:
    """Answer the version of the Container Service."""
    return text(SERVICE_VERSION)


@ROUTES.add("GET", "/xapi/containers")
def list_containers(call: Call) -> Response:
    """Answer all containers; ``nonfinalized=true`` leaves out those that are over."""
    require_person(call)
    connection = call.site.store.connection
    rows = _seen(call, connection.execute("SELECT * FROM container ORDER BY id").fetchall())
    if call.flag("nonfinalized"):
        rows = [row for row in rows if row["status"] not in FINAL_STATUSES]
    return JSONResponse(_documents(call, rows))


@ROUTES.add("POST", "/xapi/containers", "/xapi/projects/{project}/containers", body=True)
def page_containers(call: Call) -> Response:
    """Answer one page of containers, the newest first; the body has ``page`` and ``size``."""
    require_person(call)
    request = json_body(call)
    if not isinstance(request, dict):
        raise bad_request("The body must be a JSON object with 'page' and 'size'.")
    page, size = request.get("page", 1), request.get("size", 50)
    for number in (page, size):
        if type(number) is not int or not 1 <= number <= 10**9:
            raise bad_request("'page' and 'size' must be whole numbers from 1.")
    where, values = _project_filter(call)
    rows = call.site.store.connection.execute(
        f"SELECT * FROM container {where} ORDER BY id DESC",  # noqa: S608 - fixed text
        values,
    ).fetchall()
    size = min(size, _MAX_PAGE)
    start = (page - 1) * size
    return JSONResponse(_documents(call, _seen(call, rows)[start : start + size]))


@ROUTES.add("GET", "/xapi/projects/{project}/containers")
def list_project_containers(call: Call) -> Response:
    """Answer the caller's own containers in a project (an administrator: all of it)."""
    require_person(call)
    where, values = _project_filter(call)
    rows = call.site.store.connection.execute(
        f"SELECT * FROM container {where} ORDER BY id",  # noqa: S608 - fixed text
        values,
    ).fetchall()
    if call.flag("nonfinalized"):
        rows = [row for row in rows if row["status"] not in FINAL_STATUSES]
    return JSONResponse(_documents(call, rows))


def _project_filter(call: Call) -> tuple[str, tuple[str | int, ...]]:
    if "project" not in call.path:
        return "", ()
    project = readable_project(call, call.path["project"]).id
    if call.user.is_admin:
        return "WHERE project = ?", (project,)
    return "WHERE project = ? AND user_id = ?", (project, call.user.id)


def _row(call: Call) -> sqlite3.Row:
    require_person(call)
    if "project" in call.path:
        project = readable_project(call, call.path["project"]).id
    row = container_rows.find(call.site.store.connection, call.path["container"])
    elsewhere = row is not None and "project" in call.path and row["project"] != project
    if row is None or elsewhere or not _seen(call, [row]):
        raise not_found(f"There is no container {call.path['container']}.")
    return row


def _own_row(call: Call) -> sqlite3.Row:
    """Return the container of the path if it is the caller's, or the caller an administrator."""
    row = _row(call)
    if row["user_id"] != call.user.id and not call.user.is_admin:
        raise forbidden("This container was launched by somebody else.")
    return row


@ROUTES.add("GET", *_ONE)
def read_container(call: Call) -> Response:
    """Answer one container."""
    return JSONResponse(_documents(call, [_row(call)])[0])


@ROUTES.add("GET", "/xapi/projects/{project}/containers/name/{name}", "/xapi/container/name/{name}")
def read_container_by_name(call: Call) -> Response:
    """Answer the newest container of a name."""
    require_person(call)
    where, values = _project_filter(call)
    joined = f"{where} AND" if where else "WHERE"
    rows = call.site.store.connection.execute(
        f"SELECT * FROM container {joined} json_extract(document, '$.\"container-name\"') = ?"  # noqa: S608 - fixed text
        " ORDER BY id DESC",
        (*values, call.path["name"]),
    ).fetchall()
    seen = _seen(call, rows)
    if not seen:
        raise not_found(f"There is no container named {call.path['name']}.")
    return JSONResponse(_documents(call, seen[:1])[0])


@ROUTES.add("DELETE", "/xapi/containers/{container}")
def delete_container(call: Call) -> Response:
    """Forget a container that is over."""
    row = _own_row(call)
    if row["status"] not in FINAL_STATUSES:
        raise conflict("The container is not over yet. Kill it first.")
    with call.site.store.write() as connection:
        connection.execute(
            "UPDATE container SET parent_id = NULL WHERE parent_id = ?", (row["id"],)
        )
        connection.execute("DELETE FROM container WHERE id = ?", (row["id"],))
    return Response(status_code=204)


@ROUTES.add(
    "POST",
    "/xapi/containers/{container}/kill",
    "/xapi/projects/{project}/containers/{container}/kill",
)
def kill_container(call: Call) -> Response:
    """End a container; answer the engine's id of it."""
    row = _own_row(call)
    if row["status"] in FINAL_STATUSES:
        raise conflict("The container is over already.")
    main = row["parent_id"] or row["id"]
    with call.site.store.write() as connection:
        container_rows.record(
            connection,
            main,
            row["status"],
            entity_type="user",
            entity_id=call.user.login,
            message="Kill requested.",
            change=False,
        )
    call.site.runner.kill(main)
    return text(row["engine_id"])


@ROUTES.add("POST", "/xapi/containers/{container}/finalize")
def finalize_container(call: Call) -> Response:
    """Finalise a container again; the sandbox never leaves one unfinalised."""
    require_manager(call)
    row = _row(call)
    if row["status"] not in FINAL_STATUSES:
        raise conflict("The container is still under way; it is finalised when it ends.")
    return text()


# Logs ---------------------------------------------------------------------------------------


def _log_names(call: Call, row: sqlite3.Row) -> dict[str, tuple[sqlite3.Row, str]]:
    """Return the logs of a container and of its set-up and wrap-up ones, by name."""
    names = {stream: (row, stream) for stream in LOG_STREAMS}
    children = call.site.store.connection.execute(
        "SELECT * FROM container WHERE parent_id = ? ORDER BY id", (row["id"],)
    ).fetchall()
    counts: dict[str, int] = {}
    for child in children:
        kind = child["subtype"].removeprefix("docker-")
        for stream in LOG_STREAMS:
            names[f"{kind}-{stream}-{counts.get(kind, 0)}"] = (child, stream)
        counts[kind] = counts.get(kind, 0) + 1
    return names


def _log(call: Call, row: sqlite3.Row, stream: str) -> bytes:
    if not row["engine_id"]:
        return b""
    subtype = "" if row["parent_id"] is None else row["subtype"].removeprefix("docker-")
    path: Path = log_path(call.site, row["engine_id"], stream, subtype)
    if path.exists():
        return path.read_bytes()
    try:
        return call.site.runner.engine_of(row).logs(row["engine_id"], stream)
    except EngineError:
        # It may have been finalised between the two looks.
        return path.read_bytes() if path.exists() else b""


@ROUTES.add("GET", "/xapi/containers/{container}/logs")
def download_logs(call: Call) -> Response:
    """Answer all logs as a zip."""
    row = _own_row(call)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (owner, stream) in _log_names(call, row).items():
            content = _log(call, owner, stream)
            if content:
                archive.writestr(f"{name}.log", content)
    headers = {"Content-Disposition": f'attachment; filename="container-{row["id"]}-logs.zip"'}
    return Response(buffer.getvalue(), media_type="application/zip", headers=headers)


@ROUTES.add("GET", "/xapi/containers/{container}/logs/{file}")
def read_log(call: Call) -> Response:
    """Answer one log as text."""
    return Response(_named_log(call), media_type="text/plain; charset=utf-8")


def _named_log(call: Call) -> bytes:
    row = _own_row(call)
    names = _log_names(call, row)
    name = call.path["file"].removesuffix(".log")
    if name not in names:
        raise not_found(f"This container has no log '{name}'; it has: {', '.join(names)}.")
    return _log(call, *names[name])


@ROUTES.add("GET", "/xapi/containers/{container}/logSince/{file}")
def poll_log(call: Call) -> Response:
    """Answer what a log has beyond ``since`` bytes, for pages that follow it."""
    content = _named_log(call)
    row = _row(call)
    since = call.query.get("since", "0") or "0"
    if not (since.isascii() and since.lstrip("-").isdigit() and len(since) <= 18):  # noqa: PLR2004 - int64
        raise bad_request("'since' must be a number of bytes.")
    start = max(0, int(since))
    part = content[start:]
    is_over = row["status"] in FINAL_STATUSES
    return JSONResponse(
        {
            "content": part.decode("utf-8", "replace"),
            "timestamp": str(int(time.time())),
            # -1 tells a page to stop asking.
            "bytesRead": -1 if is_over and not part else start + len(part),
            "fromFile": is_over,
        }
    )
