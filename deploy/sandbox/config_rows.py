"""Settings of the config service as rows: versions of a text, under a tool and a path.

Not here: HTTP and rights (``config_api``).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.store import now_text

COLUMNS = (
    "tool", "path", "project", "user", "create_date", "reason", "contents", "unversioned",
    "version", "status",
)  # fmt: skip

_NEWEST = (
    "SELECT * FROM config AS c WHERE project IS ? AND version = (SELECT max(version) FROM config"
    " WHERE project IS c.project AND tool = c.tool AND path = c.path)"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One version of a setting; ``project`` is empty for the site's own."""

    tool: str
    path: str
    project: str
    user: str
    create_date: str
    reason: str
    contents: str
    unversioned: bool
    version: int
    status: str

    @property
    def row(self) -> tuple[Any, ...]:
        """Return the cells in the order of ``COLUMNS``."""
        return tuple(getattr(self, name) for name in COLUMNS)


def _of_row(row: sqlite3.Row) -> Setting:
    return Setting(
        row["tool"], row["path"], row["project"] or "", row["user"], row["create_date"],
        row["reason"], row["contents"], bool(row["unversioned"]), row["version"], row["status"],
    )  # fmt: skip


def newest(
    connection: sqlite3.Connection, project: str | None, tool: str | None = None
) -> list[Setting]:
    """Return the newest version of each setting of the site or a project, of one tool or all."""
    rows = connection.execute(
        f"{_NEWEST} AND (? IS NULL OR tool = ?) ORDER BY tool, path", (project, tool, tool)
    )
    return [_of_row(row) for row in rows]


def history(
    connection: sqlite3.Connection, project: str | None, tool: str, path: str
) -> list[Setting]:
    """Return all versions of a setting, the newest last."""
    rows = connection.execute(
        "SELECT * FROM config WHERE project IS ? AND tool = ? AND path = ? ORDER BY version",
        (project, tool, path),
    )
    return [_of_row(row) for row in rows]


def put_version(connection: sqlite3.Connection, setting: Setting, *, replace: bool) -> None:
    """Store a version; ``replace`` takes the place of the one with the same number."""
    project = setting.project or None
    if replace:
        connection.execute(
            "DELETE FROM config WHERE project IS ? AND tool = ? AND path = ? AND version = ?",
            (project, setting.tool, setting.path, setting.version),
        )
    connection.execute(
        "INSERT INTO config (project, tool, path, version, contents, status, unversioned, reason,"
        " user, create_date) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project, setting.tool, setting.path, setting.version, setting.contents,
            setting.status, setting.unversioned, setting.reason, setting.user, now_text(),
        ),
    )  # fmt: skip
