"""Invitations of people who have no account yet, which XNAT calls project access requests.

There is no e-mail here: an invitation waits, and belongs to the account that an administrator
makes with its address. Changing the address of an account, which everybody may do for the own
one, wins no invitation. Not here: requests of people who see a project and want to join it.
"""

from __future__ import annotations

import re
import sqlite3

from starlette.responses import Response

from deploy.sandbox import memberships, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import bad_request, conflict, forbidden, not_found
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.memberships import Group
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.store import now_text
from deploy.sandbox.tables import answer_table

ROUTES = Routes()

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
        "DELETE FROM invitation WHERE project = ? AND email = ? AND answer IS NULL",
        (group.project, address),
    )
    connection.execute(
        "INSERT INTO invitation (project, group_id, email, created_at) VALUES (?, ?, ?, ?)",
        (group.project, group.id, address, now_text()),
    )


def _answer(call: Call, rows: list[sqlite3.Row]) -> Response:
    columns = ("id", "proj_id", "create_date", "level", "email", "approved")
    return answer_table(
        call,
        columns,
        [
            (
                row["id"], row["project"], row["created_at"],
                row["group_id"].removeprefix(f"{row['project']}_"), row["email"],
                None if row["answer"] is None else row["answer"] == "accepted",
            )
            for row in rows
        ],
    )  # fmt: skip


@ROUTES.add("GET", "/data/projects/{project}/pars")
def list_of_project(call: Call) -> Response:
    """List the invitations into a project, to those who may change it."""
    project = targets.project(call, Action.EDIT)
    rows = call.site.store.connection.execute(
        "SELECT * FROM invitation WHERE project = ? ORDER BY id", (project.id,)
    ).fetchall()
    return _answer(call, rows)


@ROUTES.add("GET", "/data/pars")
def list_own(call: Call) -> Response:
    """List the caller's invitations that wait for an answer."""
    if call.user.is_guest:
        raise unauthenticated()
    rows = call.site.store.connection.execute(
        "SELECT * FROM invitation WHERE user_id = ? AND answer IS NULL ORDER BY id",
        (call.user.id,),
    ).fetchall()
    return _answer(call, rows)


@ROUTES.add("PUT", "/data/pars/{number}")
def answer_invitation(call: Call) -> Response:
    """Accept or decline an invitation of the caller's; it can be answered once."""
    if call.user.is_guest:
        raise unauthenticated()
    number, accept, decline = call.number("number"), call.flag("accept"), call.flag("decline")
    if accept == decline:
        raise bad_request("Answer with accept=true or with decline=true.")
    with call.site.store.write() as connection:
        row = connection.execute(
            "SELECT * FROM invitation WHERE id = ? AND user_id = ?", (number, call.user.id)
        ).fetchone()
        if row is None:
            raise not_found("There is no such invitation for you.")
        if row["answer"] is not None:
            raise conflict("This invitation has been answered.")
        if accept:
            group = memberships.find_group_by_id(connection, row["group_id"])
            if group is None or group.project != row["project"]:
                raise conflict("The group of this invitation is gone; ask to be invited again.")
            memberships.add_member(connection, call.user.id, group)
        connection.execute(
            "UPDATE invitation SET answer = ? WHERE id = ?",
            ("accepted" if accept else "declined", number),
        )
    return text()
