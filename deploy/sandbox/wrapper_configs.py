"""Configurations: what a site or a project changes in a wrapper's inputs and outputs.

A project's configuration goes over the site's, which goes over the command's own definition.
Not here: HTTP (``commands_api``).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import Any, TypeVar

from commands.model import Command, CommandInput, DerivedInput, ExternalInput, Wrapper
from deploy.sandbox.command_rows import StoredWrapper

SITE = ""
"""Scope of a site's configuration; any other scope is a project ID."""

_TEXTS = {"default-value": "default_value", "matcher": "matcher"}
_FLAGS = {"user-settable": "user_settable", "advanced": "advanced", "required": "required"}
_AnyInput = TypeVar("_AnyInput", CommandInput, ExternalInput, DerivedInput)


class ConfigError(Exception):
    """A configuration does not fit its wrapper."""


def check(stored: StoredWrapper, document: Any) -> dict[str, Any]:
    """Return a configuration that fits the wrapper.

    Raises
    ------
    ConfigError
        It is no object of ``inputs`` and ``outputs``, or names what the wrapper has not.
    """
    if not isinstance(document, dict):
        raise ConfigError("A configuration is a JSON object with 'inputs' and 'outputs'.")
    known = {
        "inputs": {each.name for each in _inputs(stored.command, stored.wrapper)},
        "outputs": {each.name for each in stored.wrapper.output_handlers},
    }
    checked: dict[str, Any] = {}
    for part, names in known.items():
        entries = document.get(part)
        entries = {} if entries is None else entries
        if not isinstance(entries, dict) or not all(
            isinstance(each, dict) for each in entries.values()
        ):
            raise ConfigError(f"'{part}' of a configuration is an object of objects.")
        for name in entries:
            if name not in names:
                raise ConfigError(f"The wrapper '{stored.wrapper.name}' has no '{name}' in {part}.")
        checked[part] = {name: _entry(part, name, entry) for name, entry in entries.items()}
    return checked


def _entry(part: str, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    texts = _TEXTS if part == "inputs" else {"label": "label"}
    for key, value in entry.items():
        wrong_text = key in texts and not isinstance(value, (str, int, float, bool, type(None)))
        wrong_flag = key in _FLAGS and not isinstance(value, (bool, type(None)))
        if wrong_text or wrong_flag:
            raise ConfigError(f"'{key}' of '{name}' has a value of the wrong type.")
    return {key: value for key, value in entry.items() if value is not None}


def _inputs(
    command: Command, wrapper: Wrapper
) -> list[CommandInput | ExternalInput | DerivedInput]:
    fed = {
        each.provides_value_for_command_input
        for each in (*wrapper.external_inputs, *wrapper.derived_inputs)
    }
    free = [each for each in command.inputs if each.name not in fed]
    return [*wrapper.external_inputs, *wrapper.derived_inputs, *free]


def load(connection: sqlite3.Connection, wrapper_id: int, scope: str) -> dict[str, Any] | None:
    """Return the configuration stored for one scope, or None."""
    row = connection.execute(
        "SELECT document FROM wrapper_config WHERE wrapper_id = ? AND scope = ?",
        (wrapper_id, scope),
    ).fetchone()
    if row is None:
        return None
    document: dict[str, Any] = json.loads(row["document"])
    return document


def save(
    connection: sqlite3.Connection, wrapper_id: int, scope: str, document: dict[str, Any]
) -> None:
    """Store a checked configuration."""
    connection.execute(
        "INSERT INTO wrapper_config VALUES (?, ?, ?)"
        " ON CONFLICT (wrapper_id, scope) DO UPDATE SET document = excluded.document",
        (wrapper_id, scope, json.dumps(document)),
    )


def delete(connection: sqlite3.Connection, wrapper_id: int, scope: str) -> None:
    """Forget the configuration of one scope; the wider one applies again."""
    connection.execute(
        "DELETE FROM wrapper_config WHERE wrapper_id = ? AND scope = ?", (wrapper_id, scope)
    )


def effective(
    connection: sqlite3.Connection, stored: StoredWrapper, project: str | None
) -> tuple[Command, Wrapper]:
    """Return the command and wrapper as configured for the site or a project."""
    command, wrapper = stored.command, stored.wrapper
    for scope in (SITE, project):
        config = None if scope is None else load(connection, stored.id, scope)
        if config is not None:
            command, wrapper = _applied(command, wrapper, config)
    wrappers = (wrapper if each.name == wrapper.name else each for each in command.wrappers)
    return replace(command, wrappers=tuple(wrappers)), wrapper


def _applied(command: Command, wrapper: Wrapper, config: dict[str, Any]) -> tuple[Command, Wrapper]:
    inputs, outputs = config.get("inputs", {}), config.get("outputs", {})
    handlers = tuple(
        replace(each, label=outputs[each.name]["label"])
        if outputs.get(each.name, {}).get("label")
        else each
        for each in wrapper.output_handlers
    )
    return (
        replace(command, inputs=tuple(_changed(e, inputs.get(e.name)) for e in command.inputs)),
        replace(
            wrapper,
            external_inputs=tuple(_changed(e, inputs.get(e.name)) for e in wrapper.external_inputs),
            derived_inputs=tuple(_changed(e, inputs.get(e.name)) for e in wrapper.derived_inputs),
            output_handlers=handlers,
        ),
    )


def _changed(each: _AnyInput, entry: dict[str, Any] | None) -> _AnyInput:
    if not entry:
        return each
    changes: dict[str, Any] = {
        field: as_text(entry[key]) for key, field in _TEXTS.items() if key in entry
    }
    changes |= {
        field: entry[key] for key, field in _FLAGS.items() if key in entry and hasattr(each, field)
    }
    return replace(each, **changes)


def as_text(value: object) -> str:
    """Return a JSON scalar as the service stores it: always text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def described(command: Command, wrapper: Wrapper, fixed: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration document of a wrapper as it applies.

    Parameters
    ----------
    fixed : dict
        The stored configuration of the scope; it says which command inputs are user-settable.
    """
    inputs = {}
    for each in _inputs(command, wrapper):
        settable = fixed.get("inputs", {}).get(each.name, {}).get("user-settable")
        inputs[each.name] = {
            "default-value": each.default_value,
            "matcher": each.matcher,
            "user-settable": getattr(each, "user_settable", True if settable is None else settable),
            "advanced": getattr(each, "advanced", None),
            "type": each.type.value,
            "required": each.required,
            "description": each.description,
        }
    outputs = {
        each.name: {"type": each.type.value, "label": each.label}
        for each in wrapper.output_handlers
    }
    return {"inputs": inputs, "outputs": outputs}


def locked_inputs(
    connection: sqlite3.Connection, stored: StoredWrapper, project: str | None
) -> set[str]:
    """Return the command inputs whose launch values the configuration shuts out."""
    settable: dict[str, bool] = {}
    for scope in (SITE, project):
        config = None if scope is None else load(connection, stored.id, scope)
        for name, entry in (config or {}).get("inputs", {}).items():
            if "user-settable" in entry:
                settable[name] = entry["user-settable"]
    own = {each.name for each in stored.command.inputs}
    return {name for name, allowed in settable.items() if not allowed and name in own}
