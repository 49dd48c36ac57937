"""Orchestrations over HTTP: made by those who administer the Container Service, used by projects.

Paths and answers are those of the Container Service's ``OrchestrationRestApi``. Not here: running
the steps (``orchestration_steps``).
"""

from __future__ import annotations

import sqlite3
from typing import Any

from starlette.responses import JSONResponse, Response

from deploy.sandbox import command_rows, enablement, orchestration_rows
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import bad_request, not_found, not_implemented
from deploy.sandbox.orchestration_rows import Orchestration
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.xapi_access import owned_project, require_manager

ROUTES = Routes()

MAX_STEPS = 100
MAX_NAME = 255
_MAX_ID = 2**63
_PROJECT = "/xapi/orchestration/project/{project}"


def _stored(call: Call, number: int) -> Orchestration:
    connection = call.site.store.connection
    found = orchestration_rows.find(connection, number) if 0 < number < _MAX_ID else None
    if found is None:
        raise not_found(f"There is no orchestration {number}.")
    return found


@ROUTES.add("GET", "/xapi/orchestration")
def list_all(call: Call) -> Response:
    """Answer every orchestration."""
    require_manager(call)
    found = orchestration_rows.all_orchestrations(call.site.store.connection)
    return JSONResponse([each.document for each in found])


@ROUTES.add("POST", "/xapi/orchestration", body=True)
def put_one(call: Call) -> Response:
    """Make an orchestration, or change the one whose ``id`` the body has; answer it."""
    require_manager(call)
    wanted = _read(json_body(call))
    if wanted.id:
        _stored(call, wanted.id)
    with call.site.store.write() as connection:
        _check_wrappers(connection, wanted)
        return JSONResponse(orchestration_rows.put(connection, wanted).document)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_ID


def _read(given: Any) -> Orchestration:
    if not isinstance(given, dict):
        raise bad_request("The body must be a JSON object with 'name' and 'wrapperIds'.")
    number, name = given.get("id") or 0, given.get("name")
    if not _is_number(number):
        raise bad_request("'id' must be a whole number; leave it out for a new orchestration.")
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
        raise bad_request(f"'name' must be a text of 1 to {MAX_NAME} characters.")
    wrappers = given.get("wrapperIds")
    if not isinstance(wrappers, list) or not all(map(_is_number, wrappers)):
        raise bad_request("'wrapperIds' must be a list of numbers of wrappers.")
    if not 2 <= len(wrappers) <= MAX_STEPS:  # noqa: PLR2004 - one after another takes two
        raise bad_request(f"An orchestration has 2 to {MAX_STEPS} wrappers.")
    if given.get("haltOnCommandFailure") is False:
        raise not_implemented("going on after a wrapper that failed")
    return Orchestration(number, name, True, tuple(wrappers))  # noqa: FBT003 - columns of a row


def _check_wrappers(connection: sqlite3.Connection, wanted: Orchestration) -> None:
    contexts: set[str] | None = None
    for number in wanted.wrapper_ids:
        stored = command_rows.find_wrapper(connection, number)
        if stored is None:
            raise not_found(f"There is no wrapper {number}.")
        if not stored.enabled:
            raise bad_request(f"Wrapper {number} is not enabled for the site.")
        own = set(stored.wrapper.contexts)
        contexts = own if contexts is None else contexts & own
    if not contexts:
        raise bad_request("The wrappers must have a context in common.")


@ROUTES.add("DELETE", "/xapi/orchestration/{orchestration}")
def delete_one(call: Call) -> Response:
    """Delete an orchestration; steps that wait for the end of another are not launched."""
    require_manager(call)
    found = _stored(call, call.number("orchestration"))
    with call.site.store.write() as connection:
        orchestration_rows.delete(connection, found.id)
    return text()


@ROUTES.add("PUT", "/xapi/orchestration/{orchestration}/enabled/{value}")
def set_enabled(call: Call) -> Response:
    """Enable an orchestration with its wrappers, or disable it in all projects."""
    require_manager(call)
    found, word = _stored(call, call.number("orchestration")), call.path["value"].lower()
    if word not in {"true", "false"}:
        raise bad_request("The last part of the address is true or false.")
    with call.site.store.write() as connection:
        if word == "true":
            for number in found.wrapper_ids:
                if command_rows.find_wrapper(connection, number) is None:
                    raise bad_request(f"Wrapper {number} was deleted. Change the orchestration.")
                enablement.enable_for_site(connection, number, enabled=True)
        orchestration_rows.set_enabled(connection, found.id, enabled=word == "true")
    return text()


# In a project -------------------------------------------------------------------------------


@ROUTES.add("GET", _PROJECT)
def show_in_project(call: Call) -> Response:
    """Answer the orchestrations whose wrappers the project has enabled, and the one it uses."""
    project = owned_project(call, call.path["project"])
    with call.site.store.read() as connection:
        enabled = enablement.wrappers_enabled_in(connection, project.id)
        found = [
            each
            for each in orchestration_rows.all_orchestrations(connection)
            if enabled.issuperset(each.wrapper_ids)
        ]
        chosen = orchestration_rows.of_project(connection, project.id)
    return JSONResponse(
        {
            "availableOrchestrations": [each.document for each in found],
            "selectedOrchestrationId": chosen.id if chosen in found and chosen else None,
        }
    )


@ROUTES.add("PUT", _PROJECT)
def choose_in_project(call: Call) -> Response:
    """Have the project use an orchestration; its wrappers are enabled there."""
    project = owned_project(call, call.path["project"])
    given = call.query.get("orchestrationId", "")
    if not (given.isascii() and given.isdigit() and len(given) <= 18):  # noqa: PLR2004 - int64
        raise bad_request("Name the orchestration: ?orchestrationId=NUMBER.")
    with call.site.store.write() as connection:
        found = _stored(call, int(given))
        if not found.enabled:
            raise bad_request(f"The orchestration {found.id} is not enabled.")
        for number in found.wrapper_ids:
            enablement.enable_for_project(connection, number, project.id, enabled=True)
        orchestration_rows.choose(connection, project.id, found.id)
    return text()


@ROUTES.add("DELETE", _PROJECT)
def leave_in_project(call: Call) -> Response:
    """Have the project use no orchestration; its wrappers stay enabled."""
    project = owned_project(call, call.path["project"])
    with call.site.store.write() as connection:
        orchestration_rows.choose(connection, project.id, None)
    return text()
