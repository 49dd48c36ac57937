"""XNAT's config service: texts that tools keep for the site or a project, with their history.

Anonymisation scripts and series import filters are not kept here (``anonymize_api``,
``series_filter_api``): they change what comes in, and storing them without effect would protect
nobody.
"""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from deploy.sandbox import targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.config_rows import COLUMNS, Setting, history, newest, put_version
from deploy.sandbox.errors import bad_request, forbidden, not_found, not_implemented
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.tables import answer_table

ROUTES = Routes()

_STATUSES = {"enabled": "enabled", "true": "enabled", "disabled": "disabled", "false": "disabled"}
_APPLIED = {
    "anon": "anonymisation scripts here; put them to /xapi/anonymize",
    "edit": "anonymisation scripts here, where XNAT had them of old; put them to /xapi/anonymize",
    "seriesimportfilter": "this part of series import filters",
}
_MAX_NAME = 255
_MAX_DIGITS = 9
_SITE, _PROJECT = "/data/config", "/data/projects/{project}/config"


def _readable_scope(call: Call) -> str | None:
    """Return the project of the path, None for the site; who may not read gets 404 or 401."""
    if "project" in call.path:
        project = targets.project(call)
        call.site.rights.require(call.user, Action.READ, project.secured, project.id)
        return project.id
    if call.user.is_guest:
        raise unauthenticated()
    return None


def _writable_scope(call: Call) -> str | None:
    if "project" in call.path:
        return targets.project(call, Action.EDIT).id
    if call.user.is_guest:
        raise unauthenticated()
    if not call.user.is_admin:
        raise forbidden("Only administrators change the site's settings.")
    return None


def _setting_name(call: Call) -> tuple[str, str]:
    tool, path = call.path["tool"], call.path["path"]
    for part in (tool, path):
        if not part.isprintable() or not 0 < len(part) <= _MAX_NAME:
            raise bad_request(
                f"The names of a tool and of a path have 1 to {_MAX_NAME} printable characters."
            )
    _require_kept_here(tool)
    return tool, path


def _require_kept_here(tool: str) -> None:
    if tool.lower() in _APPLIED:
        raise not_implemented(_APPLIED[tool.lower()])


@ROUTES.add("GET", _SITE, _PROJECT)
def list_tools(call: Call) -> Response:
    """List the tools that have settings."""
    scope = _readable_scope(call)
    tools = dict.fromkeys(each.tool for each in newest(call.site.store.connection, scope))
    return answer_table(call, ("tool",), [(tool,) for tool in tools])


@ROUTES.add("GET", f"{_SITE}/{{tool}}", f"{_PROJECT}/{{tool}}")
def list_settings(call: Call) -> Response:
    """List the newest versions of a tool's settings."""
    scope = _readable_scope(call)
    _require_kept_here(call.path["tool"])
    found = newest(call.site.store.connection, scope, call.path["tool"])
    if not found:
        raise not_found("The tool has no settings here.")
    return answer_table(call, COLUMNS, [each.row for each in found])


@ROUTES.add("GET", f"{_SITE}/{{tool}}/{{path:path}}", f"{_PROJECT}/{{tool}}/{{path:path}}")
def get_setting(call: Call) -> Response:
    """Answer a setting: its row, its text (``contents=true``), a version or its history."""
    scope = _readable_scope(call)
    versions = history(call.site.store.connection, scope, *_setting_name(call))
    action = call.query.get("action")
    if action not in {None, "getHistory"}:
        raise bad_request("The action can be getHistory.")
    found = _version(call, versions)
    if found is None:
        if call.flag("acceptNotFound"):
            return Response(status_code=204)
        raise not_found("There is no such setting.")
    if action is not None:
        return answer_table(call, COLUMNS, [each.row for each in versions])
    if call.flag("contents"):
        return text(found.contents) if found.status == "enabled" else Response(status_code=204)
    if call.flag("meta"):
        columns = tuple(name for name in COLUMNS if name != "contents")
        return answer_table(call, columns, [[getattr(found, name) for name in columns]])
    return answer_table(call, COLUMNS, [found.row])


def _version(call: Call, versions: list[Setting]) -> Setting | None:
    wanted = call.query.get("version")
    if wanted is None:
        return versions[-1] if versions else None
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) <= _MAX_DIGITS):
        raise bad_request("'version' must be a whole number.")
    return next((each for each in versions if each.version == int(wanted)), None)


@ROUTES.add(
    "PUT POST", f"{_SITE}/{{tool}}/{{path:path}}", f"{_PROJECT}/{{tool}}/{{path:path}}", body=True
)
def put_setting(call: Call) -> Response:
    """Set a setting's text, its status, or both; 201 the first time, 200 after."""
    scope = _writable_scope(call)
    tool, path = _setting_name(call)
    status, contents = _wanted_status(call), _contents(call)
    if contents is None and status is None:
        raise bad_request("Send the contents with inbody=true, or name a status.")
    with call.site.store.write() as connection:
        versions = history(connection, scope, tool, path)
        if not versions:
            if contents is None:
                raise not_found("There is no such setting whose status could be changed.")
            previous = Setting(tool, path, scope or "", "", "", "", "", False, 0, "enabled")  # noqa: FBT003 - the columns of a row
        else:
            previous = versions[-1]
        unversioned = call.flag("unversioned")
        same = contents in (None, previous.contents) and bool(versions)
        in_place = bool(versions) and (same or (unversioned and previous.unversioned))
        wanted = replace(
            previous,
            contents=previous.contents if contents is None else contents,
            status=status or "enabled",
            unversioned=unversioned or (previous.unversioned and same),
            version=previous.version if in_place else previous.version + 1,
            user=call.user.login,
            reason=call.query.get("reason", ""),
        )
        put_version(connection, wanted, replace=in_place)
    return text("", 200 if versions else 201)


def _wanted_status(call: Call) -> str | None:
    asked = call.query.get("status")
    if asked is None:
        return None
    status = _STATUSES.get(asked.lower())
    if status is None:
        raise bad_request("The status can be enabled or disabled.")
    return status


def _contents(call: Call) -> str | None:
    if not call.flag("inbody"):
        return None
    try:
        contents = call.body.decode()
    except UnicodeDecodeError as error:
        raise bad_request("The contents must be text in UTF-8.") from error
    if "\x00" in contents:
        raise bad_request("The contents must be text, without NUL characters.")
    return contents or None


@ROUTES.add("DELETE", f"{_SITE}/{{tool}}/{{path:path}}", f"{_PROJECT}/{{tool}}/{{path:path}}")
def disable_setting(call: Call) -> Response:
    """Disable a setting; its history stays."""
    scope = _writable_scope(call)
    tool, path = _setting_name(call)
    with call.site.store.write() as connection:
        versions = history(connection, scope, tool, path)
        if not versions:
            raise not_found("There is no such setting.")
        disabled = replace(versions[-1], status="disabled", user=call.user.login)
        put_version(connection, disabled, replace=True)
    return text()
