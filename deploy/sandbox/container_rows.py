"""Container entries: what was run, with what, and its history.

Passwords are masked before anything is stored. Not here: HTTP and who may see what
(``containers_api``), and the running (``runner``).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.store import now_text

MASK = "******"
FINAL_STATUSES = frozenset({"Complete", "Failed", "Killed", "Killed (Out of Memory)"})

_CONTAINER_COLUMNS = (
    ("id", "id"),
    ("command-id", "command_id"),
    ("wrapper-id", "wrapper_id"),
    ("status", "status"),
    ("status-time", "status_time"),
    ("container-id", "engine_id"),
    ("subtype", "subtype"),
    ("project", "project"),
)


@dataclass
class NewContainer:
    """What is known of a container before it starts."""

    command_id: int
    wrapper_id: int | None
    workflow_id: int
    user_id: int
    project: str
    document: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)
    subtype: str = "docker"
    parent_id: int | None = None


def create(connection: sqlite3.Connection, new: NewContainer) -> int:
    """Store a container as Created; return its number."""
    cursor = connection.execute(
        "INSERT INTO container (command_id, wrapper_id, workflow_id, user_id, project, subtype,"
        " parent_id, status, status_time, document, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'Created', ?, ?, ?)",
        (
            new.command_id, new.wrapper_id, new.workflow_id, new.user_id, new.project,
            new.subtype, new.parent_id, now_text(), json.dumps(new.document),
            json.dumps(new.state),
        ),
    )  # fmt: skip
    number = int(cursor.lastrowid or 0)
    record(connection, number, "Created")
    return number


def record(  # noqa: PLR0913 - the columns of a history row, by name
    connection: sqlite3.Connection,
    number: int,
    status: str,
    *,
    entity_type: str = "system",
    entity_id: str = "",
    message: str = "",
    exit_code: int | None = None,
    change: bool = True,
) -> None:
    """Add a row to a container's history.

    Parameters
    ----------
    change : bool
        Whether the container's status becomes this one.
    """
    now = now_text()
    connection.execute(
        "INSERT INTO container_history SELECT ?, COALESCE(MAX(position) + 1, 0), ?, ?, ?, ?, '',"
        " ?, ? FROM container_history WHERE container_id = ?",
        (
            number, status, entity_type, entity_id, now, message,
            "" if exit_code is None else str(exit_code), number,
        ),
    )  # fmt: skip
    if change:
        connection.execute(
            "UPDATE container SET status = ?, status_time = ? WHERE id = ?", (status, now, number)
        )


def save_state(connection: sqlite3.Connection, number: int, **changes: Any) -> dict[str, Any]:
    """Change members of what the runner keeps for a container; return all of it."""
    row = connection.execute("SELECT state FROM container WHERE id = ?", (number,)).fetchone()
    state: dict[str, Any] = {**json.loads(row["state"]), **changes}
    connection.execute("UPDATE container SET state = ? WHERE id = ?", (json.dumps(state), number))
    return state


def save_document(connection: sqlite3.Connection, number: int, **changes: Any) -> None:
    """Change members of a container's document."""
    row = connection.execute("SELECT document FROM container WHERE id = ?", (number,)).fetchone()
    document = {**json.loads(row["document"]), **changes}
    connection.execute(
        "UPDATE container SET document = ? WHERE id = ?", (json.dumps(document), number)
    )


def find(connection: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    """Return the row of a container by its number, or by the engine's id of it.

    In a swarm the engine's id is the service's; the container's own is taken too.
    """
    row: sqlite3.Row | None = None
    if name.isascii() and name.isdigit() and len(name) <= 18:  # noqa: PLR2004 - int64
        row = connection.execute("SELECT * FROM container WHERE id = ?", (int(name),)).fetchone()
    if row is None and name:
        row = connection.execute("SELECT * FROM container WHERE engine_id = ?", (name,)).fetchone()
    if row is None and name:
        row = connection.execute(
            "SELECT * FROM container WHERE json_extract(document, '$.\"container-id\"') = ?",
            (name,),
        ).fetchone()
    return row


def documents(
    connection: sqlite3.Connection, rows: list[sqlite3.Row], *, viewer: int | None
) -> list[dict[str, Any]]:
    """Return containers as the service answers them.

    Parameters
    ----------
    viewer : int or None
        Number of the person who looks: containers of others are stripped to what they are and
        how they stand. None (an administrator) sees everything but passwords.
    """
    history = _histories(connection, [row["id"] for row in rows])
    logins = dict(connection.execute("SELECT id, login FROM user").fetchall())
    found = []
    for row in rows:
        document = {name: row[column] for name, column in _CONTAINER_COLUMNS}
        document["workflow-id"] = "" if row["workflow_id"] is None else str(row["workflow_id"])
        document["user-id"] = logins.get(row["user_id"], "")
        document["parent-database-id"] = row["parent_id"]
        stored = json.loads(row["document"])
        if viewer is None or viewer == row["user_id"]:
            document |= stored
            document["history"] = history.get(row["id"], [])
        else:
            document["docker-image"] = stored.get("docker-image", "")
            document["history"] = []
        found.append(document)
    return found


def _histories(connection: sqlite3.Connection, numbers: list[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    rows = connection.execute(
        "SELECT * FROM container_history WHERE container_id IN"
        " (SELECT value FROM json_each(?)) ORDER BY container_id, position",
        (json.dumps(numbers),),
    )
    for row in rows:
        found.setdefault(row["container_id"], []).append(
            {
                "status": row["status"],
                "entity-type": row["entity_type"],
                "entity-id": row["entity_id"] or None,
                "time-recorded": row["time_recorded"],
                "external-timestamp": row["external_timestamp"] or None,
                "message": row["message"] or None,
                "exitCode": row["exit_code"] or None,
            }
        )
    return found
