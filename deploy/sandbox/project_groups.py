"""Groups of a project over HTTP: the standard ones, and custom ones with levels by data type.

Not here: who is in them (``project_access``), what they give (``rights``).
"""

from __future__ import annotations

import re
import sqlite3

from starlette.responses import Response

from deploy.sandbox import memberships, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.datatypes import EXPERIMENT, SUBJECT
from deploy.sandbox.errors import bad_request, conflict, forbidden, not_found
from deploy.sandbox.memberships import STANDARD_GROUPS, Group
from deploy.sandbox.objects import Project
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.tables import answer_table

ROUTES = Routes()

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STANDARD_NAMES = {*STANDARD_GROUPS, *(name.lower() for name in STANDARD_GROUPS.values())}
_STANDARD_ENDINGS = tuple(f"_{end}" for end in STANDARD_GROUPS)
_LEVELS = {
    "none": "none",
    "read": "read",
    "readonly": "read",
    "edit": "edit",
    "create": "edit",
    "create&edit": "edit",
    "all": "all",
    "delete": "all",
}
"""Levels as clients write them (blanks aside), and as they are stored."""

# The fields that XNAT hangs rights of a type on; a level counts for both.
_FIELD_ENDINGS = ("/sharing/share/project", "/project")


@ROUTES.add("GET", "/data/projects/{project}/groups", "/data/projects/{project}/groups/{group}")
def list_groups(call: Call) -> Response:
    """List a project's groups with the number of their users."""
    project = targets.project(call)
    if call.user.is_guest:
        raise forbidden("A guest may not see the groups of a project.")
    connection = call.site.store.connection
    groups = memberships.groups_of(connection, project.id)
    if "group" in call.path:
        groups = [_group(connection, project, call.path["group"])]
    counts = dict(
        connection.execute("SELECT group_id, count(*) FROM user_group GROUP BY group_id").fetchall()
    )
    rows = [(group.id, group.display_name, project.id, counts.get(group.id, 0)) for group in groups]
    return answer_table(call, ("id", "displayname", "tag", "users"), rows)


def _group(connection: sqlite3.Connection, project: Project, name: str) -> Group:
    found = memberships.find_group(connection, project.id, name)
    if found is None:
        raise not_found(f"Project {project.id} has no such group.")
    return found


@ROUTES.add("PUT", "/data/projects/{project}/groups/{group}")
def put_group(call: Call) -> Response:
    """Make or change a custom group; the query names levels: ``xnat:mrSessionData=read``.

    Levels are none, read, edit (read, create, edit) and all (and delete). Types that are not
    named keep their level in an existing group and have none in a new one.
    """
    with call.site.store.write() as connection:
        project = targets.project(call, Action.DELETE)
        levels = _wanted_levels(call)
        group = memberships.find_group(connection, project.id, call.path["group"])
        if group is None:
            group = _make(connection, project, call.path["group"])
        if not group.is_custom:
            raise forbidden(f"The group {group.display_name} has the same rights everywhere.")
        connection.executemany(
            "INSERT OR REPLACE INTO group_right VALUES (?, ?, ?)",
            [(group.id, xsi_type, level) for xsi_type, level in levels.items()],
        )
    return text()


def _make(connection: sqlite3.Connection, project: Project, name: str) -> Group:
    if not _NAME.fullmatch(name):
        raise bad_request("The name of a group has letters, digits, '_' and '-' only (64 at most).")
    group = Group(f"{project.id}_{name}", name, project.id, is_custom=True)
    # The ID must be read as no other group's: "A_B" + "owner" and "A" + "B_owner" are one text.
    taken = (
        name.lower() in _STANDARD_NAMES
        or group.id.lower().endswith(_STANDARD_ENDINGS)
        or memberships.find_group_by_id(connection, group.id) is not None
    )
    if taken:
        raise conflict(f"A group cannot be called {name} here; choose another name.")
    connection.execute(
        "INSERT INTO project_group VALUES (?, ?, ?)", (group.id, project.id, group.display_name)
    )
    return group


def _wanted_levels(call: Call) -> dict[str, str]:
    levels = {}
    for name, value in call.query.multi_items():
        if ":" not in name:
            continue
        ending = next((e for e in _FIELD_ENDINGS if name.endswith(e)), "")
        xsi_type = call.site.types.find(name.removesuffix(ending))
        if xsi_type is None or call.site.types.root(xsi_type) not in {SUBJECT, EXPERIMENT}:
            raise bad_request(f"'{name[:80]}' is not a type of subjects or experiments.")
        level = _LEVELS.get(value.replace(" ", "").lower())
        if level is None:
            raise bad_request(f"The level of {xsi_type} must be none, read, edit or all.")
        levels[xsi_type] = level
    return levels


@ROUTES.add("DELETE", "/data/projects/{project}/groups/{group}")
def delete_group(call: Call) -> Response:
    """Delete a custom group; its users lose what it gave them."""
    with call.site.store.write() as connection:
        project = targets.project(call, Action.DELETE)
        group = _group(connection, project, call.path["group"])
        if not group.is_custom:
            raise forbidden(f"Every project has the group {group.display_name}.")
        connection.execute("DELETE FROM user_group WHERE group_id = ?", (group.id,))
        connection.execute("DELETE FROM project_group WHERE id = ?", (group.id,))
    return text()
