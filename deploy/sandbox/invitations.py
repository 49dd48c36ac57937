"""Invitations into projects, and requests to join them: XNAT's project access requests.

There is no e-mail here. An invitation of somebody without account waits, and belongs to the account
that an administrator makes with its address. Changing the address of an account, which everybody
may do for the own one, wins no invitation. A request to join waits for an owner of the project.
Not here: groups and their members (``project_access``).
"""

from __future__ import annotations

import re
import sqlite3
from urllib.parse import parse_qsl

from starlette.responses import Response

from deploy.sandbox import memberships, objects, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import bad_request, conflict, forbidden, not_found
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.memberships import Group
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.store import now_text
from deploy.sandbox.tables import answer_table

ROUTES = Routes()

_MAX_FIELDS = 20
_ADDRESS = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


def invite(call: Call, connection: sqlite3.Connection, group: Group, address: str) -> None:
    """Invite an address into a group; a later invitation into the project replaces it.

    Raises
    ------
    HttpError
        404 when this is no address, 403 when the site wants no invitations.
    """
    if not _ADDRESS.fullmatch(address) or not address.isprintable():
        raise not_found("There is no such user; somebody new is invited by an e-mail address.")
    if not call.site.get("par"):
        raise forbidden("This site allows no invitations; ask for an account first.")
    connection.execute(
        "DELETE FROM invitation WHERE project = ? AND email = ? AND answer IS NULL AND NOT asked",
        (group.project, address),
    )
    connection.execute(
        "INSERT INTO invitation (project, group_id, email, created_at) VALUES (?, ?, ?, ?)",
        (group.project, group.id, address, now_text()),
    )


def _answer(call: Call, rows: list[sqlite3.Row]) -> Response:
    columns = ("id", "proj_id", "create_date", "level", "email", "approved", "login", "kind")
    return answer_table(
        call,
        columns,
        [
            (
                row["id"], row["project"], row["created_at"],
                row["group_id"].removeprefix(f"{row['project']}_"), row["email"],
                None if row["answer"] is None else row["answer"] == "accepted",
                row["login"], "request" if row["asked"] else "invitation",
            )
            for row in rows
        ],
    )  # fmt: skip


_SELECT = "SELECT invitation.*, user.login FROM invitation LEFT JOIN user ON user.id = user_id"


@ROUTES.add("GET", "/data/projects/{project}/pars")
def list_of_project(call: Call) -> Response:
    """List the invitations into a project and the requests, to those who may change it."""
    project = targets.project(call, Action.EDIT)
    rows = call.site.store.connection.execute(
        f"{_SELECT} WHERE project = ? ORDER BY invitation.id", (project.id,)
    ).fetchall()
    return _answer(call, rows)


@ROUTES.add("GET", "/data/pars")
def list_own(call: Call) -> Response:
    """List the caller's invitations that wait for an answer."""
    if call.user.is_guest:
        raise unauthenticated()
    rows = call.site.store.connection.execute(
        f"{_SELECT} WHERE user_id = ? AND answer IS NULL AND NOT asked ORDER BY invitation.id",
        (call.user.id,),
    ).fetchall()
    return _answer(call, rows)


def _find(call: Call, connection: sqlite3.Connection) -> sqlite3.Row:
    """Return the invitation or request of the path.

    An invitation is its receiver's. A request is its sender's and the project's owners'.
    """
    if call.user.is_guest:
        raise unauthenticated()
    row: sqlite3.Row | None = connection.execute(
        f"{_SELECT} WHERE invitation.id = ?", (call.number("number"),)
    ).fetchone()
    if row is not None and (row["user_id"] == call.user.id or _owns_request(call, row)):
        return row
    raise not_found("There is no such invitation for you.")


def _owns_request(call: Call, row: sqlite3.Row) -> bool:
    may = call.site.rights.record_actions(call.user, row["project"])
    return bool(row["asked"]) and Action.EDIT in may


@ROUTES.add("GET", "/data/pars/{number}")
def get_one(call: Call) -> Response:
    """Answer one invitation or request, also when it has been answered."""
    return _answer(call, [_find(call, call.site.store.connection)])


@ROUTES.add("PUT", "/data/pars/{number}")
def answer_one(call: Call) -> Response:
    """Accept or decline: an invitation is answered by its receiver, a request by an owner, once."""
    accept, decline = call.flag("accept"), call.flag("decline")
    with call.site.store.write() as connection:
        row = _find(call, connection)
        if accept == decline:
            raise bad_request("Answer with accept=true or with decline=true.")
        if row["asked"] and not _owns_request(call, row):
            raise forbidden("An owner of the project answers your request.")
        if row["answer"] is not None:
            raise conflict("This has been answered.")
        if accept:
            group = memberships.find_group_by_id(connection, row["group_id"])
            if group is None or group.project != row["project"]:
                raise conflict("The group of this invitation is gone; ask to be invited again.")
            if row["asked"] and _has_as_much(connection, row["user_id"], group):
                raise conflict("The person has this access already; decline the request.")
            memberships.add_member(connection, row["user_id"], group)
        connection.execute(
            "UPDATE invitation SET answer = ? WHERE id = ?",
            ("accepted" if accept else "declined", row["id"]),
        )
    return text()


# Requests to join ---------------------------------------------------------------------------


@ROUTES.add("POST", "/app/action/RequestAccess", body=True)
def request_access(call: Call) -> Response:
    """Ask the owners of a project that is visible to let the caller in.

    XNAT has a form for it on the project's page, and no REST address. The answer is the number of
    the request. A later request replaces one that waits; comments are not kept.
    """
    if call.user.is_guest:
        raise unauthenticated()
    if not call.site.get("par"):
        raise forbidden("This site allows no requests for access; ask an owner of the project.")
    form = {**dict(call.query), **_form(call)}
    with call.site.store.write() as connection:
        project = objects.find_project(connection, form.get("project", ""))
        if project is None:
            raise not_found("There is no such project that you can see.")
        call.site.rights.require_record(call.user, Action.READ, project.id)
        level = form.get("access_level", "")
        if level not in memberships.STANDARD_GROUPS:
            raise bad_request("'access_level' must be owner, member or collaborator.")
        group = Group(f"{project.id}_{level}", memberships.STANDARD_GROUPS[level], project.id)
        if _has_as_much(connection, call.user.id, group):
            raise conflict("You have this access already.")
        connection.execute(
            "DELETE FROM invitation WHERE project = ? AND user_id = ? AND answer IS NULL AND asked",
            (project.id, call.user.id),
        )
        made = connection.execute(
            "INSERT INTO invitation (project, group_id, email, user_id, asked, created_at)"
            " VALUES (?, ?, ?, ?, 1, ?)",
            (project.id, group.id, call.user.email, call.user.id, now_text()),
        )
    return text(str(made.lastrowid))


def _form(call: Call) -> dict[str, str]:
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        return dict(parse_qsl(call.body.decode(), max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        raise bad_request("The body is not a form of text.") from error


def _has_as_much(connection: sqlite3.Connection, user_id: int, wanted: Group) -> bool:
    """Return whether a person is in the wanted standard group, or in a stronger one."""
    ends = list(memberships.STANDARD_GROUPS)  # from the strongest on
    strong = ends[: ends.index(wanted.id.removeprefix(f"{wanted.project}_")) + 1]
    rows = connection.execute("SELECT group_id FROM user_group WHERE user_id = ?", (user_id,))
    return bool({f"{wanted.project}_{end}" for end in strong} & {group for (group,) in rows})
