"""Container Service commands on a server: finding, registering, enabling.

Sources: XNAT Container Service 3.7, REST paths below ``/xapi/commands``. Not here: what a command
is (package ``commands``), running one (``launch``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xnat_client.address import check_project_id, path_of
from xnat_client.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    UsageError,
)

if TYPE_CHECKING:
    from xnat_client.transport import Transport

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class AvailableWrapper:
    """A wrapper that may be launched in a project on a type of object.

    ``root_input`` is the name of the input that takes the object.
    """

    command_id: int
    command_name: str
    wrapper_id: int
    wrapper_name: str
    root_input: str
    image: str


@dataclass(frozen=True, slots=True)
class RegisteredCommand:
    """A command as the server knows it; ``wrappers`` maps wrapper names to their ids."""

    command_id: int
    name: str
    version: str
    image: str
    wrappers: Mapping[str, int]


def list_available(
    transport: Transport, project_id: str, xsi_type: str
) -> tuple[AvailableWrapper, ...]:
    """Return what this account may launch in a project on objects of a type, sorted by name."""
    doing = f"list the commands of project {project_id}"
    rows = transport.get_json(
        "/xapi/commands/available",
        doing=doing,
        query={"project": check_project_id(project_id), "xsiType": xsi_type},
    )
    try:
        found = [
            AvailableWrapper(
                command_id=int(row["command-id"]),
                command_name=str(row["command-name"]),
                wrapper_id=int(row["wrapper-id"]),
                wrapper_name=str(row["wrapper-name"]),
                root_input=str(row["root-element-name"]),
                image=str(row.get("image-name") or ""),
            )
            for row in rows
            if row.get("enabled", True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_understood(transport, doing) from error
    return tuple(sorted(found, key=lambda one: (one.command_name, one.wrapper_name)))


def find_available(
    transport: Transport,
    project_id: str,
    xsi_type: str,
    command: str,
    wrapper: str | None = None,
) -> AvailableWrapper:
    """Return the one wrapper of a command that fits; commands may be named by a wrapper too.

    Raises
    ------
    NotFoundError
        Nothing of that name may be launched here.
    UsageError
        Several wrappers fit and none was named.
    """
    available = list_available(transport, project_id, xsi_type)
    fitting = [
        one
        for one in available
        if command in (one.command_name, one.wrapper_name) and wrapper in (None, one.wrapper_name)
    ]
    if not fitting:
        offered = ", ".join(sorted({one.command_name for one in available})) or "none"
        raise NotFoundError(
            f"Command {command}{f' with wrapper {wrapper}' if wrapper else ''} cannot be launched "
            f"on {xsi_type} in project {project_id}: available to this account are: {offered}. It "
            "may not be registered, not be enabled for the site or the project, or need more "
            "rights; ask an owner of the project."
        )
    # Several versions of one command may be registered: the newest registration counts.
    newest = max(one.command_id for one in fitting)
    fitting = [one for one in fitting if one.command_id == newest]
    if len(fitting) > 1:
        names = ", ".join(one.wrapper_name for one in fitting)
        raise UsageError(
            f"Command {command} fits in several ways ({names}). Choose with --wrapper."
        )
    return fitting[0]


def find_registered(transport: Transport, name: str) -> tuple[RegisteredCommand, ...]:
    """Return the registered commands of a name, in the order of their ids."""
    doing = f"look up command {name}"
    rows = transport.get_json("/xapi/commands", doing=doing, query={"name": name})
    try:
        found = [_registered(row) for row in rows if row.get("name") == name]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_understood(transport, doing) from error
    return tuple(sorted(found, key=lambda one: one.command_id))


def ensure_registered(
    transport: Transport, document: Mapping[str, Any], project_ids: Sequence[str] = ()
) -> RegisteredCommand:
    """Make sure that a command is registered, and enabled for the site and for projects.

    Doing it twice changes nothing. Needs an administrator (or Container Manager) for the site,
    an owner for a project.

    Parameters
    ----------
    document : Mapping
        The command document, as the Container Service stores it; ``name``, ``image`` and
        ``version`` must be there.
    project_ids : sequence of str
        Projects in which all wrappers are enabled.

    Raises
    ------
    ConflictError
        A command of this name and version is registered with another image.
    """
    name, wanted = str(document["name"]), str(document.get("version") or "")
    for project_id in project_ids:
        check_project_id(project_id)
    known = [one for one in find_registered(transport, name) if one.version == wanted]
    if not known:
        command_id = _register(transport, document)
        known = [one for one in find_registered(transport, name) if one.command_id == command_id]
    if not known:
        raise RefusedError(
            f"Command {name} was registered, but {transport.host} does not list it. Look at the "
            "server's commands."
        )
    command = known[-1]
    if command.image != str(document["image"]):
        raise ConflictError(
            f"Command {name} {wanted} is registered with image {command.image} instead of "
            f"{document['image']}. Delete it on the server, or give yours another version."
        )
    for wrapper_name in sorted(command.wrappers):
        _enable(transport, command, wrapper_name, None)
        for project_id in project_ids:
            _enable(transport, command, wrapper_name, project_id)
    return command


def _register(transport: Transport, document: Mapping[str, Any]) -> int:
    doing = f"register command {document['name']}"
    body = json.dumps(document).encode("utf-8")
    answer = transport.request("POST", "/xapi/commands", doing=doing, headers=_JSON, body=body)
    try:
        return int(answer.text)
    except ValueError as error:
        raise _not_understood(transport, doing) from error


def _enable(
    transport: Transport, command: RegisteredCommand, wrapper_name: str, project_id: str | None
) -> None:
    where = f"project {project_id}" if project_id else "the site"
    path = path_of("commands", str(command.command_id), "wrappers", wrapper_name, "enabled")
    prefix = path_of("xapi", "projects", project_id) if project_id else "/xapi"
    doing = f"enable {wrapper_name} for {where}"
    try:
        transport.request("PUT", prefix + path, doing=doing)
    except NotAllowedError as error:
        who = "an owner of the project" if project_id else "an administrator of the server"
        raise NotAllowedError(
            f"Cannot {doing}: this needs {who}.", status=error.status, details=error.details
        ) from error


def _registered(row: Mapping[str, Any]) -> RegisteredCommand:
    return RegisteredCommand(
        command_id=int(row["id"]),
        name=str(row["name"]),
        version=str(row.get("version") or ""),
        image=str(row.get("image") or ""),
        wrappers={str(one["name"]): int(one["id"]) for one in row.get("xnat") or ()},
    )


def _not_understood(transport: Transport, doing: str) -> RefusedError:
    return RefusedError(
        f"Cannot {doing}: the answer of {transport.host} is not that of the Container Service. "
        "Check that its plugin is installed."
    )
