"""The rules that the XNAT Container Service keeps when a command is created or changed.

Here are the rules of the command itself; those of its wrappers are in ``wrapper_validation``.
The service collects all broken rules before it answers, and so does this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from commands.model import (
    MAX_COMMAND_LINE_LENGTH,
    Command,
    CommandInput,
    CommandInputType,
    CommandType,
)
from commands.naming import name_errors, repeated_names
from commands.wrapper_validation import wrapper_errors

DEFAULT_IMAGE_TAG = "latest"
RESERVED_ENVIRONMENT = frozenset({"XNAT_HOST", "XNAT_PASS", "XNAT_USER"})
"""Names that the service sets itself in every container."""

_TAGGED = re.compile(r".+:[A-Za-z0-9_.-]+")
_ULIMIT = re.compile(r"[^:\s]+(:[^:\s]+)?")
_SELECTS = (CommandInputType.SELECT_ONE, CommandInputType.SELECT_MANY)
_FORBIDDEN_PARTS = (
    ("mounts", "mounts"),
    ("inputs", "inputs"),
    ("outputs", "outputs"),
    ("wrappers", "wrappers"),
    ("environment_variables", "environment variables"),
    ("ports", "ports"),
    ("secrets", "secrets"),
)
"""What a set-up or wrap-up command must not have: field and words for people."""


def tagged_image(image: str) -> str:
    """Return the image reference with the tag that the service adds where none is given."""
    return f"{image}:{DEFAULT_IMAGE_TAG}" if image and not _TAGGED.fullmatch(image) else image


def validate(command: Command) -> tuple[str, ...]:
    """Return a sentence for every rule of the Container Service that `command` breaks.

    Returns
    -------
    tuple of str
        Empty for a command that the service accepts; in the order of the document.

    References
    ----------
    XNAT Container Service 3.7.3, validation of commands on creation and update; what an
    input can be derived from and the parts of secrets are checked here already, where the
    service fails only at launch.
    """
    return tuple(_all_errors(command))


def _all_errors(command: Command) -> Iterator[str]:
    if not command.name.strip():
        yield "The command has no name."
    rules = [_image_errors(command), _line_errors(command)]
    if command.type is CommandType.DOCKER:
        rules += [_own_errors(command), *(wrapper_errors(command, w) for w in command.wrappers)]
    else:
        rules.append(_special_errors(command))
    for rule in rules:
        for error in rule:
            yield f'Command "{command.name}" - {error}'


def _image_errors(command: Command) -> Iterator[str]:
    if not command.image.strip():
        yield "the image name is blank."
    elif not _TAGGED.fullmatch(command.image):
        yield f'the image name "{command.image}" has no version tag; write name:tag.'


def _line_errors(command: Command) -> Iterator[str]:
    length = len(command.command_line or "")
    if length > MAX_COMMAND_LINE_LENGTH:
        yield (
            f"the command line has {length} characters; "
            f"the service stores {MAX_COMMAND_LINE_LENGTH}."
        )


def _special_errors(command: Command) -> Iterator[str]:
    for attribute, words in _FORBIDDEN_PARTS:
        if getattr(command, attribute):
            yield f"a {command.type.value} command cannot have {words}."


def _own_errors(command: Command) -> Iterator[str]:
    for name, limit in command.ulimits.items():
        if not _ULIMIT.fullmatch(limit):
            yield f'the ulimit "{name}" is "{limit}"; write "soft" or "soft:hard".'
    yield from _secret_errors(command)
    yield from _mount_errors(command)
    yield from name_errors("input", [each.name for each in command.inputs])
    for each in command.inputs:
        yield from _select_errors(each)
    yield from _output_errors(command)
    yield from repeated_names("wrapper", [each.name for each in command.wrappers])


def _secret_errors(command: Command) -> Iterator[str]:
    for number, secret in enumerate(command.secrets, start=1):
        name = secret.destination.get("identifier")
        if not isinstance(name, str) or not name.strip():
            yield f"secret {number} has no destination identifier to be found under."
        elif name in RESERVED_ENVIRONMENT:
            yield f'secret {number} has the destination "{name}", which the service sets itself.'


def _mount_errors(command: Command) -> Iterator[str]:
    yield from repeated_names("mount", [each.name for each in command.mounts])
    for each in command.mounts:
        if not each.name.strip():
            yield "a mount has no name."
        if not each.path.strip():
            yield f'the path of mount "{each.name}" is blank.'


def _select_errors(each: CommandInput) -> Iterator[str]:
    if each.type not in _SELECTS:
        if each.select_values:
            yield f'input "{each.name}" has select-values but is of type {each.type.value}.'
        return
    if not each.select_values:
        yield f'input "{each.name}" of type {each.type.value} has no select-values.'
    elif not set(_defaults(each)) <= set(each.select_values):
        yield f'the default value of input "{each.name}" is not one of its select-values.'


def _defaults(each: CommandInput) -> list[str]:
    if each.default_value is None:
        return []
    if each.type is CommandInputType.SELECT_MANY:
        listed = list_value(each.default_value)
        return [each.default_value] if listed is None else listed
    return [each.default_value]


def list_value(value: str) -> list[str] | None:
    """Return the texts of a value that is a JSON list, None for any other value.

    So the service carries several values of a ``select-many`` input.
    """
    try:
        parsed = json.loads(value)
    except ValueError:
        return None
    if not isinstance(parsed, list) or any(isinstance(each, dict | list) for each in parsed):
        return None
    return [each if isinstance(each, str) else json.dumps(each) for each in parsed]


def _output_errors(command: Command) -> Iterator[str]:
    yield from name_errors("output", [each.name for each in command.outputs])
    mounts = [each.name for each in command.mounts]
    for each in command.outputs:
        if each.mount not in mounts:
            yield (
                f'output "{each.name}" refers to the unknown mount "{each.mount}". '
                f"Known mounts: {', '.join(mounts) or 'none'}."
            )
