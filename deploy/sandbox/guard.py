"""The guard before every handler: one spelling of each path, and who is asking.

Not here: accounts (``people``), log-in endpoints (``logins``), and rights (``rights``).
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse

from deploy.sandbox.errors import HttpError, bad_request
from deploy.sandbox.people import GUEST, User, is_alias

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from deploy.sandbox.site import Site
    from deploy.sandbox.web_sessions import WebSession

SESSION_COOKIE = "JSESSIONID"
_REALM = 'Basic realm="XNAT Protected Area"'
# Agents that XNAT's default list calls browsers; everything else is an API client.
_BROWSER = re.compile(r"Mozilla/|Opera/|Chrome/|Safari/|MSIE", re.IGNORECASE)
_ENCODED_SEPARATOR = re.compile(rb"%(?:2f|5c|00)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\\]")
_WRITING = frozenset({"POST", "PUT", "DELETE"})
# Answers hold what users wrote: no browser may guess their type, or run them as this site's own.
_DATA_ONLY = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox"),
)
# The log-in service reads credentials from its own body; the front page shows no data.
_OPEN_PATHS = frozenset({"/", "/data/services/auth"})


def unauthenticated(message: str = "Log in to use this server.") -> HttpError:
    """Return a 401 that asks for Basic credentials."""
    return HttpError(401, message, {"WWW-Authenticate": _REALM})


def is_browser(user_agent: str) -> bool:
    """Return whether XNAT would treat this agent as a browser (CSRF token needed)."""
    return _BROWSER.search(user_agent) is not None


def normalise_path(raw_path: bytes) -> str:
    """Return the one spelling of a request path.

    ``/REST`` and ``/data/archive`` are other names of ``/data``. A path whose decoded form could
    mean another path (encoded separators, dot segments, NUL, bytes that are not UTF-8) is refused.

    Raises
    ------
    HttpError
        400.
    """
    if _ENCODED_SEPARATOR.search(raw_path):
        raise bad_request("The path has an encoded slash, backslash or NUL.")
    try:
        path = unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError as error:
        raise bad_request("The path is not UTF-8.") from error
    if _CONTROL.search(path):
        raise bad_request("The path has a backslash or a control character.")
    parts = path.split("/")
    if any(part in {".", ".."} for part in parts):
        raise bad_request("The path has a '.' or '..' part.")
    if parts[1:2] == ["REST"]:
        parts[1] = "data"
    if parts[1:3] == ["data", "archive"] and parts[3:]:
        del parts[2]
    path = "/".join(parts)
    return path.rstrip("/") if len(path) > 1 and "/files/" not in path else path


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the user, the web session, and whether that session is new."""

    user: User
    session: WebSession | None
    opened: bool


class Guard:
    """ASGI middleware: normalises the path, authenticates, checks the CSRF token."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope["path"] = normalise_path(scope["raw_path"])
            headers = _headers(scope["headers"])
            self._check_origin(scope, headers)
            timeout_s = self._site.session_timeout_s
            # A few short reads; to change the thread for them would take longer than they do.
            identity = self._of_session(headers.get("cookie", ""), timeout_s)
            if identity is None:
                identity = await run_in_threadpool(self._identify, scope, headers)
            if identity.session is not None:
                self._check_csrf(scope, headers, identity.session)
        except HttpError as error:
            response = PlainTextResponse(error.message, error.status, dict(error.headers))
            response.raw_headers.extend(_DATA_ONLY)
            await response(scope, receive, send)
            return
        scope.setdefault("state", {})
        scope["state"]["user"] = identity.user
        scope["state"]["session"] = identity.session

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [each for each in _DATA_ONLY if each[0] not in present]
                cookies = _cookies(scope, identity, timeout_s)
                message["headers"] = [*message["headers"], *added, *cookies]
            await send(message)

        await self._app(scope, receive, send_with_cookie)

    def _of_session(self, cookie_header: str, timeout_s: float) -> Identity | None:
        session = self._session(cookie_header, timeout_s)
        user = None if session is None else self._session_user(session)
        return None if user is None else Identity(user, session, opened=False)

    def _identify(self, scope: Scope, headers: dict[str, str]) -> Identity:
        """Return who asks with credentials, or with none."""
        if "authorization" in headers:
            user, alias = self._basic_user(headers["authorization"])
            return Identity(user, self._site.sessions.open(user.id, alias), opened=True)
        if scope["path"] not in _OPEN_PATHS and self._site.get("requireLogin"):
            raise unauthenticated()
        return Identity(GUEST, None, opened=False)

    def _session(self, cookie_header: str, timeout_s: float) -> WebSession | None:
        # Several servers of one machine share their clients' cookies: the last one counts.
        named = [pair.partition("=") for pair in cookie_header.split(";")]
        values = [value for name, _, value in named if name.strip() == SESSION_COOKIE]
        return self._site.sessions.find(values[-1].strip(' "'), timeout_s) if values else None

    def _session_user(self, session: WebSession) -> User | None:
        if session.user_id == GUEST.id:
            return None  # the rules for guests decide afresh on each request
        user = self._site.people.by_id(session.user_id)
        over = session.alias is not None and not self._site.people.token_is_live(session.alias)
        if over or user is None or not user.is_usable:
            self._site.sessions.close(session.id)
            return None
        return user

    def _basic_user(self, header: str) -> tuple[User, str | None]:
        """Return the user, and the alias token if it was one and goes on living."""
        scheme, _, encoded = header.partition(" ")
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        name, colon, secret = decoded.partition(":")
        if scheme.lower() != "basic" or not colon:
            raise unauthenticated("The Authorization header is not Basic credentials.")
        user = self._site.people.verify(name, secret)
        if user is None:
            raise unauthenticated("Authentication failed.")
        alias = name if is_alias(name) and self._site.people.token_is_live(name) else None
        return user, alias

    def _check_origin(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raise 403 when a page of another site writes here, which only browsers tell us of.

        XNAT asks for its token alone. A form of another site could still log a person in as
        somebody else, since nobody has a token before the log-in.
        """
        origin = headers.get("origin")
        if origin is None or scope["method"] not in _WRITING or not self._token_needed:
            return
        own = {headers.get("host", ""), urlsplit(str(self._site.get("siteUrl"))).netloc}
        if not (origin.startswith(("http://", "https://")) and urlsplit(origin).netloc in own):
            raise HttpError(403, "A page of another site may not change anything here.")

    @property
    def _token_needed(self) -> bool:
        return bool(self._site.get("enableCsrfToken"))

    def _check_csrf(self, scope: Scope, headers: dict[str, str], session: WebSession) -> None:
        """Raise 403 when a browser writes without the session's token.

        A browser also sends remembered Basic credentials of its own accord, so that a session
        opened by this very request has no privilege: nobody can know its token yet.
        """
        if scope["method"] not in _WRITING or not is_browser(headers.get("user-agent", "")):
            return
        if not self._token_needed:
            return
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if not secrets.compare_digest(query.get("XNAT_CSRF", "").encode(), session.csrf.encode()):
            raise HttpError(403, "The XNAT_CSRF token is missing or wrong.")


def _cookies(scope: Scope, identity: Identity, timeout_s: float) -> list[tuple[bytes, bytes]]:
    session = scope["state"].get("session")
    if session is None:
        return []
    expiry = f'SESSION_EXPIRATION_TIME="{int(time.time() * 1000)},{int(timeout_s * 1000)}"; Path=/'
    cookies = [(b"set-cookie", expiry.encode())]
    # A handler may have replaced the session (log-in) or the guard may have opened it.
    if identity.opened or session is not identity.session:
        cookie = f"{SESSION_COOKIE}={session.id}; Path=/; HttpOnly; SameSite=Lax"
        cookies.append((b"set-cookie", cookie.encode()))
    return cookies


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        joined = "; " if key == "cookie" else ", "
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}{joined}{text}" if key in headers else text
    return headers
