"""Command documents of the XNAT Container Service: JSON to ``Command`` and back.

One table per class says which key holds which field; reading, writing and the search for
unknown keys all follow it. Not here: the rules a command must keep (``validation``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from typing import Any

from commands.errors import CommandDefinitionError
from commands.json_reading import (
    Place,
    Read,
    anything,
    flag,
    json_object,
    list_of,
    map_of,
    number,
    one_of,
    text,
    whole_number,
)
from commands.model import (
    Command,
    CommandInput,
    CommandInputType,
    CommandOutput,
    CommandType,
    Delimiter,
    DerivedInput,
    ExternalInput,
    HandlerType,
    Mount,
    OutputHandler,
    Secret,
    Visibility,
    Wrapper,
    WrapperInputType,
)
from commands.validation import tagged_image, validate

__all__ = [
    "IMAGE_LABEL",
    "command_from_json",
    "command_from_text",
    "command_to_json",
    "label_text",
    "unknown_keys",
    "validate",
]

IMAGE_LABEL = "org.nrg.commands"
"""Image label from which the Container Service reads an image's commands."""


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of a JSON object.

    ``aliases`` are other spellings that are read; ``creation`` is the spelling of documents
    that create a command, where it differs from that of stored ones.
    """

    name: str
    read: Read
    aliases: tuple[str, ...] = ()
    creation: str | None = None
    field: str = ""
    items: type | None = None

    @property
    def attribute(self) -> str:
        return self.field or self.name.replace("-", "_")

    def spellings(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


def _reader(kind: type) -> Read:
    def read(value: Any, place: Place) -> Any:
        if not isinstance(value, Mapping):
            place.mismatch("an object", value)
            return None
        return _read_object(kind, value, place)

    return read


def _objects(name: str, kind: type, *, field: str = "") -> _Key:
    return _Key(name, list_of(_reader(kind)), field=field, items=kind)


_MOUNT = (_Key("name", text), _Key("path", text), _Key("writable", flag))

_INPUT = (
    _Key("name", text),
    _Key("label", text),
    _Key("description", text),
    _Key("type", one_of(CommandInputType)),
    _Key("required", flag),
    _Key("matcher", text),
    _Key("default-value", text),
    _Key("replacement-key", text),
    _Key("command-line-flag", text),
    _Key("command-line-separator", text),
    _Key("true-value", text),
    _Key("false-value", text),
    _Key("sensitive", flag),
    _Key("select-values", list_of(text)),
    _Key("multiple-delimiter", one_of(Delimiter)),
)

_OUTPUT = (
    _Key("name", text),
    _Key("description", text),
    _Key("required", flag),
    _Key("mount", text),
    _Key("path", text),
    _Key("glob", text),
)

_EXTERNAL = (
    _Key("name", text),
    _Key("label", text),
    _Key("description", text),
    _Key("type", one_of(WrapperInputType)),
    _Key("required", flag),
    _Key("matcher", text),
    _Key("default-value", text),
    _Key("user-settable", flag),
    _Key("load-children", flag),
    _Key("replacement-key", text),
    _Key("sensitive", flag),
    _Key("advanced", flag),
    _Key("provides-value-for-command-input", text),
    _Key("provides-files-for-command-mount", text),
    _Key("via-setup-command", text),
)

_DERIVED = (
    *_EXTERNAL,
    _Key("derived-from-wrapper-input", text),
    _Key("derived-from-xnat-object-property", text),
    _Key("multiple", flag),
    _Key("parser", text),
)

_HANDLER = (
    _Key("name", text),
    _Key("accepts-command-output", text),
    _Key("as-a-child-of", text, aliases=("as-a-child-of-wrapper-input",)),
    _Key("type", one_of(HandlerType)),
    _Key("xsi-type", text),
    _Key("label", text),
    _Key("format", text),
    _Key("description", text),
    _Key("content", text),
    _Key("tags", list_of(text)),
    _Key("via-wrapup-command", text),
)

_WRAPPER = (
    _Key("name", text),
    _Key("label", text),
    _Key("description", text),
    _Key("contexts", list_of(text)),
    _objects("external-inputs", ExternalInput),
    _objects("derived-inputs", DerivedInput),
    _objects("output-handlers", OutputHandler),
)

_SECRET = (_Key("type", text), _Key("source", json_object), _Key("destination", json_object))

_COMMAND = (
    _Key("name", text),
    _Key("label", text),
    _Key("description", text),
    _Key("version", text),
    _Key("schema-version", text),
    _Key("info-url", text),
    _Key("image", text),
    _Key("type", one_of(CommandType)),
    _Key("index", text),
    _Key("hash", text),
    _Key("container-name", text),
    _Key("working-directory", text),
    _Key("command-line", text),
    _Key("override-entrypoint", flag),
    _Key("command-metadata", anything),
    _objects("mounts", Mount),
    _Key("environment-variables", map_of(text)),
    _Key("ports", map_of(text)),
    _objects("inputs", CommandInput),
    _objects("outputs", CommandOutput),
    _objects("xnat", Wrapper, field="wrappers"),
    _Key("reserve-memory", whole_number),
    _Key("limit-memory", whole_number),
    _Key("limit-cpu", number),
    _Key("runtime", text),
    _Key("ipc-mode", text, aliases=("ipcMode",), creation="ipcMode"),
    _Key("auto-remove", flag),
    _Key("shm-size", whole_number),
    _Key("network", text),
    _Key("container-labels", map_of(text)),
    _Key("gpus", text),
    _Key("generic-resources", map_of(text)),
    _Key("ulimits", map_of(text)),
    _objects("secrets", Secret),
    _Key("visibility", one_of(Visibility)),
)

_KEYS: Mapping[type, tuple[_Key, ...]] = {
    Mount: _MOUNT,
    CommandInput: _INPUT,
    CommandOutput: _OUTPUT,
    ExternalInput: _EXTERNAL,
    DerivedInput: _DERIVED,
    OutputHandler: _HANDLER,
    Wrapper: _WRAPPER,
    Secret: _SECRET,
    Command: _COMMAND,
}

_NUMBERED = (Command, Wrapper)
"""The service adds an ``id`` to these when it returns them; it is no part of a definition."""


def command_from_json(document: Mapping[str, Any], *, image: str | None = None) -> Command:
    """Return the command that a parsed document defines.

    Parameters
    ----------
    document : Mapping
        A creation or a stored document; keys that no command has are ignored, as the service
        does (see `unknown_keys`), and null means absent.
    image : str, optional
        Replaces the document's image, as ``?image=`` and image labels do.

    Raises
    ------
    CommandDefinitionError
        With a sentence for every value of a wrong JSON type and every unknown word; if all
        types are right, also for every broken rule (see `validate`).

    Notes
    -----
    An image without a tag gets ``latest``, as on creation in the service.
    """
    place = Place()
    content = json_object(document, place)
    if content is None:
        raise CommandDefinitionError(place.wrong_types)
    given = {**content, "image": image} if image else content
    command: Command = _read_object(Command, given, place)
    found = [*place.wrong_types, *place.unknown_words]
    if not place.wrong_types:
        found += validate(command)
    if found:
        raise CommandDefinitionError(found)
    return command


def command_from_text(document: str, *, image: str | None = None) -> Command:
    """Return the command that a JSON text defines; see `command_from_json`."""
    try:
        parsed = json.loads(document)
    except json.JSONDecodeError as error:
        raise CommandDefinitionError(
            [f"The text is no JSON: {error.msg} in line {error.lineno}, column {error.colno}."]
        ) from error
    return command_from_json(parsed, image=image)


def _read_object(kind: type, value: Mapping[str, Any], place: Place) -> Any:
    parts: dict[str, Any] = {}
    for key in _KEYS[kind]:
        spelling = next((each for each in key.spellings() if value.get(each) is not None), None)
        if spelling is not None:
            found = key.read(value[spelling], place.key(spelling))
            if found is not None:
                parts[key.attribute] = found
    for each in fields(kind):
        if each.default is MISSING and each.default_factory is MISSING:
            parts.setdefault(each.name, {} if each.name in {"source", "destination"} else "")
    if kind is Command:
        parts["image"] = tagged_image(parts["image"])
    if kind is Secret:
        parts["type"] = parts["type"] or None
    return kind(**parts)


def command_to_json(
    command: Command, *, creation: bool = False, complete: bool = False
) -> dict[str, Any]:
    """Return the document of a command, ready for ``json.dumps``, keys in canonical order.

    Parameters
    ----------
    creation : bool
        Spell the keys as documents that create a command do (``ipcMode``) instead of as
        stored ones (``ipc-mode``).
    complete : bool
        Write every key, with null where nothing is set, as the service answers. Otherwise
        only what differs from the default.
    """
    return _write_object(command, creation=creation, complete=complete)


def _write_object(value: Any, *, creation: bool, complete: bool) -> dict[str, Any]:
    written: dict[str, Any] = {}
    defaults = {each.name: each for each in fields(value)}
    for key in _KEYS[type(value)]:
        content = getattr(value, key.attribute)
        default = defaults[key.attribute]
        unset = content == default.default or (
            default.default_factory is not MISSING and content == default.default_factory()
        )
        if complete or not (unset or content is None):
            name = key.creation if creation and key.creation else key.name
            written[name] = _write(content, creation=creation, complete=complete)
    return written


def _write(content: Any, *, creation: bool, complete: bool) -> Any:
    if type(content) in _KEYS:
        return _write_object(content, creation=creation, complete=complete)
    if isinstance(content, StrEnum):
        return content.value
    if isinstance(content, Mapping):
        return {
            key: _write(each, creation=creation, complete=complete) for key, each in content.items()
        }
    if isinstance(content, tuple | list):
        return [_write(each, creation=creation, complete=complete) for each in content]
    return content


def label_text(command: Command) -> str:
    """Return the text of the image label `IMAGE_LABEL`: a JSON list with this command."""
    return json.dumps([command_to_json(command, creation=True)], separators=(",", ":"))


def unknown_keys(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the JSON paths of all keys that no command has; reading ignores them."""
    return tuple(_unknown(Command, document, Place()))


def _unknown(kind: type, value: Mapping[str, Any], place: Place) -> Iterator[str]:
    known = {spelling: key for key in _KEYS[kind] for spelling in key.spellings()}
    for name, content in value.items():
        key = known.get(name)
        if key is None:
            if not (name == "id" and kind in _NUMBERED):
                yield place.key(name).path
        elif key.items is not None and isinstance(content, list | tuple):
            for index, each in enumerate(content):
                if isinstance(each, Mapping):
                    yield from _unknown(key.items, each, place.key(name).item(index))
