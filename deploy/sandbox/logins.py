"""Log-in, sessions, alias tokens, and what clients ask about the server before anything else.

Not here: the guard itself (``guard``) and accounts (``people``).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, JSONResponse, Response

from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import forbidden, not_found
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.people import AliasToken, User, is_alias
from deploy.sandbox.routing import Routes
from deploy.sandbox.site import XNAT_VERSION, interval_seconds

ROUTES = Routes()

# xnatpy recognises an anonymous log-in by this fragment of XNAT's front page.
_GUEST_MARK = '<span id="user_info">Logged in as: <span style="color:red;">Guest'


@ROUTES.add("GET", "/")
def front_page(call: Call) -> Response:
    """Answer the front page; clients fetch it to find the server's context path."""
    is_closed = call.user.is_guest and call.site.get("requireLogin")
    user_mark = '<span id="user_info">' + ("Log in" if is_closed else "Logged in")
    who = _GUEST_MARK if call.user.is_guest and not is_closed else user_mark
    return HTMLResponse(
        "<!DOCTYPE html><html lang='en'><head><title>winxnat sandbox</title></head><body>"
        f"<h1>winxnat sandbox</h1><p>{who}</span></p><p>An XNAT-compatible server for tests and "
        "demonstrations. It has no pages; use a client.</p></body></html>"
    )


@ROUTES.add("PUT POST", "/data/services/auth", body=True)
def log_in(call: Call) -> Response:
    """Open a session for a user name and password in a form body; answer its id."""
    form = parse_qs(call.body.decode("utf-8", "replace"), keep_blank_values=True)
    name, secret = form.get("username", [""])[0], form.get("password", [""])[0]
    user = call.site.people.verify(name, secret)
    if user is None:
        raise unauthenticated("Authentication failed.")
    alias = name if is_alias(name) and call.site.people.token_is_live(name) else None
    session = call.site.sessions.open(user.id, alias)
    call.request.state.session = session
    return text(session.id)


@ROUTES.add("GET", "/data/auth")
def who_is_logged_in(call: Call) -> Response:
    """Answer who is logged in, as a sentence."""
    if call.user.is_guest:
        raise unauthenticated()
    return text(f"User '{call.user.login}' is logged in")


@ROUTES.add("GET POST", "/data/JSESSION")
def session_id(call: Call) -> Response:
    """Answer the session's id, opening one for a guest; ``CSRF=true`` adds the token."""
    session = call.session
    if session is None:
        session = call.site.sessions.open(call.user.id)
        call.request.state.session = session
    if call.flag("CSRF"):
        return text(f"{session.id}; XNAT_CSRF={session.csrf}")
    return text(session.id)


@ROUTES.add("DELETE", "/data/JSESSION")
def log_out(call: Call) -> Response:
    """End the session."""
    if call.session is not None:
        call.site.sessions.close(call.session.id)
    return text()


@ROUTES.add("GET", "/data/version")
def old_version(_call: Call) -> Response:
    """Answer 404, as every XNAT since 1.7 does; clients tell 1.6 by it."""
    raise not_found("This address existed in XNAT 1.6 only.")


@ROUTES.add("GET", "/xapi/users/username")
def user_name(call: Call) -> Response:
    """Answer the caller's login name."""
    return text(call.user.login)


@ROUTES.add("GET", "/xapi/siteConfig/buildInfo")
def build_info(_call: Call) -> Response:
    """Answer the XNAT version whose contract the sandbox follows."""
    return JSONResponse(
        {
            "version": XNAT_VERSION,
            "applicationName": "winxnat sandbox",
            "buildNumber": "sandbox",
            "buildDate": "",
            "commit": "",
        }
    )


@ROUTES.add("GET", "/xapi/plugins", "/xapi/plugins/{plugin}")
def plugins(call: Call) -> Response:
    """Answer the plug-ins; the sandbox speaks the Container Service's interface."""
    known = {
        "containers": {
            "id": "containers",
            "name": "Container Service (winxnat sandbox)",
            "version": "3.7.3",
        }
    }
    name = call.path.get("plugin")
    if name is None:
        return JSONResponse(known)
    if name not in known:
        raise not_found("There is no such plug-in.")
    return JSONResponse(known[name])


# Alias tokens -------------------------------------------------------------------------------


def _token_json(token: AliasToken) -> dict[str, Any]:
    expires = datetime.fromtimestamp(token.expires_at, UTC)
    return {
        "alias": token.alias,
        "secret": token.secret,
        "xdatUserId": token.login,
        "estimatedExpirationTime": int(expires.timestamp() * 1000),
        "singleUse": False,
        "validIPAddresses": [],
    }


def _token_owner(call: Call) -> User:
    if call.user.is_guest:
        raise forbidden("A guest has no tokens.")
    login = call.path.get("login", call.user.login)
    if login.lower() != call.user.login.lower() and not call.user.is_admin:
        raise forbidden("Only an administrator may use the tokens of another user.")
    owner = call.site.people.by_login(login)
    if owner is None:
        raise not_found("There is no such user.")
    return owner


@ROUTES.add("GET", "/data/services/tokens/issue", "/data/services/tokens/issue/user/{login}")
def issue_token(call: Call) -> Response:
    """Issue an alias token for the caller, or for anybody when the caller is an administrator."""
    lifetime_s = interval_seconds(str(call.site.get("aliasTokenTimeout")))
    parent = None if call.session is None else call.session.alias
    with call.site.store.write():
        if parent is not None and not call.site.people.token_is_live(parent):
            raise unauthenticated("The token of this session is over.")
        token = call.site.people.issue_token(_token_owner(call), lifetime_s, parent)
    return JSONResponse(_token_json(token))


@ROUTES.add("GET", "/data/services/tokens/show", "/data/services/tokens/show/user/{login}")
def show_tokens(call: Call) -> Response:
    """List a user's live tokens, without their secrets."""
    owner = _token_owner(call)
    rows = call.site.store.connection.execute(
        "SELECT alias, expires_at FROM alias_token WHERE user_id = ? AND expires_at >= ?"
        " ORDER BY issued_at",
        (owner.id, time.time()),
    )
    return JSONResponse([_token_json(AliasToken(r[0], "", owner.login, r[1])) for r in rows])


@ROUTES.add("GET", "/data/services/tokens/validate/{alias}/{secret}")
def validate_token(call: Call) -> Response:
    """Answer whose token this is, or null; asking does not use up a token for a single use."""
    user = call.site.people.token_owner(call.path["alias"], call.path["secret"])
    return JSONResponse({"valid": user.login if user else None})


@ROUTES.add("GET", "/data/services/tokens/validate", "/data/services/tokens/validate/{alias}")
def validate_part(_call: Call) -> Response:
    """Answer 401: a token has two parts."""
    raise unauthenticated("A token is validated with its alias and its secret.")


@ROUTES.add(
    "GET",
    "/data/services/tokens/invalidate/{alias}",
    "/data/services/tokens/invalidate/{alias}/{secret}",
)
def invalidate_token(call: Call) -> Response:
    """End a token; knowing its alias is enough, as in XNAT."""
    if call.user.is_guest:
        raise forbidden("A guest has no tokens.")
    if not call.site.people.invalidate_token(call.path["alias"]):
        raise not_found("There is no such token.")
    return JSONResponse({"result": "OK"})
