"""Anonymisation scripts over HTTP. Not here: the language and its use (``anonymization``)."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from deploy.sandbox import anonymization
from deploy.sandbox.anonymization import DEFAULT_SCRIPT, SITE, SITE_SWITCH
from deploy.sandbox.call import Call, text
from deploy.sandbox.dicom_edit import ScriptError, read_script
from deploy.sandbox.errors import bad_request, forbidden
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.xapi_access import owned_project, readable_project, require_person

ROUTES = Routes()

_PROJECT = "/xapi/anonymize/projects/{project}"


def _require_admin(call: Call) -> None:
    require_person(call)
    if not call.user.is_admin:
        raise forbidden("This needs a site administrator.")


def _script(call: Call) -> str:
    """Return the body's script, if every statement of it is understood."""
    try:
        script = call.body.decode()
    except UnicodeDecodeError as error:
        raise bad_request("The script is not UTF-8 text.") from error
    if not script.strip():
        raise bad_request("The script is empty. To apply none, PUT false to .../enabled.")
    try:
        read_script(script)
    except ScriptError as error:
        raise bad_request(str(error)) from error
    return script


def _switch(call: Call) -> bool:
    value = json_body(call)
    if not isinstance(value, bool):
        raise bad_request("The body must be true or false.")
    return value


@ROUTES.add("GET", "/xapi/anonymize/default")
def show_default(call: Call) -> Response:
    """Answer the script that the sandbox comes with."""
    require_person(call)
    return text(DEFAULT_SCRIPT)


@ROUTES.add("GET", "/xapi/anonymize/site")
def show_site(call: Call) -> Response:
    """Answer the site's script."""
    require_person(call)
    return text(anonymization.site_text(call.site.store.connection))


@ROUTES.add("PUT", "/xapi/anonymize/site", body=True)
def store_site(call: Call) -> Response:
    """Store the site's script; whether it applies is another setting."""
    _require_admin(call)
    script = _script(call)
    with call.site.store.write() as connection:
        anonymization.store_script(connection, SITE, script)
    return text()


@ROUTES.add("GET", "/xapi/anonymize/site/enabled")
def show_site_switch(call: Call) -> Response:
    """Answer whether the site's script applies."""
    require_person(call)
    return JSONResponse(bool(call.site.get(SITE_SWITCH)))


@ROUTES.add("PUT", "/xapi/anonymize/site/enabled", body=True)
def set_site_switch(call: Call) -> Response:
    """Set whether the site's script applies."""
    _require_admin(call)
    call.site.set(SITE_SWITCH, _switch(call))
    return text()


@ROUTES.add("GET", _PROJECT)
def show_project(call: Call) -> Response:
    """Answer a project's script; 204 when it has none."""
    require_person(call)
    project = readable_project(call, call.path["project"])
    stored = anonymization.find_script(call.site.store.connection, project.id)
    return Response(status_code=204) if stored is None else text(stored.text)


@ROUTES.add("PUT", _PROJECT, body=True)
def store_project(call: Call) -> Response:
    """Store a project's script; the first one applies from now on."""
    project = owned_project(call, call.path["project"])
    script = _script(call)
    with call.site.store.write() as connection:
        anonymization.store_script(connection, project.id, script)
    return text()


@ROUTES.add("GET", f"{_PROJECT}/enabled")
def show_project_switch(call: Call) -> Response:
    """Answer whether a project's script applies."""
    require_person(call)
    project = readable_project(call, call.path["project"])
    stored = anonymization.find_script(call.site.store.connection, project.id)
    return JSONResponse(stored is not None and stored.enabled)


@ROUTES.add("PUT", f"{_PROJECT}/enabled", body=True)
def set_project_switch(call: Call) -> Response:
    """Set whether a project's script applies."""
    project = owned_project(call, call.path["project"])
    enabled = _switch(call)
    with call.site.store.write() as connection:
        found = anonymization.switch_script(connection, project.id, enabled=enabled)
    if enabled and not found:
        raise bad_request(f"Project {project.id} has no script that could apply. PUT one first.")
    return text()
