"""Accounts over HTTP: lists, profiles, creation, change, open sessions.

Not here: roles and groups of an account (``account_grants``), log-in (``logins``), storage and
passwords (``people``).
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from starlette.responses import JSONResponse, Response

from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import (
    HttpError,
    bad_request,
    conflict,
    forbidden,
    not_found,
    not_implemented,
)
from deploy.sandbox.people import ADMINISTRATOR, User, is_alias
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.tables import answer_table
from deploy.sandbox.xapi_access import require_person

ROUTES = Routes()

MAX_TEXT = 255
"""Characters in a text field of an account, as in XNAT's user table."""

_LOGIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Words that stand where a login could in an address, and the guest.
_RESERVED = frozenset(
    {
        "active", "authdetails", "current", "guest", "profile", "profiles", "rolemap", "roles",
        "username",
    }
)  # fmt: skip
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_COLUMNS = {
    "email": "email",
    "firstName": "first_name",
    "lastName": "last_name",
    "enabled": "enabled",
    "verified": "verified",
}
"""Members of an account's JSON that can be changed, and the columns that hold them."""

_FLAGS = frozenset({"enabled", "verified"})


# Who may ------------------------------------------------------------------------------------


def require_admin(call: Call) -> None:
    """Return if the caller administers the site; else raise 401 or 403."""
    require_person(call)
    if not call.user.is_admin:
        raise forbidden("This needs a site administrator.")


def require_user_list(call: Call) -> None:
    """Return if the caller may see who has an account on the site; else raise 401 or 403."""
    require_person(call)
    if call.site.get("restrictUserListAccessToAdmins") and not call.user.is_admin:
        raise forbidden("Only administrators see the list of users on this site.")


def account(call: Call, *, own: bool = False) -> User:
    """Return the account of the path to an administrator, and with ``own`` to the person itself.

    Others get 403 whether the account exists or not.
    """
    require_person(call)
    login = call.path["login"]
    if not call.user.is_admin and not (own and login.lower() == call.user.login.lower()):
        raise forbidden("This needs a site administrator.")
    found = call.site.people.by_login(login)
    if found is None:
        raise not_found("There is no such user.")
    return found


# Lists and profiles -------------------------------------------------------------------------


def profile(user: User) -> dict[str, Any]:
    """Return an account as XNAT's JSON shows it; it holds no credential."""
    return {
        "id": user.id,
        "username": user.login,
        "email": user.email,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "enabled": user.enabled,
        "verified": user.verified,
        "lastModified": user.last_modified,
        "authorization": {"authMethod": "localdb", "authUser": user.login},
        "secured": True,
    }


@ROUTES.add("GET", "/xapi/users")
def list_logins(call: Call) -> Response:
    """List the logins of all accounts."""
    require_user_list(call)
    return JSONResponse([user.login for user in call.site.people.everybody()])


@ROUTES.add("GET", "/data/users")
def list_users(call: Call) -> Response:
    """List all accounts as a table; 403 for a guest."""
    if call.user.is_guest:
        raise forbidden("A guest may not see the list of users.")
    require_user_list(call)
    rows = [
        (user.id, user.login, user.first_name, user.last_name, user.email)
        for user in call.site.people.everybody()
    ]
    return answer_table(call, ("xdat_user_id", "login", "firstname", "lastname", "email"), rows)


@ROUTES.add("GET", "/xapi/users/profiles")
def list_profiles(call: Call) -> Response:
    """List all accounts with their profiles."""
    require_admin(call)
    return JSONResponse([profile(user) for user in call.site.people.everybody()])


@ROUTES.add("GET", "/xapi/users/profile")
def own_profile(call: Call) -> Response:
    """Answer the caller's own account."""
    require_person(call)
    return JSONResponse(profile(call.user))


@ROUTES.add("GET", "/xapi/users/authDetails", "/xapi/users/authDetails/{login}")
def log_in_methods(call: Call) -> Response:
    """Answer how a person logs in: with the site's own password only."""
    require_person(call)
    user = account(call, own=True) if "login" in call.path else call.user
    return JSONResponse([{"username": user.login, "authUser": user.login, "authMethod": "localdb"}])


# Open sessions ------------------------------------------------------------------------------


def _sessions(ids: list[str]) -> dict[str, Any]:
    return {"sessions": ids, "count": len(ids)}


@ROUTES.add("GET", "/xapi/users/active", "/xapi/users/current")
def active_users(call: Call) -> Response:
    """Answer the open sessions of everybody who is logged in."""
    require_admin(call)
    found = call.site.sessions.by_user(call.site.session_timeout_s)
    logins = {user.id: user.login for user in call.site.people.everybody()}
    return JSONResponse(
        {logins[number]: _sessions(ids) for number, ids in found.items() if number in logins}
    )


@ROUTES.add("GET", "/xapi/users/active/{login}")
def active_user(call: Call) -> Response:
    """Answer the open sessions of one person."""
    user = account(call, own=True)
    open_sessions = call.site.sessions.by_user(call.site.session_timeout_s)
    return JSONResponse(open_sessions.get(user.id, []))


@ROUTES.add("DELETE", "/xapi/users/active/{login}")
def end_sessions(call: Call) -> Response:
    """End all sessions of one person; answer the ids of the ended ones."""
    user = account(call, own=True)
    return JSONResponse(call.site.sessions.close_user(user.id))


# Creating and changing ------------------------------------------------------------------------


def _members(call: Call) -> dict[str, Any]:
    body = json_body(call)
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object that describes a user.")
    for name in ("username", "password", "email", "firstName", "lastName"):
        value = body.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > MAX_TEXT):
            raise bad_request(f"'{name}' must be a text of at most {MAX_TEXT} characters.")
        if value is not None and not (value == "" or value.isprintable()):
            raise bad_request(f"'{name}' has control characters.")
    for name in _FLAGS:
        if not isinstance(body.get(name), bool | None):
            raise bad_request(f"'{name}' must be true or false.")
    email = body.get("email")
    if email and not _EMAIL.fullmatch(email):
        raise bad_request("'email' is not an e-mail address.")
    if body.get("password") == "":
        raise bad_request("'password' must not be empty.")
    return {name: value for name, value in body.items() if value is not None}


@ROUTES.add("POST", "/xapi/users", body=True)
def create_user(call: Call) -> Response:
    """Create an account; it can log in when it is made ``enabled`` and ``verified``."""
    require_admin(call)
    members = _members(call)
    missing = [name for name in ("username", "password", "email") if not members.get(name)]
    if missing:
        raise bad_request(f"A new user needs {', '.join(missing)}.")
    login = members["username"]
    if not _LOGIN.fullmatch(login) or is_alias(login):
        raise bad_request(
            "A user name has letters, digits, '.', '_' and '-' only (64 at most), and is no alias "
            "of a token."
        )
    if login.lower() in _RESERVED:
        raise conflict("This user name is reserved.")
    try:
        user = call.site.people.create(
            login,
            members["password"],
            email=members["email"],
            first_name=members.get("firstName", ""),
            last_name=members.get("lastName", ""),
            enabled=members.get("enabled", False),
            verified=members.get("verified", False),
        )
    except sqlite3.IntegrityError as error:
        raise conflict("This user name is taken.") from error
    return JSONResponse(profile(user), 201)


def _change(call: Call, user: User, password: str | None, columns: dict[str, Any]) -> bool:
    """Change an account; one that can no longer log in loses its sessions and tokens at once."""
    usable = columns.get("enabled", True) and columns.get("verified", True)
    with call.site.store.write():
        if not usable:
            require_other_admin(call, user)
        changed = call.site.people.change(user, password, columns)
        if not usable:
            call.site.people.end_tokens(user)  # else they would live again with the account
    if not usable:
        call.site.sessions.close_user(user.id)
    return changed


def require_other_admin(call: Call, user: User) -> None:
    """Raise 409 when the site would have no administrator without this one."""
    rest = [u for u in call.site.people.everybody() if u.is_admin and u.is_usable]
    if [u.id for u in rest] == [user.id]:
        raise conflict(f"The site needs another {ADMINISTRATOR} first.")


@ROUTES.add("PUT", "/xapi/users/{login}", body=True)
def change_user(call: Call) -> Response:
    """Change an account; 304 when nothing is different."""
    user = account(call, own=True)
    members = _members(call)
    if members.get("username", user.login).lower() != user.login.lower():
        raise bad_request("A user name cannot be changed.")
    columns = {column: members[name] for name, column in _COLUMNS.items() if name in members}
    if not call.user.is_admin and any(
        columns.get(flag, getattr(user, flag)) != getattr(user, flag) for flag in _FLAGS
    ):
        raise forbidden("Only an administrator enables, disables or verifies accounts.")
    # People are added to projects by their address, and nothing here verifies a new one.
    if not call.user.is_admin and columns.get("email", user.email) != user.email:
        raise forbidden("Only an administrator changes an e-mail address here.")
    if not _change(call, user, members.get("password"), columns):
        raise HttpError(304, "")
    found = call.site.people.by_login(user.login)
    return JSONResponse(profile(found or user))


@ROUTES.add("GET", "/xapi/users/{login}/enabled", "/xapi/users/{login}/verified")
def get_flag(call: Call) -> Response:
    """Answer whether an account is enabled, or its e-mail address verified."""
    flag = call.request.url.path.rpartition("/")[2]
    user = account(call)
    return JSONResponse(user.enabled if flag == "enabled" else user.verified)


@ROUTES.add("PUT", "/xapi/users/{login}/enabled/{value}", "/xapi/users/{login}/verified/{value}")
def put_flag(call: Call) -> Response:
    """Enable, disable or verify an account."""
    user = account(call)
    flag, word = call.request.url.path.split("/")[-2], call.path["value"].lower()
    if word not in {"true", "false"}:
        raise bad_request(f"'{flag}' must be true or false.")
    _change(call, user, None, {flag: word == "true"})
    return text()


@ROUTES.add("GET", "/xapi/users/profile/{login}", "/xapi/users/{login}")
def get_profile(call: Call) -> Response:
    """Answer one account, to an administrator or the person itself."""
    return JSONResponse(profile(account(call, own=True)))


@ROUTES.add("GET PUT POST DELETE", "/xapi/users/{rest:path}")
def other_parts(call: Call) -> Response:
    """Refuse what XNAT has below its users and the sandbox has not."""
    require_person(call)
    raise not_implemented("this part of the accounts")
