"""What a launch page shows: the tree of inputs, and what they may be for one object.

Not here: HTTP (``launch``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.model import CommandInput, CommandInputType, DerivedInput, ExternalInput
from deploy.sandbox import docker_settings, wrapper_configs
from deploy.sandbox.call import Call
from deploy.sandbox.command_rows import StoredWrapper
from deploy.sandbox.errors import bad_request
from deploy.sandbox.object_tree import ObjectTree
from deploy.sandbox.resolution import (
    Resolution,
    ResolutionError,
    Resolved,
    resolve_wrapper_inputs,
)

_SELECTS = {CommandInputType.SELECT_ONE: "select-one", CommandInputType.SELECT_MANY: "select-many"}


def describe(
    call: Call, stored: StoredWrapper, project: str | None, params: Mapping[str, str]
) -> dict[str, Any]:
    """Return the model of a launch page.

    Raises
    ------
    HttpError
        400: the inputs cannot be resolved.
    """
    connection = call.site.store.connection
    command, wrapper = wrapper_configs.effective(connection, stored, project)
    locked = wrapper_configs.locked_inputs(connection, stored, project)
    try:
        found = resolve_wrapper_inputs(
            command, wrapper, params, ObjectTree(call.site, call.user, project)
        )
    except ResolutionError as error:
        raise bad_request(f"The command could not be resolved.\n{error}") from error
    server = docker_settings.load(connection)
    return {
        "meta": {
            "command-id": stored.of.id,
            "command-name": command.name,
            "command-label": command.label,
            "command-description": command.description,
            "wrapper-id": stored.id,
            "wrapper-name": wrapper.name,
            "wrapper-label": wrapper.label,
            "wrapper-description": wrapper.description,
            "image-name": command.image,
            "image-type": command.type.value,
        },
        "input-config": _config(found, locked),
        "input-values": [_values(each) for each in found.inputs.values()],
        "container-server-config": {
            key: server[key] for key in ("backend", "swarm-mode", "swarm-constraints", "gpu-vendor")
        },
    }


def _config(found: Resolution, locked: set[str]) -> list[dict[str, Any]]:
    wrapper = found.wrapper
    roots: list[ExternalInput | CommandInput] = list(wrapper.external_inputs)
    fed = {each.input.provides_value_for_command_input for each in found.inputs.values()}
    roots += [each for each in found.command.inputs if each.name not in fed]
    return [_node(each, found, locked) for each in roots]


def _node(
    each: ExternalInput | DerivedInput | CommandInput, found: Resolution, locked: set[str]
) -> dict[str, Any]:
    is_command_input = isinstance(each, CommandInput)
    children = [
        _node(derived, found, locked)
        for derived in found.wrapper.derived_inputs
        if not is_command_input and derived.derived_from_wrapper_input == each.name
    ]
    if not isinstance(each, CommandInput):
        children += [
            _node(fed, found, locked)
            for fed in found.command.inputs
            if fed.name == each.provides_value_for_command_input
        ]
    settable = each.name not in locked if isinstance(each, CommandInput) else each.user_settable
    return {
        "name": each.name,
        "label": each.label or each.name,
        "description": each.description,
        "advanced": None if isinstance(each, CommandInput) else each.advanced,
        "required": each.required,
        "user-settable": settable,
        "input-type": _page_type(each, found),
        "multiple": isinstance(each, DerivedInput) and each.multiple,
        "select-values": list(each.select_values) if isinstance(each, CommandInput) else [],
        "children": children,
    }


def _page_type(each: ExternalInput | DerivedInput | CommandInput, found: Resolution) -> str:
    if isinstance(each, CommandInput):
        if each.type in _SELECTS:
            return _SELECTS[each.type]
        return "boolean" if each.type is CommandInputType.BOOLEAN else "text"
    resolved = found.inputs.get(each.name)
    if isinstance(each, ExternalInput) and resolved is not None and resolved.items:
        return "static"
    if resolved is not None and len(resolved.values) > 1:
        return "select-many" if resolved.multiple else "select-one"
    return "text"


def _values(resolved: Resolved) -> dict[str, Any]:
    labels = [item.label for item in resolved.items] or list(resolved.values)
    return {
        "name": resolved.input.name,
        "values": [
            {"value": value, "label": label, "children": []}
            for value, label in zip(resolved.values, labels, strict=True)
        ],
    }
