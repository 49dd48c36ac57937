"""The log-in request and what its answer holds.

Sources: XNAT REST API, ``/data/services/auth`` and ``/data/JSESSION``. Not here: sending
(``transport``), finding the password (``credentials``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode

from xnat_client.credentials import Credentials
from xnat_client.errors import RefusedError

_ALIAS_TOKEN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SESSION_ID = re.compile(r"[A-Za-z0-9._!~-]{8,256}")
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")


def login_request(
    credentials: Credentials, provider: str | None
) -> tuple[str, str, Mapping[str, str], bytes | None]:
    """Return method, path, headers and body of the log-in.

    The log-in form does not take alias tokens; they go as Basic credentials, once, for a
    session of their own.
    """
    if _ALIAS_TOKEN.fullmatch(credentials.user):
        pair = f"{credentials.user}:{credentials.password}".encode()
        basic = base64.b64encode(pair).decode("ascii")
        return "GET", "/data/JSESSION", {"Authorization": f"Basic {basic}"}, None
    form = {"username": credentials.user, "password": credentials.password}
    if provider:
        form["provider"] = provider
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return "PUT", "/data/services/auth", headers, urlencode(form).encode("ascii")


def session_cookies(host: str, body: str, set_cookie: Iterable[str]) -> Mapping[str, str]:
    """Return the cookies to send from now on; a load balancer's belong to them.

    Raises
    ------
    RefusedError
        The answer holds no session id.
    """
    if not _SESSION_ID.fullmatch(body):
        raise RefusedError(
            f"{host} answered the log-in with something that is not an XNAT session. Check that "
            "the address is that of an XNAT server, with its context path if it has one."
        )
    cookies: dict[str, str] = {}
    for header in set_cookie:
        try:
            parsed = SimpleCookie(header)
        except CookieError:
            continue  # not a cookie this client could send back
        cookies.update({name: morsel.value for name, morsel in parsed.items()})
    kept = {name: text for name, text in cookies.items() if _COOKIE_VALUE.fullmatch(text)}
    return {**kept, "JSESSIONID": body}
