"""Site properties over HTTP. Not here: their defaults and effects (``site`` and who asks for them).

Values keep their type: a property that is a number stays one, whatever form a client sends.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response

from deploy.sandbox.accounts import require_admin
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import HttpError, bad_request, forbidden, not_found, not_implemented
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.site import PROPERTY_DEFAULTS, Site, interval_seconds
from deploy.sandbox.values import check_label
from deploy.sandbox.xapi_access import require_person

ROUTES = Routes()

OPEN_PROPERTIES = frozenset(
    {"siteId", "siteUrl", "requireLogin", "userRegistration", "par", "sessionTimeout"}
)
"""Properties that every logged-in person may read; the others are for administrators."""

_INTERVALS = frozenset({"sessionTimeout", "aliasTokenTimeout"})
_URLS = frozenset({"siteUrl", "processingUrl"})
_MAX_INTERVAL_S = 10 * 366 * 86_400
_MAX_NUMBER = 2**31 - 1
_BOOLEANS = {"true": True, "false": False}


def _paths(site: Site) -> dict[str, str]:
    """Return the properties that say where files are: fixed when the sandbox starts."""
    settings = site.settings
    return {
        "archivePath": str(settings.archive_dir),
        "prearchivePath": str(settings.prearchive_dir),
        "buildPath": str(settings.build_dir),
        "cachePath": str(settings.cache_dir),
    }


@ROUTES.add("GET", "/xapi/siteConfig")
def get_all(call: Call) -> Response:
    """Answer all site properties, to an administrator."""
    require_admin(call)
    values = {name: call.site.get(name) for name in sorted(PROPERTY_DEFAULTS)}
    return JSONResponse({**values, **_paths(call.site)})


@ROUTES.add("GET", "/xapi/siteConfig/uptime", "/xapi/siteConfig/uptime/{part}")
def uptime(call: Call) -> Response:
    """Answer how long the server has been running, in days, hours, minutes and seconds."""
    require_person(call)
    minutes, seconds = divmod(time.monotonic() - call.site.started, 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    parts = {
        "days": str(days), "hours": str(hours), "minutes": str(minutes),
        "seconds": f"{seconds:.3f}",
    }  # fmt: skip
    part = call.path.get("part")
    if part is None:
        return JSONResponse(parts)
    if part == "display":
        return text(", ".join(f"{value} {name}" for name, value in parts.items()))
    if part not in parts:
        raise not_found(f"The parts of the uptime are: {', '.join(parts)}, display.")
    return text(parts[part])


@ROUTES.add("GET", "/xapi/siteConfig/{name}")
def get_one(call: Call) -> Response:
    """Answer one site property as JSON."""
    require_person(call)
    name, paths = call.path["name"], _paths(call.site)
    if name not in OPEN_PROPERTIES and not call.user.is_admin:
        raise forbidden("Only administrators read this site property.")
    if name in paths:
        return JSONResponse(paths[name])
    if name not in PROPERTY_DEFAULTS:
        raise not_found("There is no such site property.")
    return JSONResponse(call.site.get(name))


@ROUTES.add("POST", "/xapi/siteConfig", body=True)
def set_many(call: Call) -> Response:
    """Set several site properties: all of them, or none if one is wrong."""
    require_admin(call)
    body = json_body(call)
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object of site properties.")
    for name in body:
        _require_settable(call, name, 400)
    values = {name: _checked(name, value) for name, value in body.items()}
    with call.site.store.write():
        for name, value in values.items():
            call.site.set(name, value)
    return text()


@ROUTES.add("POST", "/xapi/siteConfig/{name}", body=True)
def set_one(call: Call) -> Response:
    """Set one site property to a text or JSON body."""
    require_admin(call)
    name = call.path["name"]
    _require_settable(call, name, 404)
    call.site.set(name, _checked(name, _body_value(call, name)))
    return text()


def _require_settable(call: Call, name: str, unknown_status: int) -> None:
    if name in _paths(call.site):
        raise not_implemented("moving its folders")
    if name not in PROPERTY_DEFAULTS:
        raise HttpError(unknown_status, f"There is no site property '{name[:80]}'.")


def _body_value(call: Call, name: str) -> Any:
    """Return a body as the property's type needs it: JSON, or for texts also the bare text."""
    is_text = isinstance(PROPERTY_DEFAULTS[name], str)
    declared_json = call.request.headers.get("content-type", "").startswith("application/json")
    if is_text and not declared_json:
        try:
            return call.body.decode()
        except UnicodeDecodeError as error:
            raise bad_request("The body is not UTF-8.") from error
    return json_body(call)


def _checked(name: str, value: Any) -> Any:
    default = PROPERTY_DEFAULTS[name]
    if isinstance(default, bool):
        value = _BOOLEANS.get(value.lower(), value) if isinstance(value, str) else value
        if not isinstance(value, bool):
            raise bad_request(f"'{name}' must be true or false.")
        return value
    if isinstance(default, int):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_NUMBER:
            raise bad_request(f"'{name}' must be a whole number from 0 to {_MAX_NUMBER}.")
        return value
    if not isinstance(value, str):
        raise bad_request(f"'{name}' must be a text.")
    return _checked_text(name, value.strip())


def _checked_text(name: str, value: str) -> str:
    if name in _INTERVALS:
        try:
            seconds = interval_seconds(value)
        except ValueError as error:
            raise bad_request(f"'{name}' must be an interval such as '15 minutes'.") from error
        if not 0 < seconds <= _MAX_INTERVAL_S:
            raise bad_request(f"'{name}' must be more than nothing and at most ten years.")
    if name in _URLS and value and not _is_address(value):
        raise bad_request(f"'{name}' must be an http or https address.")
    if name == "siteId":
        try:
            check_label(name, value)
        except HttpError as error:
            raise bad_request(error.message) from error
    return value


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        return False
    return value.isprintable() and parts.scheme in {"http", "https"} and bool(host)


@ROUTES.add("GET PUT POST DELETE", "/xapi/siteConfig/{name}/{rest:path}")
def other_parts(call: Call) -> Response:
    """Refuse groups of properties and other parts of XNAT's settings."""
    require_admin(call)
    raise not_implemented("this part of the site configuration")
