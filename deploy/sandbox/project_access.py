"""Who sees a project and who is in it: accessibility, users of a project.

Not here: custom groups (``project_groups``), invitations (``invitations``), sharing of single
objects (``sharing``), the rules of what groups and accessibility give (``rights``).
"""

from __future__ import annotations

import json
import sqlite3

from starlette.responses import Response

from deploy.sandbox import memberships, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import (
    HttpError,
    bad_request,
    conflict,
    forbidden,
    not_found,
)
from deploy.sandbox.invitations import invite
from deploy.sandbox.memberships import Group
from deploy.sandbox.objects import Project
from deploy.sandbox.people import GUEST
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.store import now_text
from deploy.sandbox.tables import answer_table

ROUTES = Routes()

_MAX_NUMBER_LENGTH = 18  # digits of a user number that surely fit the database


# Accessibility ------------------------------------------------------------------------------


@ROUTES.add("GET", "/data/projects/{project}/accessibility")
def get_accessibility(call: Call) -> Response:
    """Answer ``private``, ``protected`` or ``public`` to whoever sees the project record."""
    return text(targets.project(call).accessibility)


@ROUTES.add("PUT", "/data/projects/{project}/accessibility/{level}")
def put_accessibility(call: Call) -> Response:
    """Set the accessibility; any word but ``protected`` and ``public`` means ``private``.

    XNAT answers 200 to a word that it does not know, so a client must read the level back.
    """
    word = call.path["level"]
    level = word if word in {"protected", "public"} else "private"
    with call.site.store.write() as connection:
        project = targets.project(call, Action.DELETE)
        if level != "private" and not call.site.get("securityAllowNonPrivateProjects"):
            raise forbidden("This site allows private projects only.")
        connection.execute(
            "UPDATE project SET accessibility = ?, last_modified = ? WHERE id = ?",
            (level, now_text(), project.id),
        )
    return text()


# Users of a project -------------------------------------------------------------------------


def _require_list_right(call: Call, project: Project) -> None:
    if call.user.is_guest:
        raise forbidden("A guest may not see the users of a project.")
    if not call.site.get("restrictUserListAccessToAdmins") or call.user.is_admin:
        return
    if Action.EDIT not in call.site.rights.record_actions(call.user, project.id):
        raise forbidden("Only administrators and owners see the users of a project on this site.")


@ROUTES.add(
    "GET", "/data/projects/{project}/users", "/data/projects/{project}/users/{with_disabled}"
)
def list_project_users(call: Call) -> Response:
    """List who is in a project's groups; ``users/true`` includes disabled accounts."""
    project = targets.project(call)
    with_disabled = call.path.get("with_disabled", "false").lower()
    if with_disabled not in {"true", "false"}:
        raise not_found("There is nothing at this address; name a group and a user.")
    _require_list_right(call, project)
    return _answer_users(call, project, with_disabled=with_disabled == "true")


def _answer_users(call: Call, project: Project, *, with_disabled: bool = False) -> Response:
    connection = call.site.store.connection
    groups = memberships.groups_of(connection, project.id)
    if call.flag("includeAllDataAccess"):
        groups += [Group(name, shown, "") for name, shown in memberships.SITE_GROUPS.items()]
    names = {group.id: group.display_name for group in groups}
    rows = connection.execute(
        "SELECT user_group.group_id, user.* FROM user_group JOIN user ON user.id = user_id"
        " WHERE group_id IN (SELECT value FROM json_each(?)) AND (user.enabled OR ?)"
        " ORDER BY group_id, login",
        (json.dumps(list(names)), with_disabled),
    )
    return answer_table(
        call,
        ("GROUP_ID", "displayname", "login", "firstname", "lastname", "email"),
        [
            (
                row["group_id"], names[row["group_id"]], row["login"], row["first_name"],
                row["last_name"], row["email"],
            )
            for row in rows
        ],
    )  # fmt: skip


def _user_number(connection: sqlite3.Connection, name: str) -> int | None:
    """Return the number of the account with this login, number or e-mail address, or None."""
    row = connection.execute("SELECT id FROM user WHERE login = ?", (name,)).fetchone()
    if row is None and name.isascii() and name.isdigit() and len(name) <= _MAX_NUMBER_LENGTH:
        row = connection.execute("SELECT id FROM user WHERE id = ?", (int(name),)).fetchone()
    if row is not None:
        return int(row["id"])
    found = connection.execute(
        "SELECT id FROM user WHERE email = ? COLLATE NOCASE AND email <> ''", (name,)
    ).fetchall()
    if len(found) > 1:
        raise conflict("Several users have this e-mail address; name one by the login.")
    return int(found[0]["id"]) if found else None


def _group(call: Call, connection: sqlite3.Connection, project: Project) -> Group | None:
    return memberships.find_group(connection, project.id, call.path["group"])


def _users(call: Call) -> list[str]:
    """Return the users of the path, which may be a list with commas."""
    return list(dict.fromkeys(name.strip() for name in call.path["user"].split(",")))


@ROUTES.add("GET", "/data/projects/{project}/users/{group}/{user}")
def list_users_at_member(call: Call) -> Response:
    """List who is in the project's groups, as XNAT does here whichever group and user is named."""
    project = targets.project(call)
    _require_list_right(call, project)
    return _answer_users(call, project, with_disabled=True)


@ROUTES.add("PUT", "/data/projects/{project}/users/{group}/{user}")
def add_project_user(call: Call) -> Response:
    """Put users into a group of the project, and out of its other groups: all of them or none.

    An e-mail address that no account has is invited.
    """
    with call.site.store.write() as connection:
        project = targets.project(call, Action.DELETE)
        group = _group(call, connection, project)
        if group is None:
            raise not_found(f"Project {project.id} has no such group.")
        for name in _users(call):
            if name.lower() == GUEST.login:
                raise HttpError(412, "The guest cannot be in a group.")
            number = _user_number(connection, name)
            if number is None:
                invite(call, connection, group, name)
            else:
                memberships.add_member(connection, number, group)
    return _answer_users(call, project)


@ROUTES.add("DELETE", "/data/projects/{project}/users/{group}/{user}")
def remove_project_user(call: Call) -> Response:
    """Take users out of a group of the project: all of them or none."""
    with call.site.store.write() as connection:
        project = targets.project(call, Action.DELETE)
        group = _group(call, connection, project)
        if group is None:
            raise bad_request(f"Project {project.id} has no such group.")
        for name in _users(call):
            number = _user_number(connection, name)
            if number is None:
                raise not_found("There is no such user.")
            memberships.remove_member(connection, number, group)
    return _answer_users(call, project)


@ROUTES.add("GET PUT POST DELETE", "/data/projects/{project}/users/{group}/{user}/{rest:path}")
def below_user(call: Call) -> Response:
    """Refuse addresses below a user of a project."""
    targets.project(call)
    raise not_found("There is nothing at this address.")
