"""Which wrappers are offered to whom: enabled, of the right context, and within their rights.

Not here: enabling (``commands_api``).
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from commands.model import HandlerType, OutputHandler, Visibility
from commands.model import WrapperInputType as Type
from deploy.sandbox import command_rows, enablement
from deploy.sandbox.call import Call
from deploy.sandbox.command_rows import StoredWrapper
from deploy.sandbox.datatypes import IMAGE_SESSION, DataTypes
from deploy.sandbox.errors import bad_request
from deploy.sandbox.rights import PROJECT_TYPE, SUBJECT_TYPE, Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.xapi_access import readable_project, require_person

ROUTES = Routes()

SITE_CONTEXT = "site"
_SESSION_PARTS = frozenset({Type.SESSION, Type.SCAN})
_TARGET_TYPES = {Type.PROJECT: PROJECT_TYPE, Type.SUBJECT: SUBJECT_TYPE}


@ROUTES.add("GET", "/xapi/commands/available", "/xapi/projects/{project}/commands/available")
def list_available(call: Call) -> Response:
    """Answer what the caller may launch on objects of a type in a project."""
    require_person(call)
    name, xsi_type = (
        call.path.get("project") or call.query.get("project"),
        call.query.get("xsiType"),
    )
    if not name or not xsi_type:
        raise bad_request("Name the project and the xsiType.")
    project = readable_project(call, name)
    connection = call.site.store.connection
    enabled = enablement.wrappers_enabled_in(connection, project.id)
    offered = [
        summary(stored, project.id)
        for stored in command_rows.all_wrappers(connection)
        if stored.enabled
        and stored.id in enabled
        and fits(stored, xsi_type, call.site.types)
        and _is_visible(call, stored)
        and _is_permitted(call, stored, project.id, xsi_type)
    ]
    return JSONResponse(offered)


@ROUTES.add("GET", "/xapi/commands/available/site")
def list_available_for_site(call: Call) -> Response:
    """Answer what can be launched for the site as a whole."""
    require_person(call)
    return JSONResponse(
        [
            summary(stored, None)
            for stored in command_rows.all_wrappers(call.site.store.connection)
            if stored.enabled
            and SITE_CONTEXT in stored.wrapper.contexts
            and _is_visible(call, stored)
        ]
    )


def summary(stored: StoredWrapper, project: str | None) -> dict[str, Any]:
    """Return a wrapper as lists for launching show it."""
    command, wrapper = stored.command, stored.wrapper
    roots = wrapper.external_inputs
    document = {
        "command-id": stored.of.id,
        "command-name": command.name,
        "command-label": command.label,
        "command-description": command.description,
        "command-metadata": command.command_metadata,
        "wrapper-id": stored.id,
        "wrapper-name": wrapper.name,
        "wrapper-label": wrapper.label,
        "wrapper-description": wrapper.description,
        "wrapper-contexts": list(wrapper.contexts),
        "image-name": command.image,
        "image-type": command.type.value,
        "enabled": True,
        "root-element-name": roots[0].name if roots else None,
    }
    return document if project is None else {**document, "project": project}


def fits(stored: StoredWrapper, xsi_type: str, types: DataTypes) -> bool:
    """Return whether a wrapper is offered on objects of a type, or of one that it extends."""
    contexts = {context.casefold() for context in stored.wrapper.contexts}
    known = types.find(xsi_type)
    names = [xsi_type] if known is None else types.lineage(known)
    return any(name.casefold() in contexts for name in names)


def _is_visible(call: Call, stored: StoredWrapper) -> bool:
    return stored.command.visibility is not Visibility.PRIVATE or call.user.is_container_manager


def _is_permitted(call: Call, stored: StoredWrapper, project: str, xsi_type: str) -> bool:
    """Return whether the caller may read the context and write every output."""
    if not _may(call, Action.READ, project, xsi_type):
        return False
    handlers = stored.wrapper.output_handlers
    return all(_may_write(call, stored, each, project, xsi_type) for each in handlers)


def _may_write(
    call: Call, stored: StoredWrapper, handler: OutputHandler, project: str, xsi_type: str
) -> bool:
    if handler.type is HandlerType.ASSESSOR:
        return handler.xsi_type is None or _may(call, Action.EDIT, project, handler.xsi_type)
    wrapper = stored.wrapper
    inputs = {each.name: each for each in (*wrapper.external_inputs, *wrapper.derived_inputs)}
    target = inputs.get(handler.as_a_child_of)
    if target is None:
        return True  # belongs under another handler, which is asked about itself
    roots = wrapper.external_inputs
    root = roots[0].type if roots else None
    kind = _TARGET_TYPES.get(target.type, xsi_type)
    if target.type in _SESSION_PARTS and root not in _SESSION_PARTS:
        kind = IMAGE_SESSION
    return _may(call, Action.EDIT, project, kind)


def _may(call: Call, action: Action, project: str, xsi_type: str) -> bool:
    """Return whether the caller may do this with data of a type in a project.

    A scan has its session's rights; the abstract session type stands for any kind of session.
    """
    kind = xsi_type
    if kind.casefold().endswith("scandata"):
        kind = kind[: -len("ScanData")] + "SessionData"
    rights = call.site.rights
    if action in rights.data_actions(call.user, project, kind):
        return True
    if kind.casefold() != IMAGE_SESSION.casefold():
        return False
    rows = call.site.store.connection.execute(
        "SELECT DISTINCT group_right.xsi_type FROM group_right JOIN project_group"
        " ON project_group.id = group_right.group_id"
        " WHERE project_group.project = ? AND group_right.xsi_type LIKE '%SessionData'",
        (project,),
    )
    return any(action in rights.data_actions(call.user, project, name) for (name,) in rows)
