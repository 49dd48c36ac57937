"""Roles, groups and projects of an account. Not here: the account itself (``accounts``)."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from deploy.sandbox import memberships, objects
from deploy.sandbox.accounts import account, require_admin, require_other_admin
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import HttpError, forbidden, not_found
from deploy.sandbox.memberships import Group
from deploy.sandbox.people import ADMINISTRATOR, CONTAINER_MANAGER, User
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.xapi_access import require_person

ROUTES = Routes()

ROLES = (
    ADMINISTRATOR,
    CONTAINER_MANAGER,
    "Custom Form Manager",
    "DataManager",
    "Privileged",
    "non_expiring",
)
"""Site roles that can be given; only the first two change what the sandbox allows."""


# Roles --------------------------------------------------------------------------------------


@ROUTES.add("GET", "/xapi/users/rolemap")
def role_map(call: Call) -> Response:
    """Answer who has which role."""
    require_admin(call)
    everybody = call.site.people.everybody()
    return JSONResponse({role: _with_role(everybody, role) for role in ROLES})


@ROUTES.add("GET", "/xapi/users/roles/{role}")
def users_with_role(call: Call) -> Response:
    """List the logins of everybody with a role."""
    require_admin(call)
    return JSONResponse(_with_role(call.site.people.everybody(), _role(call)))


def _with_role(users: list[User], role: str) -> list[str]:
    return [user.login for user in users if role in user.roles]


def _role(call: Call) -> str:
    role = call.path["role"]
    if role not in ROLES:
        raise not_found(f"There is no such role; the roles are: {', '.join(ROLES)}.")
    return role


@ROUTES.add("GET", "/xapi/users/{login}/roles")
def roles(call: Call) -> Response:
    """List the roles of an account."""
    return JSONResponse(sorted(account(call).roles))


@ROUTES.add("PUT", "/xapi/users/{login}/roles/{role}")
def give_role(call: Call) -> Response:
    """Give a role."""
    user, role = account(call), _role(call)
    with call.site.store.write() as connection:
        connection.execute("INSERT OR IGNORE INTO user_role VALUES (?, ?)", (user.id, role))
    return text()


@ROUTES.add("DELETE", "/xapi/users/{login}/roles/{role}")
def take_role(call: Call) -> Response:
    """Take a role away; the site's last administrator keeps it (409)."""
    user, role = account(call), _role(call)
    with call.site.store.write() as connection:
        if role == ADMINISTRATOR:
            require_other_admin(call, user)
        connection.execute("DELETE FROM user_role WHERE user_id = ? AND role = ?", (user.id, role))
    return text()


# Groups -------------------------------------------------------------------------------------


@ROUTES.add("GET", "/xapi/users/{login}/groups")
def groups(call: Call) -> Response:
    """List the IDs of an account's groups."""
    return JSONResponse(sorted(account(call, own=True).groups))


def _group(call: Call) -> tuple[User, Group]:
    """Return the account and the group of the path, if the caller may administer the group."""
    require_person(call)
    connection = call.site.store.connection
    group = memberships.find_group_by_id(connection, call.path["group"])
    user = call.site.people.by_login(call.path["login"])
    if not call.user.is_admin:
        owns = group is not None and Action.DELETE in call.site.rights.record_actions(
            call.user, group.project
        )
        # A site group has no project, and so no owner.
        if group is None or not group.project or not owns:
            raise forbidden("This needs a site administrator or an owner of the group's project.")
    if group is None:
        raise not_found("There is no such group.")
    if call.path["login"].lower() == "guest":
        raise HttpError(412, "The guest cannot be in a group.")
    if user is None:
        raise not_found("There is no such user.")
    return user, group


@ROUTES.add("PUT", "/xapi/users/{login}/groups/{group}")
def join_group(call: Call) -> Response:
    """Put a person into a group, and out of the other groups of its project."""
    with call.site.store.write() as connection:
        user, group = _group(call)
        memberships.add_member(connection, user.id, group)
    return text()


@ROUTES.add("DELETE", "/xapi/users/{login}/groups/{group}")
def leave_group(call: Call) -> Response:
    """Take a person out of a group."""
    with call.site.store.write() as connection:
        user, group = _group(call)
        memberships.remove_member(connection, user.id, group)
    return text()


@ROUTES.add("GET", "/xapi/users/{login}/projects")
def projects(call: Call) -> Response:
    """List the IDs of the projects that a person has joined."""
    user = account(call, own=True)
    connection = call.site.store.connection
    joined = (memberships.find_group_by_id(connection, group) for group in user.groups)
    found = {group.project for group in joined if group is not None and group.project}
    return JSONResponse(sorted(p for p in found if objects.find_project(connection, p)))
