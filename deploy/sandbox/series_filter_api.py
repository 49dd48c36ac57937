"""Where series import filters are kept: in the config service's addresses for them.

The site's filter is three site properties as well. Not here: what filters mean
(``series_filter``).
"""

from __future__ import annotations

import json
import sqlite3

from starlette.responses import Response

from deploy.sandbox import targets
from deploy.sandbox.accounts import require_admin
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import bad_request, not_found, not_implemented
from deploy.sandbox.objects import Project
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.series_filter import Mode, SeriesFilter, read_filter
from deploy.sandbox.site import Site
from deploy.sandbox.store import now_text
from deploy.sandbox.tables import answer_table
from deploy.sandbox.xapi_access import require_person

ROUTES = Routes()

SITE = ""
_PATH = "config/seriesImportFilter/config"
_PATHS = (f"/data/{_PATH}", f"/data/projects/{{project}}/{_PATH}")
_SWITCH = "enableSitewideSeriesImportFilter"
_STATUSES = {"enabled": True, "true": True, "disabled": False, "false": False}
_COLUMNS = (
    "tool", "path", "project", "user", "create_date", "reason", "contents", "unversioned",
    "version", "status",
)  # fmt: skip


def _find(connection: sqlite3.Connection, scope: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM series_filter WHERE scope = ?", (scope,)
    ).fetchone()
    return row


def active_filters(site: Site, project: Project | None) -> list[SeriesFilter]:
    """Return the filters that apply to data for a project: the site's and its own."""
    filters = []
    if site.get(_SWITCH):
        filters.append(
            read_filter(
                {
                    "mode": site.get("sitewideSeriesImportFilterMode"),
                    "list": site.get("sitewideSeriesImportFilter"),
                }
            )
        )
    row = None if project is None else _find(site.store.connection, project.id)
    if row is not None and row["enabled"]:
        filters.append(read_filter(json.loads(row["contents"])))
    return filters


def _scope(call: Call, action: Action) -> str:
    """Return the project of the path, or ``SITE``, if the caller may do this with its settings."""
    if "project" in call.path:
        return targets.project(call, action).id
    if action is Action.READ:
        require_person(call)
    else:
        require_admin(call)
    return SITE


@ROUTES.add("GET", *_PATHS)
def show(call: Call) -> Response:
    """Answer the filter as a table of one row, or its JSON alone."""
    scope = _scope(call, Action.READ)
    for name in ("version", "action"):
        if name in call.query:
            raise not_implemented("older versions of series import filters")
    row = _find(call.site.store.connection, scope)
    if row is None:
        raise not_found("There is no series import filter here.")
    if call.flag("contents"):
        return text(row["contents"])
    contents = None if call.flag("meta") else row["contents"]
    status = "enabled" if row["enabled"] else "disabled"
    cells = (
        "seriesImportFilter", "config", scope or None, row["login"], row["created_at"],
        row["reason"], contents, False, row["version"], status,
    )  # fmt: skip
    return answer_table(call, _COLUMNS, [cells])


@ROUTES.add("PUT", *_PATHS, body=True)
def store(call: Call) -> Response:
    """Store the filter, or switch it; 201 for the first one, 200 after it."""
    scope = _scope(call, Action.DELETE)
    asked = call.query.get("status")
    if asked is not None and asked.lower() not in _STATUSES:
        raise bad_request("'status' must be enabled or disabled.")
    enabled = None if asked is None else _STATUSES[asked.lower()]
    contents = None
    if call.flag("inbody") and call.body.strip():
        read_filter(json_body(call))
        contents = call.body.decode()
    if contents is None and enabled is None:
        raise bad_request("Send the filter (inbody=true), a status, or both.")
    with call.site.store.write() as connection:
        row = _find(connection, scope)
        if row is None and contents is None:
            raise not_found("There is no series import filter here that could be switched.")
        known = row["contents"] if row is not None else ""
        _write(
            connection,
            scope,
            contents=known if contents is None else contents,
            enabled=True if enabled is None else enabled,
            login=call.user.login,
            reason=call.query.get("reason", ""),
        )
        if scope == SITE:
            _tell_site(call.site)
    return text(status=201 if row is None else 200)


@ROUTES.add("DELETE", *_PATHS)
def disable(call: Call) -> Response:
    """Switch the filter off; it stays."""
    scope = _scope(call, Action.DELETE)
    with call.site.store.write() as connection:
        connection.execute("UPDATE series_filter SET enabled = 0 WHERE scope = ?", (scope,))
        if scope == SITE:
            _tell_site(call.site)
    return text()


def _write(  # noqa: PLR0913 - the columns of a row
    connection: sqlite3.Connection,
    scope: str,
    *,
    contents: str,
    enabled: bool,
    login: str,
    reason: str,
) -> None:
    connection.execute(
        "INSERT INTO series_filter VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6) ON CONFLICT (scope)"
        " DO UPDATE SET contents = ?2, enabled = ?3, version = version + 1, login = ?4,"
        " reason = ?5, created_at = ?6",
        (scope, contents, enabled, login, reason, now_text()),
    )


def _tell_site(site: Site) -> None:
    """Have the site properties say what the site's filter is."""
    row = _find(site.store.connection, SITE)
    if row is None:
        return
    document = json.loads(row["contents"])
    found = read_filter(document)
    site.set(_SWITCH, found.enabled and bool(row["enabled"]))
    site.set("sitewideSeriesImportFilterMode", Mode(found.mode).value)
    site.set("sitewideSeriesImportFilter", document["list"])
