"""Groups of a project and who is in them. Not here: HTTP, and what groups may do (``rights``)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from deploy.sandbox.people import ALL_DATA_ACCESS, ALL_DATA_ADMIN

STANDARD_GROUPS = {
    "owner": "Owners",
    "member": "Members",
    "collaborator": "Collaborators",
}
"""Groups that every project has: the end of their ID, and their display name."""

SITE_GROUPS = {ALL_DATA_ACCESS: "All Data Access", ALL_DATA_ADMIN: "All Data Administration"}
"""Groups that belong to no project, with their display names."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of users. ``project`` is empty for a site group."""

    id: str
    display_name: str
    project: str
    is_custom: bool = False


def groups_of(connection: sqlite3.Connection, project: str) -> list[Group]:
    """Return a project's groups: the three standard ones, then the custom ones by ID."""
    standard = [Group(f"{project}_{end}", name, project) for end, name in STANDARD_GROUPS.items()]
    rows = connection.execute(
        "SELECT id, display_name FROM project_group WHERE project = ? ORDER BY id", (project,)
    )
    return [*standard, *(Group(group, name, project, is_custom=True) for group, name in rows)]


def find_group(connection: sqlite3.Connection, project: str, name: str) -> Group | None:
    """Return a project's group by its ID, the end of its ID, or its display name."""
    groups = groups_of(connection, project)
    for names in (
        [group.id for group in groups],
        [group.id.removeprefix(f"{project}_") for group in groups],
        [group.display_name for group in groups],
    ):
        if name in names:
            return groups[names.index(name)]
    return None


def find_group_by_id(connection: sqlite3.Connection, group_id: str) -> Group | None:
    """Return the group with this ID, of whatever project or of the site."""
    if group_id in SITE_GROUPS:
        return Group(group_id, SITE_GROUPS[group_id], "")
    row = connection.execute(
        "SELECT id, display_name, project FROM project_group WHERE id = ?", (group_id,)
    ).fetchone()
    if row is not None:
        return Group(row["id"], row["display_name"], row["project"], is_custom=True)
    project, _, end = group_id.rpartition("_")
    row = connection.execute("SELECT id FROM project WHERE id = ?", (project,)).fetchone()
    # IDs of projects are compared without case, those of groups with it.
    if row is None or row["id"] != project or end not in STANDARD_GROUPS:
        return None
    return Group(group_id, STANDARD_GROUPS[end], project)


def add_member(connection: sqlite3.Connection, user_id: int, group: Group) -> None:
    """Put a user into a group, and out of the other groups of the same project."""
    if group.project:
        for other in groups_of(connection, group.project):
            remove_member(connection, user_id, other)
    connection.execute("INSERT OR IGNORE INTO user_group VALUES (?, ?)", (user_id, group.id))


def remove_member(connection: sqlite3.Connection, user_id: int, group: Group) -> bool:
    """Take a user out of a group; return whether the user was in it."""
    cursor = connection.execute(
        "DELETE FROM user_group WHERE user_id = ? AND group_id = ?", (user_id, group.id)
    )
    return cursor.rowcount > 0
