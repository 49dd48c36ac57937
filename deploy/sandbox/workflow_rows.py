"""Workflow entries: what was asked to be done with an object, and how far it is.

Not here: HTTP (``workflows``) and the work itself (``runner``).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from deploy.sandbox.store import now_text

FINAL_WORDS = ("Complete", "Failed", "Killed")
"""A status that begins with one of these never changes again."""


@dataclass(frozen=True, slots=True)
class WorkflowEntry:
    """What is known of a new workflow."""

    object_id: str
    data_type: str
    project: str
    pipeline_name: str
    status: str
    user_id: int
    launch_time: str = ""
    justification: str = ""
    details: str = ""
    step_description: str = ""
    percent_complete: str = ""


def is_final(status: str) -> bool:
    """Return whether a workflow with this status is over."""
    return status.startswith(FINAL_WORDS)


def create(connection: sqlite3.Connection, entry: WorkflowEntry) -> int:
    """Store a workflow; return its number."""
    now = now_text()
    cursor = connection.execute(
        "INSERT INTO workflow (object_id, data_type, project, pipeline_name, status, details,"
        " step_description, percent_complete, justification, launch_time, last_modified, user_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.object_id, entry.data_type, entry.project, entry.pipeline_name, entry.status,
            entry.details, entry.step_description, entry.percent_complete, entry.justification,
            entry.launch_time or now, now, entry.user_id,
        ),
    )  # fmt: skip
    return int(cursor.lastrowid or 0)


def follow(
    connection: sqlite3.Connection, number: int, pipeline: str, *, justification: str, failure: str
) -> None:
    """Store a workflow of another pipeline on the same object, which could not even be begun."""
    connection.execute(
        "INSERT INTO workflow (object_id, data_type, project, pipeline_name, status, details,"
        " step_description, percent_complete, justification, launch_time, last_modified, user_id)"
        " SELECT object_id, data_type, project, ?, 'Failed', ?, '', '', ?, ?, ?, user_id"
        " FROM workflow WHERE id = ?",
        (pipeline, failure, justification, now_text(), now_text(), number),
    )


def update(
    connection: sqlite3.Connection,
    number: int,
    status: str,
    *,
    step: str | None = None,
    details: str | None = None,
) -> None:
    """Move a workflow on; what is not given stays."""
    connection.execute(
        "UPDATE workflow SET status = ?, step_description = COALESCE(?, step_description),"
        " details = COALESCE(?, details), percent_complete = CASE WHEN ? = 'Complete'"
        " THEN '100.0' ELSE percent_complete END, last_modified = ? WHERE id = ?",
        (status, step, details, status, now_text(), number),
    )


def find(connection: sqlite3.Connection, number: int) -> sqlite3.Row | None:
    """Return the row of a workflow, or None."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT workflow.*, user.login FROM workflow JOIN user ON user.id = workflow.user_id"
        " WHERE workflow.id = ?",
        (number,),
    ).fetchone()
    return row
