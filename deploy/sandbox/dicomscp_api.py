"""DICOM receivers over HTTP. Not here: listening (``dicom_receiver``)."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from starlette.responses import JSONResponse, Response

from deploy.sandbox.accounts import require_admin
from deploy.sandbox.call import Call, text
from deploy.sandbox.dicom_receiver import Receiver
from deploy.sandbox.errors import bad_request, conflict, not_found, not_implemented
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.xapi_access import require_person

ROUTES = Routes()

_BASE = "/xapi/dicomscp"
_IDENTIFIER = "dicomObjectIdentifier"
_AE_TITLE = re.compile(r"[A-Za-z0-9_.-]{1,16}")
_MAX_PORT = 65_535
_MAX_WHITELIST = 1_000
_FIXED: dict[str, object] = {
    "fileNamer": None,
    "customProcessing": False,
    "directArchive": False,
    "anonymizationEnabled": True,
    "routingExpressionsEnabled": False,
    "projectRoutingExpression": None,
    "subjectRoutingExpression": None,
    "sessionRoutingExpression": None,
}
"""What the sandbox has in one way only."""


def list_receivers(connection: sqlite3.Connection) -> list[Receiver]:
    """Return all receivers by their numbers."""
    rows = connection.execute("SELECT * FROM dicom_receiver ORDER BY id").fetchall()
    return [_of_row(row) for row in rows]


def _of_row(row: sqlite3.Row) -> Receiver:
    return Receiver(
        row["id"], row["ae_title"], row["port"], bool(row["enabled"]),
        bool(row["whitelist_enabled"]), tuple(json.loads(row["whitelist"])),
    )  # fmt: skip


def _document(receiver: Receiver) -> dict[str, object]:
    return {
        "id": receiver.id,
        "aeTitle": receiver.ae_title,
        "port": receiver.port,
        "identifier": _IDENTIFIER,
        "enabled": receiver.enabled,
        "whitelistEnabled": receiver.whitelist_enabled,
        "whitelist": list(receiver.whitelist),
        "whitelistText": "\n".join(receiver.whitelist),
        **_FIXED,
    }


def _found(call: Call) -> Receiver:
    number = call.number("number")
    for each in list_receivers(call.site.store.connection):
        if each.id == number:
            return each
    raise not_found(f"There is no DICOM receiver {number}.")


# Reading ------------------------------------------------------------------------------------


def _read(document: Any, known: Receiver | None = None) -> Receiver:
    """Return what a body says; what it leaves out is as it was, or the default."""
    if not isinstance(document, dict):
        raise bad_request("The body must be a JSON object.")
    for name, value in _FIXED.items():
        if document.get(name) not in (None, value):
            raise not_implemented(f"DICOM receivers with another '{name}' than {value}")
    if document.get("identifier") not in (None, _IDENTIFIER):
        raise bad_request(f"'identifier' must be {_IDENTIFIER}.")
    base = known or Receiver(0, "", 0, enabled=True, whitelist_enabled=False, whitelist=())
    title = document.get("aeTitle", base.ae_title)
    if not isinstance(title, str) or not _AE_TITLE.fullmatch(title):
        raise bad_request("'aeTitle' must be 1 to 16 letters, digits, '_', '-' or '.'.")
    port = document.get("port", base.port)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= _MAX_PORT:
        raise bad_request(f"'port' must be a whole number up to {_MAX_PORT}.")
    flags = {}
    for name, value in (("enabled", base.enabled), ("whitelistEnabled", base.whitelist_enabled)):
        flags[name] = document.get(name, value)
        if not isinstance(flags[name], bool):
            raise bad_request(f"'{name}' must be true or false.")
    whitelist = _whitelist(document, base)
    return Receiver(base.id, title, port, flags["enabled"], flags["whitelistEnabled"], whitelist)


def _whitelist(document: dict[str, Any], base: Receiver) -> tuple[str, ...]:
    given = document.get("whitelist")
    if given is None and isinstance(document.get("whitelistText"), str):
        given = document["whitelistText"].splitlines()
    if given is None:
        return base.whitelist
    is_list = isinstance(given, list) and all(isinstance(each, str) for each in given)
    if not is_list or len(given) > _MAX_WHITELIST:
        raise bad_request(f"'whitelist' must be a list of at most {_MAX_WHITELIST} texts.")
    return tuple(each.strip() for each in given if each.strip())


# Receivers ----------------------------------------------------------------------------------


@ROUTES.add("GET", _BASE)
def show_all(call: Call) -> Response:
    """Answer all receivers."""
    require_person(call)
    found = list_receivers(call.site.store.connection)
    return JSONResponse([_document(each) for each in found])


@ROUTES.add("GET", f"{_BASE}/identifiers")
def show_identifiers(call: Call) -> Response:
    """Answer the only way in which the sandbox names what it receives."""
    require_person(call)
    return JSONResponse({_IDENTIFIER: "Default DICOM object identifier"})


@ROUTES.add("PUT", f"{_BASE}/start", f"{_BASE}/stop")
def start_or_stop(call: Call) -> Response:
    """Start all enabled receivers, or stop all."""
    require_admin(call)
    starts = call.request.url.path.endswith("/start")
    for each in list_receivers(call.site.store.connection):
        if not starts:
            call.site.receivers.stop_one(each.id)
        elif each.enabled:
            call.site.receivers.start(each)
    return text()


@ROUTES.add("POST", _BASE, body=True)
def create(call: Call) -> Response:
    """Store a receiver and have it listen if it is enabled."""
    require_admin(call)
    return JSONResponse(_document(_store(call, _read(json_body(call)))))


@ROUTES.add("GET", f"{_BASE}/{{number}}")
def show(call: Call) -> Response:
    """Answer one receiver."""
    require_admin(call)
    return JSONResponse(_document(_found(call)))


@ROUTES.add("PUT", f"{_BASE}/{{number}}", body=True)
def change(call: Call) -> Response:
    """Change what the body names."""
    require_admin(call)
    changed = _read(json_body(call), _found(call))
    return JSONResponse(_document(_store(call, changed)))


@ROUTES.add("DELETE", f"{_BASE}/{{number}}")
def delete(call: Call) -> Response:
    """Delete a receiver."""
    require_admin(call)
    found = _found(call)
    with call.site.store.write() as connection:
        connection.execute("DELETE FROM dicom_receiver WHERE id = ?", (found.id,))
    call.site.receivers.stop_one(found.id)
    return text()


@ROUTES.add("GET", f"{_BASE}/{{number}}/enabled")
def show_switch(call: Call) -> Response:
    """Answer whether a receiver is enabled."""
    require_admin(call)
    return JSONResponse(_found(call).enabled)


@ROUTES.add("PUT", f"{_BASE}/{{number}}/enabled/{{flag}}")
def switch(call: Call) -> Response:
    """Enable a receiver or disable it."""
    require_admin(call)
    flag = call.path["flag"].lower()
    if flag not in {"true", "false"}:
        raise bad_request("The last part of the address must be true or false.")
    _store(call, _read({"enabled": flag == "true"}, _found(call)))
    return text()


@ROUTES.add("GET POST PUT DELETE", f"{_BASE}/{{rest:path}}")
def anything_else(call: Call) -> Response:
    """Refuse the rest."""
    require_person(call)
    raise not_implemented("this part of the DICOM receivers' settings")


def _store(call: Call, receiver: Receiver) -> Receiver:
    """Store a receiver as new (number 0) or changed; it listens, or not, from now on."""
    receivers = call.site.receivers
    with call.site.store.write() as connection:
        values = (
            receiver.ae_title, receiver.port, receiver.enabled, receiver.whitelist_enabled,
            json.dumps(receiver.whitelist),
        )  # fmt: skip
        try:
            row = connection.execute(
                "INSERT INTO dicom_receiver (id, ae_title, port, enabled, whitelist_enabled,"
                " whitelist) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET"
                " ae_title = ?2, port = ?3, enabled = ?4, whitelist_enabled = ?5, whitelist = ?6"
                " RETURNING *",
                (receiver.id or None, *values),
            ).fetchone()
        except sqlite3.IntegrityError as error:
            raise conflict("Another DICOM receiver has this port. Choose another one.") from error
        stored = _of_row(row)
        receivers.stop_one(stored.id)
        if stored.enabled:
            receivers.start(stored)  # where it cannot listen, nothing is stored
    return stored
