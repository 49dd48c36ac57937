"""Where a wrapper is enabled: at the site and in projects. New wrappers are enabled nowhere.

Not here: who may change it (``commands_api``) and who may launch (``availability``).
"""

from __future__ import annotations

import sqlite3


def enable_for_site(connection: sqlite3.Connection, wrapper_id: int, *, enabled: bool) -> None:
    """Set whether a wrapper may be used on this site at all."""
    connection.execute("UPDATE wrapper SET enabled = ? WHERE id = ?", (enabled, wrapper_id))


def enable_for_project(
    connection: sqlite3.Connection, wrapper_id: int, project: str, *, enabled: bool
) -> None:
    """Set whether a wrapper may be used in a project; the site must have enabled it too."""
    connection.execute(
        "INSERT INTO wrapper_project VALUES (?, ?, ?)"
        " ON CONFLICT (wrapper_id, project) DO UPDATE SET enabled = excluded.enabled",
        (wrapper_id, project, enabled),
    )


def enabled_projects(connection: sqlite3.Connection, wrapper_id: int) -> list[str]:
    """Return the projects that enabled a wrapper, whatever the site says."""
    rows = connection.execute(
        "SELECT project FROM wrapper_project WHERE wrapper_id = ? AND enabled ORDER BY project",
        (wrapper_id,),
    )
    return [project for (project,) in rows]


def wrappers_enabled_in(connection: sqlite3.Connection, project: str) -> set[int]:
    """Return the numbers of the wrappers that a project enabled."""
    rows = connection.execute(
        "SELECT wrapper_id FROM wrapper_project WHERE project = ? AND enabled", (project,)
    )
    return {number for (number,) in rows}
