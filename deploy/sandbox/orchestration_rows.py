"""Orchestrations: wrappers that run one after another, and which projects use them.

A project uses one at most. Launching its first wrapper there starts it; each further step is a
launch of its own, stored in the transaction that ends the one before, so that no sudden end loses
it. A wrapper that is disabled or deleted disables its orchestrations (a trigger of ``store.sql``).
Not here: HTTP (``orchestration_api``).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Orchestration:
    """Wrappers in their order; ``id`` is 0 until it is stored."""

    id: int
    name: str
    enabled: bool
    wrapper_ids: tuple[int, ...]

    @property
    def document(self) -> dict[str, object]:
        """Return it as the Container Service's JSON has it."""
        return {
            "id": self.id,
            "name": self.name,
            "enabled": self.enabled,
            "wrapperIds": list(self.wrapper_ids),
        }


@dataclass(frozen=True, slots=True)
class Step:
    """A place in an orchestration, counted from 0."""

    orchestration: int
    position: int


def _of_row(row: sqlite3.Row) -> Orchestration:
    wrappers = tuple(json.loads(row["wrapper_ids"]))
    return Orchestration(row["id"], row["name"], bool(row["enabled"]), wrappers)


def all_orchestrations(connection: sqlite3.Connection) -> list[Orchestration]:
    """Return every orchestration, also disabled ones, by number."""
    rows = connection.execute("SELECT * FROM orchestration ORDER BY id").fetchall()
    return [_of_row(row) for row in rows]


def find(connection: sqlite3.Connection, number: int) -> Orchestration | None:
    """Return one orchestration, or None."""
    row = connection.execute("SELECT * FROM orchestration WHERE id = ?", (number,)).fetchone()
    return None if row is None else _of_row(row)


def put(connection: sqlite3.Connection, wanted: Orchestration) -> Orchestration:
    """Store a new orchestration, or change one; it is enabled then, as in XNAT."""
    wrappers = json.dumps(wanted.wrapper_ids)
    if wanted.id:
        connection.execute(
            "UPDATE orchestration SET name = ?, enabled = 1, wrapper_ids = ? WHERE id = ?",
            (wanted.name, wrappers, wanted.id),
        )
        return Orchestration(wanted.id, wanted.name, True, wanted.wrapper_ids)  # noqa: FBT003 - columns of a row
    cursor = connection.execute(
        "INSERT INTO orchestration (name, enabled, wrapper_ids) VALUES (?, 1, ?)",
        (wanted.name, wrappers),
    )
    return Orchestration(int(cursor.lastrowid or 0), wanted.name, True, wanted.wrapper_ids)  # noqa: FBT003 - columns of a row


def set_enabled(connection: sqlite3.Connection, number: int, *, enabled: bool) -> None:
    """Enable an orchestration, or disable it and take it out of its projects."""
    # A trigger does the latter, also for those that lose a wrapper.
    connection.execute("UPDATE orchestration SET enabled = ? WHERE id = ?", (enabled, number))


def delete(connection: sqlite3.Connection, number: int) -> None:
    """Delete an orchestration, also from its projects."""
    connection.execute("DELETE FROM orchestration WHERE id = ?", (number,))


def choose(connection: sqlite3.Connection, project: str, number: int | None) -> None:
    """Have a project use an orchestration, or none."""
    connection.execute("DELETE FROM orchestration_project WHERE project = ?", (project,))
    if number is not None:
        connection.execute("INSERT INTO orchestration_project VALUES (?, ?)", (project, number))


def of_project(connection: sqlite3.Connection, project: str) -> Orchestration | None:
    """Return the orchestration that a project uses, or None."""
    row = connection.execute(
        "SELECT orchestration.* FROM orchestration JOIN orchestration_project"
        " ON orchestration_id = id WHERE project = ?",
        (project,),
    ).fetchone()
    return None if row is None else _of_row(row)


def first_step(connection: sqlite3.Connection, project: str | None, wrapper_id: int) -> Step | None:
    """Return the first step of the project's orchestration, where this wrapper is it."""
    found = None if project is None else of_project(connection, project)
    if found is None or not found.enabled or found.wrapper_ids[0] != wrapper_id:
        return None
    return Step(found.id, 0)


def next_wrapper(
    connection: sqlite3.Connection, project: str | None, step: Step, wrapper_id: int
) -> int | None:
    """Return the wrapper after a step; None after the last one, and where there is no going on.

    There is none when the orchestration was disabled or changed since the step began, or when
    the project uses it no longer.
    """
    found = None if project is None else of_project(connection, project)
    if found is None or found.id != step.orchestration or not found.enabled:
        return None
    here, after = found.wrapper_ids[step.position :][:1], step.position + 1
    if here != (wrapper_id,) or after >= len(found.wrapper_ids):
        return None
    return found.wrapper_ids[after]
