"""Commands and wrappers over HTTP: storing, changing, visibility, enabling, configurations.

Not here: what is offered to whom (``availability``) and launching (``launch``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from commands.errors import CommandDefinitionError
from commands.model import Command, Visibility
from commands.service_json import command_from_json, command_to_json
from deploy.sandbox import command_rows, enablement, wrapper_configs
from deploy.sandbox.call import Call, text
from deploy.sandbox.command_rows import DuplicateCommandError, StoredCommand
from deploy.sandbox.errors import bad_request, forbidden, not_found
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.wrapper_configs import SITE, ConfigError
from deploy.sandbox.xapi_access import (
    owned_project,
    readable_project,
    require_manager,
    require_person,
    stored_command,
    stored_wrapper,
)

ROUTES = Routes()

_WRAPPER_PATHS = ("/xapi/wrappers/{wrapper}", "/xapi/commands/{command}/wrappers/{wrapper}")
_PROJECT_WRAPPER_PATHS = tuple(
    path.replace("/xapi", "/xapi/projects/{project}", 1) for path in _WRAPPER_PATHS
)


def _below(paths: tuple[str, ...], tail: str) -> tuple[str, ...]:
    return tuple(f"{path}/{tail}" for path in paths)


def _command_of(document: Any, *, image: str | None = None) -> Command:
    if not isinstance(document, Mapping):
        raise bad_request("Invalid command:\n\tThe body must be a JSON object.")
    try:
        return command_from_json(document, image=image)
    except CommandDefinitionError as error:
        raise bad_request(str(error)) from error


# Commands -----------------------------------------------------------------------------------


@ROUTES.add("GET", "/xapi/commands")
def list_commands(call: Call) -> Response:
    """Answer the commands that the caller may see."""
    require_person(call)
    connection = call.site.store.connection
    enabled = {w.of.id for w in command_rows.all_wrappers(connection) if w.enabled}
    found = []
    for stored in command_rows.all_commands(connection):
        command = stored.command
        wanted = all(
            call.query[name] == (getattr(command, name) or "")
            for name in ("name", "version", "image")
            if name in call.query
        )
        if call.flag("restrictToEnabledForSite"):
            wanted = wanted and stored.id in enabled
        if wanted and _is_visible(call, stored):
            found.append(stored.document)
    return JSONResponse(found)


def _is_visible(call: Call, stored: StoredCommand) -> bool:
    is_private = stored.command.visibility is Visibility.PRIVATE
    return call.user.is_container_manager or not is_private


@ROUTES.add("POST", "/xapi/commands", body=True)
def create_command(call: Call) -> Response:
    """Store a command; answer its bare number."""
    require_manager(call)
    command = _command_of(json_body(call), image=call.query.get("image"))
    try:
        with call.site.store.write() as connection:
            stored = command_rows.add_command(connection, command)
    except DuplicateCommandError as error:
        raise bad_request(str(error)) from error
    return JSONResponse(stored.id, 201)


@ROUTES.add("GET", "/xapi/commands/{command:int}")
def read_command(call: Call) -> Response:
    """Answer one command."""
    require_person(call)
    stored = _stored(call)
    if not _is_visible(call, stored):
        raise not_found(f"There is no command {stored.id}.")
    return JSONResponse(stored.document)


def _stored(call: Call) -> StoredCommand:
    number = int(call.path["command"])
    found = (
        command_rows.find_command(call.site.store.connection, number) if number < 2**63 else None
    )
    if found is None:
        raise not_found(f"There is no command {number}.")
    return found


@ROUTES.add("POST", "/xapi/commands/{command:int}", body=True)
def update_command(call: Call) -> Response:
    """Replace a command; what the body leaves out stays as it was."""
    require_manager(call)
    stored, document = _stored(call), json_body(call)
    if not isinstance(document, Mapping):
        raise bad_request("Invalid command:\n\tThe body must be a JSON object.")
    current = command_to_json(stored.command)
    if "ipcMode" in document:
        current.pop("ipc-mode", None)  # the other spelling of the same key
    _replace(call, stored, {**current, **document})
    return JSONResponse(stored.id)


def _replace(call: Call, stored: StoredCommand, document: Mapping[str, Any]) -> None:
    command = _command_of(document)
    try:
        with call.site.store.write() as connection:
            command_rows.replace_command(connection, stored.id, command)
    except DuplicateCommandError as error:
        raise bad_request(str(error)) from error


@ROUTES.add("DELETE", "/xapi/commands/{command:int}")
def delete_command(call: Call) -> Response:
    """Delete a command with its wrappers; one that is not there is deleted already."""
    require_manager(call)
    stored = _stored(call)
    with call.site.store.write() as connection:
        connection.execute("DELETE FROM command WHERE id = ?", (stored.id,))
    return Response(status_code=204)


@ROUTES.add("POST", "/xapi/command/{command}/visibility/{visibility}")
def set_visibility(call: Call) -> Response:
    """Change who sees a command."""
    require_manager(call)
    stored = stored_command(call)
    try:
        visibility = Visibility(call.path["visibility"])
    except ValueError as error:
        words = ", ".join(Visibility)
        raise bad_request(f"Visibility is one of: {words}.") from error
    with call.site.store.write() as connection:
        command_rows.set_visibility(connection, stored, visibility)
    return text()


# Wrappers -----------------------------------------------------------------------------------


@ROUTES.add("POST", "/xapi/commands/{command}/wrappers", body=True)
def create_wrapper(call: Call) -> Response:
    """Add a wrapper to a command; answer its bare number."""
    require_manager(call)
    stored, wrapper = stored_command(call), json_body(call)
    if not isinstance(wrapper, Mapping):
        raise bad_request("Invalid command:\n\tThe body must be a JSON object.")
    document = command_to_json(stored.command)
    _replace(call, stored, {**document, "xnat": [*document.get("xnat", []), wrapper]})
    renewed = stored_command(call)
    number = next(n for name, n in renewed.wrapper_ids.items() if name not in stored.wrapper_ids)
    return JSONResponse(number, 201)


@ROUTES.add("POST", "/xapi/commands/{command}/wrappers/{wrapper}", body=True)
def update_wrapper(call: Call) -> Response:
    """Replace a wrapper; what the body leaves out stays as it was."""
    require_manager(call)
    stored, changes = stored_wrapper(call), json_body(call)
    if not isinstance(changes, Mapping):
        raise bad_request("Invalid command:\n\tThe body must be a JSON object.")
    name = stored.wrapper.name
    if changes.get("name", name) != name:
        raise bad_request("Invalid command:\n\tA wrapper keeps its name.")
    document = command_to_json(stored.command)
    document["xnat"] = [
        {**each, **changes} if each["name"] == name else each for each in document["xnat"]
    ]
    _replace(call, stored.of, document)
    return JSONResponse(stored.id)


@ROUTES.add("DELETE", *_WRAPPER_PATHS)
def delete_wrapper(call: Call) -> Response:
    """Take a wrapper out of its command."""
    require_manager(call)
    stored = stored_wrapper(call)
    document = command_to_json(stored.command)
    document["xnat"] = [each for each in document["xnat"] if each["name"] != stored.wrapper.name]
    _replace(call, stored.of, document)
    return Response(status_code=204)


@ROUTES.add("GET", "/xapi/wrappers/{wrapper}/projects")
def list_wrapper_projects(call: Call) -> Response:
    """Answer the projects that enabled a wrapper."""
    require_manager(call)
    stored = stored_wrapper(call)
    return JSONResponse(enablement.enabled_projects(call.site.store.connection, stored.id))


# Enabling -----------------------------------------------------------------------------------


@ROUTES.add("GET", *_below(_WRAPPER_PATHS, "enabled"))
def is_enabled(call: Call) -> Response:
    """Answer whether the site enabled a wrapper."""
    require_manager(call)
    return JSONResponse(stored_wrapper(call).enabled)


@ROUTES.add("PUT", *_below(_WRAPPER_PATHS, "enabled"))
def enable(call: Call) -> Response:
    """Enable a wrapper for the site."""
    return _set_enabled(call, enabled=True)


@ROUTES.add("PUT", *_below(_WRAPPER_PATHS, "disabled"))
def disable(call: Call) -> Response:
    """Disable a wrapper for the site."""
    return _set_enabled(call, enabled=False)


def _set_enabled(call: Call, *, enabled: bool) -> Response:
    require_manager(call)
    stored = stored_wrapper(call)
    with call.site.store.write() as connection:
        enablement.enable_for_site(connection, stored.id, enabled=enabled)
    return text()


@ROUTES.add("GET", *_below(_PROJECT_WRAPPER_PATHS, "enabled"))
def is_enabled_in_project(call: Call) -> Response:
    """Answer whether the site and the project enabled a wrapper."""
    project = owned_project(call, call.path["project"])
    stored = stored_wrapper(call)
    projects = enablement.enabled_projects(call.site.store.connection, stored.id)
    return JSONResponse(
        {
            "enabled-for-site": stored.enabled,
            "enabled-for-project": project.id in projects,
            "project": project.id,
        }
    )


@ROUTES.add("PUT", *_below(_PROJECT_WRAPPER_PATHS, "enabled"))
def enable_in_project(call: Call) -> Response:
    """Enable a wrapper in a project."""
    return _set_enabled_in_project(call, enabled=True)


@ROUTES.add("PUT", *_below(_PROJECT_WRAPPER_PATHS, "disabled"))
def disable_in_project(call: Call) -> Response:
    """Disable a wrapper in a project."""
    return _set_enabled_in_project(call, enabled=False)


def _set_enabled_in_project(call: Call, *, enabled: bool) -> Response:
    project = owned_project(call, call.path["project"])
    stored = stored_wrapper(call)
    with call.site.store.write() as connection:
        enablement.enable_for_project(connection, stored.id, project.id, enabled=enabled)
    return text()


# Configurations -----------------------------------------------------------------------------


def _scope(call: Call, project_action: Action) -> str:
    """Return the configuration's scope, if the caller may do this there."""
    if "project" not in call.path:
        require_manager(call)
        return SITE
    if project_action is Action.DELETE:
        return owned_project(call, call.path["project"]).id
    require_person(call)
    # Reading a configuration takes the right to edit data: members prepare launches.
    project = readable_project(call, call.path["project"])
    actions = call.site.rights.data_actions(call.user, project.id, "xnat:subjectData")
    if project_action not in actions:
        raise forbidden(f"You may not {project_action} data of project {project.id}.")
    return project.id


_CONFIG_PATHS = _below((*_WRAPPER_PATHS, *_PROJECT_WRAPPER_PATHS), "config")


@ROUTES.add("GET", *_CONFIG_PATHS)
def read_config(call: Call) -> Response:
    """Answer the configuration of a wrapper as it applies to the site or a project."""
    scope = _scope(call, Action.EDIT)
    stored = stored_wrapper(call)
    connection = call.site.store.connection
    command, wrapper = wrapper_configs.effective(connection, stored, scope or None)
    fixed = wrapper_configs.load(connection, stored.id, scope) or {}
    return JSONResponse(wrapper_configs.described(command, wrapper, fixed))


@ROUTES.add("POST", *_CONFIG_PATHS, body=True)
def write_config(call: Call) -> Response:
    """Store a configuration; ``enable=true`` enables the wrapper in the same place."""
    scope = _scope(call, Action.DELETE)
    stored = stored_wrapper(call)
    try:
        document = wrapper_configs.check(stored, json_body(call))
    except ConfigError as error:
        raise bad_request(str(error)) from error
    with call.site.store.write() as connection:
        wrapper_configs.save(connection, stored.id, scope, document)
        if "enable" in call.query and scope:
            enablement.enable_for_project(connection, stored.id, scope, enabled=call.flag("enable"))
        elif "enable" in call.query:
            enablement.enable_for_site(connection, stored.id, enabled=call.flag("enable"))
    return text(status=201)


@ROUTES.add("DELETE", *_CONFIG_PATHS)
def delete_config(call: Call) -> Response:
    """Forget a configuration; the wider one applies again."""
    scope = _scope(call, Action.DELETE)
    stored = stored_wrapper(call)
    with call.site.store.write() as connection:
        wrapper_configs.delete(connection, stored.id, scope)
    return Response(status_code=204)
