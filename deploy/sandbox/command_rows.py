"""Stored commands and wrappers: rows of the database as ``Command`` objects and back.

Not here: HTTP (``commands_api``), enabling (``enablement``) and configurations
(``wrapper_configs``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from commands.model import Command, CommandType, Visibility, Wrapper
from commands.service_json import command_from_json, command_to_json


class DuplicateCommandError(Exception):
    """A command of the same name, version and image is stored already."""


@dataclass(frozen=True)
class StoredCommand:
    """A command with the numbers it has in the database; ``wrapper_ids`` by wrapper name."""

    id: int
    command: Command
    wrapper_ids: Mapping[str, int]

    @property
    def document(self) -> dict[str, Any]:
        """Return the complete document as the service answers it, with its numbers."""
        document = command_to_json(self.command, complete=True)
        for wrapper in document["xnat"]:
            wrapper["id"] = self.wrapper_ids[wrapper["name"]]
        return {"id": self.id, **document}


@dataclass(frozen=True)
class StoredWrapper:
    """A wrapper with its number and its command."""

    id: int
    wrapper: Wrapper
    of: StoredCommand
    enabled: bool

    @property
    def command(self) -> Command:
        """Return the command that the wrapper offers."""
        return self.of.command


def _command_of(connection: sqlite3.Connection, row: sqlite3.Row) -> StoredCommand:
    numbers = connection.execute(
        "SELECT name, id FROM wrapper WHERE command_id = ?", (row["id"],)
    ).fetchall()
    command = command_from_json(json.loads(row["document"]))
    return StoredCommand(row["id"], command, {number["name"]: number["id"] for number in numbers})


def all_commands(connection: sqlite3.Connection) -> list[StoredCommand]:
    """Return every command in order of its number."""
    rows = connection.execute("SELECT * FROM command ORDER BY id").fetchall()
    return [_command_of(connection, row) for row in rows]


def find_command(connection: sqlite3.Connection, command_id: int) -> StoredCommand | None:
    """Return the command of this number, or None."""
    row = connection.execute("SELECT * FROM command WHERE id = ?", (command_id,)).fetchone()
    return None if row is None else _command_of(connection, row)


def find_wrapper(connection: sqlite3.Connection, wrapper_id: int) -> StoredWrapper | None:
    """Return the wrapper of this number, or None."""
    row = connection.execute("SELECT * FROM wrapper WHERE id = ?", (wrapper_id,)).fetchone()
    if row is None:
        return None
    stored = find_command(connection, row["command_id"])
    if stored is None:  # pragma: no cover - a foreign key
        return None
    wrapper = next(each for each in stored.command.wrappers if each.name == row["name"])
    return StoredWrapper(row["id"], wrapper, stored, bool(row["enabled"]))


def all_wrappers(connection: sqlite3.Connection) -> list[StoredWrapper]:
    """Return every wrapper, in order of commands and of wrappers within them."""
    enabled = dict(connection.execute("SELECT id, enabled FROM wrapper").fetchall())
    return [
        StoredWrapper(number, wrapper, stored, bool(enabled[number]))
        for stored in all_commands(connection)
        for wrapper in stored.command.wrappers
        for number in (stored.wrapper_ids[wrapper.name],)
    ]


def find_auxiliary(
    connection: sqlite3.Connection, reference: str, kind: CommandType
) -> StoredCommand | None:
    """Return the set-up or wrap-up command of a reference ``image:tag[:command-name]``."""
    for stored in all_commands(connection):
        command = stored.command
        if command.type is kind and reference in (
            command.image,
            f"{command.image}:{command.name}",
        ):
            return stored
    return None


def add_command(connection: sqlite3.Connection, command: Command) -> StoredCommand:
    """Store a new command; its wrappers are disabled everywhere. Call inside a write.

    Raises
    ------
    DuplicateCommandError
        Name, version and image are taken.
    """
    try:
        cursor = connection.execute(
            "INSERT INTO command (name, version, image, visibility, document)"
            " VALUES (?, ?, ?, ?, ?)",
            _columns(command),
        )
    except sqlite3.IntegrityError as error:
        raise _duplicate(command) from error
    number = int(cursor.lastrowid or 0)
    connection.executemany(
        "INSERT INTO wrapper (command_id, name) VALUES (?, ?)",
        [(number, wrapper.name) for wrapper in command.wrappers],
    )
    stored = find_command(connection, number)
    if stored is None:  # pragma: no cover - the row was just written
        raise LookupError(number)
    return stored


def replace_command(connection: sqlite3.Connection, number: int, command: Command) -> None:
    """Replace a command; wrappers of the same name keep their numbers and their enabling.

    Raises
    ------
    DuplicateCommandError
        Name, version and image are those of another command.
    """
    try:
        connection.execute(
            "UPDATE command SET name = ?, version = ?, image = ?, visibility = ?, document = ?"
            " WHERE id = ?",
            (*_columns(command), number),
        )
    except sqlite3.IntegrityError as error:
        raise _duplicate(command) from error
    names = [wrapper.name for wrapper in command.wrappers]
    connection.executemany(
        "INSERT INTO wrapper (command_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(number, name) for name in names],
    )
    marks = ", ".join("?" * len(names))
    connection.execute(
        f"DELETE FROM wrapper WHERE command_id = ? AND name NOT IN ({marks})",  # noqa: S608 - marks only
        (number, *names),
    )


def set_visibility(
    connection: sqlite3.Connection, stored: StoredCommand, visibility: Visibility
) -> None:
    """Change who sees a command."""
    document = command_to_json(stored.command)
    document["visibility"] = visibility.value
    replace_command(connection, stored.id, command_from_json(document))


def _columns(command: Command) -> tuple[str, str, str, str, str]:
    return (
        command.name,
        command.version or "",
        command.image,
        command.visibility.value,
        json.dumps(command_to_json(command)),
    )


def _duplicate(command: Command) -> DuplicateCommandError:
    return DuplicateCommandError(
        f"There is a command '{command.name}', version '{command.version or ''}', with image "
        f"{command.image} already. Change the version, or update the stored command."
    )
