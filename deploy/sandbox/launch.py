"""Launching over HTTP: one object, many, and the page's questions before that.

A launch is stored and answered at once; everything that can go wrong with it afterwards is told
by its workflow. Not here: what may be launched (``launch_requests``) and doing it (``runner``).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from containers.engine import EngineUnavailableError
from deploy.sandbox import launch_pages
from deploy.sandbox.call import Call
from deploy.sandbox.command_rows import StoredWrapper
from deploy.sandbox.errors import HttpError, bad_request
from deploy.sandbox.launch_requests import (
    check_launchable,
    find_root,
    project_of,
    start,
)
from deploy.sandbox.matchers import json_list
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.wrapper_configs import as_text
from deploy.sandbox.xapi_access import readable_project, require_person, stored_wrapper

ROUTES = Routes()

MAX_BULK = 10_000
_WRAPPERS = (
    "/xapi/wrappers/{wrapper}",
    "/xapi/projects/{project}/wrappers/{wrapper}",
    "/xapi/projects/{project}/wrapper/{wrapper}",
    "/xapi/commands/{command}/wrappers/{wrapper}",
    "/xapi/projects/{project}/commands/{command}/wrappers/{wrapper}",
)
_ROOTS = ("", "/root/{root}")
_NOT_INPUTS = frozenset({"XNAT_CSRF", "format"})


def _paths(verb: str) -> tuple[str, ...]:
    return tuple(f"{wrapper}{root}/{verb}" for wrapper in _WRAPPERS for root in _ROOTS)


@ROUTES.add("POST", *_paths("launch"), body=True)
def launch(call: Call) -> Response:
    """Launch a wrapper on one object."""
    stored, project = _launchable(call)
    params = _params(call)
    _check_root(call, stored)
    _require_engine(call)
    workflow_id = start(call.site, call.user, stored, project=project, params=params)
    return JSONResponse(_report(stored, params, str(workflow_id)))


@ROUTES.add("POST", *_paths("bulklaunch"), body=True)
def bulk_launch(call: Call) -> Response:
    """Launch a wrapper on each of many objects; the root's value is a JSON list of them."""
    stored, project = _launchable(call)
    params = _params(call)
    root = _check_root(call, stored)
    if root is None:
        raise bad_request("Name the root input in the path: .../root/NAME/bulklaunch.")
    targets = json_list(params.get(root, ""))
    if targets is None:
        raise bad_request(f"The value of '{root}' must be a JSON list of URIs, as text.")
    if len(targets) > MAX_BULK:
        raise bad_request(f"At most {MAX_BULK} objects can be launched at a time.")
    _require_engine(call)
    bulk_id = f"bulk-{call.user.login}-{int(time.time() * 1000)}-{secrets.randbelow(1000)}"
    successes, failures = [], []
    for target in targets:
        one = {**params, root: target}
        try:
            number = start(
                call.site, call.user, stored, project=project, params=one, justification=bulk_id
            )
        except HttpError as error:
            failures.append(_report(stored, one, None, message=error.message))
        else:
            successes.append(_report(stored, one, str(number)))
    return JSONResponse(
        {
            "bulk-launch-id": bulk_id,
            "pipeline-name": stored.wrapper.name,
            "successes": successes,
            "failures": failures,
        }
    )


@ROUTES.add("GET", *_paths("launch"))
def launch_page(call: Call) -> Response:
    """Answer what a launch page needs for one object."""
    stored, project = _launchable(call)
    params = {name: value for name, value in call.query.items() if name not in _NOT_INPUTS}
    return _page(call, stored, project, params)


def _page(
    call: Call, stored: StoredWrapper, project: str | None, params: Mapping[str, str]
) -> Response:
    """Answer the page for what a launch with these values would do."""
    root = find_root(call.site, call.user, stored, project=project, params=params)
    return JSONResponse(launch_pages.describe(call, stored, project_of(project, root), params))


@ROUTES.add("GET", *_paths("bulklaunch"))
def bulk_launch_page(call: Call) -> Response:
    """Answer what a launch page needs for many objects: the inputs of the first one."""
    stored, project = _launchable(call)
    params = {name: value for name, value in call.query.items() if name not in _NOT_INPUTS}
    root, target = params.pop("rootElement", None), params.pop("sampleTarget", None)
    if root is not None and target is not None:
        params[root] = target
    for name, value in params.items():
        listed = json_list(value)
        if listed:
            params[name] = listed[0]
    return _page(call, stored, project, params)


def _launchable(call: Call) -> tuple[StoredWrapper, str | None]:
    """Return the wrapper and project of the path, if the caller may launch it there."""
    require_person(call)
    project = readable_project(call, call.path["project"]).id if "project" in call.path else None
    stored = stored_wrapper(call)
    check_launchable(call.site, call.user, stored, project)
    return stored, project


def _params(call: Call) -> dict[str, str]:
    """Return launch values from a JSON body, or from the query where there is no body."""
    given: Mapping[Any, Any] = call.query
    if call.body:
        given = json_body(call)
    if not isinstance(given, Mapping):
        raise bad_request("The body must be a JSON object: input name to value.")
    params = {}
    for name, value in given.items():
        if isinstance(value, (dict, list)):
            raise bad_request(f"The value of '{name}' must be a text, a number or a boolean.")
        if value is not None and name not in _NOT_INPUTS:
            params[str(name)] = as_text(value)
    if any("\0" in value for value in params.values()):
        raise bad_request("A launch value has a NUL character.")
    return params


def _require_engine(call: Call) -> None:
    try:
        call.site.runner.engine.ping()
    except EngineUnavailableError as error:
        raise HttpError(424, "Set up Docker server before using this REST endpoint.") from error


def _check_root(call: Call, stored: StoredWrapper) -> str | None:
    names = [each.name for each in stored.wrapper.external_inputs]
    root = call.path.get("root")
    if root is None:
        return names[0] if len(names) == 1 else None
    if root not in names:
        raise bad_request(
            f"The wrapper '{stored.wrapper.name}' has no external input '{root}'. "
            f"Its external inputs: {', '.join(names) or 'none'}."
        )
    return root


def _report(
    stored: StoredWrapper,
    params: Mapping[str, str],
    workflow_id: str | None,
    message: str | None = None,
) -> dict[str, Any]:
    report: dict[str, Any] = {
        "status": "failure" if workflow_id is None else "success",
        "params": dict(params),
        "id": 0,
        "command-id": stored.of.id,
        "wrapper-id": stored.id,
    }
    if workflow_id is None:
        return {**report, "message": message}
    return {**report, "workflow-id": workflow_id}
