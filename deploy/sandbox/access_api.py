"""What a person can reach, as ``/xapi/access`` tells it. Not here: the rules (``rights``)."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from deploy.sandbox import memberships
from deploy.sandbox.accounts import account, require_admin
from deploy.sandbox.call import Call
from deploy.sandbox.errors import not_implemented
from deploy.sandbox.people import ADMINISTRATOR, ALL_DATA_ACCESS, ALL_DATA_ADMIN, User
from deploy.sandbox.routing import Routes
from deploy.sandbox.xapi_access import require_person

ROUTES = Routes()


@ROUTES.add("GET", "/xapi/access/projects")
def own_projects(call: Call) -> Response:
    """List the projects that the caller sees, with the caller's role in each."""
    return JSONResponse(_projects(call, call.user))


@ROUTES.add("GET", "/xapi/access/{login}/projects")
def projects_of(call: Call) -> Response:
    """List the projects that a person sees, for an administrator or the person itself."""
    return JSONResponse(_projects(call, account(call, own=True)))


def _projects(call: Call, user: User) -> list[dict[str, Any]]:
    connection = call.site.store.connection
    visible = call.site.rights.visible_projects(user)
    custom = {
        row["project"]: row["display_name"]
        for row in connection.execute("SELECT id, project, display_name FROM project_group")
        if row["id"] in user.groups
    }
    rows = connection.execute(
        "SELECT id, name, secondary_id, fields ->> 'description' AS description FROM project"
        " ORDER BY id"
    ).fetchall()
    found = []
    for row in rows:
        if row["id"] not in visible:
            continue
        facts = {
            "ID": row["id"],
            "name": row["name"],
            "secondary_ID": row["secondary_id"],
            "description": row["description"] or "",
        }
        role = _role(user, row["id"]) or custom.get(row["id"]) or _site_role(user)
        # Who sees a project without a group has no role in it.
        found.append({**facts, "role": role} if role else facts)
    return found


def _role(user: User, project: str) -> str | None:
    standard = memberships.STANDARD_GROUPS.items()
    return next((name for end, name in standard if f"{project}_{end}" in user.groups), None)


def _site_role(user: User) -> str | None:
    if user.is_admin:
        return ADMINISTRATOR
    return next((g for g in (ALL_DATA_ADMIN, ALL_DATA_ACCESS) if g in user.groups), None)


@ROUTES.add("GET", "/xapi/access/displays/{display}", "/xapi/access/displays")
def displays(call: Call) -> Response:
    """Refuse the lists behind XNAT's own pages."""
    require_person(call)
    raise not_implemented("the lists of data types behind XNAT's own pages")


@ROUTES.add(
    "GET PUT POST DELETE", "/xapi/access/permissions/{rest:path}", "/xapi/access/cache/{rest:path}"
)
def caches(call: Call) -> Response:
    """Refuse XNAT's cache of rights: rights apply at once here, there is no cache."""
    require_admin(call)
    raise not_implemented("a cache of rights (they apply at once here)")
