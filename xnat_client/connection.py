"""A connection: log-in, cookies, retries, and the translation of answers into errors.

Neither logs nor messages ever hold a password, token, cookie or body. Not here: what is asked for
with it (``transport``).
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse

from xnat_client.address import check_address
from xnat_client.answers import describe_refusal, is_web_page
from xnat_client.credentials import Credentials
from xnat_client.errors import (
    NotLoggedInError,
    RefusedError,
    UnreachableError,
    XnatClientError,
)
from xnat_client.exchange import Answer, Call, SessionEndedError, StreamBody, TransientError
from xnat_client.login import login_request, session_cookies
from xnat_client.transport_settings import TransportSettings

_log = logging.getLogger(__name__)

T = TypeVar("T")
_MOST_REFUSAL_BYTES = 1 << 20
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_BUSY = frozenset({429, 503})
_GATEWAY = frozenset({502, 504})
_EMPTY: Mapping[str, str] = MappingProxyType({})


class Connection:
    """A logged-in connection to one server, safe to use from several threads.

    Parameters
    ----------
    url : str
        Address of the server, with its context path if it has one.
    credentials : Credentials
        Password or alias token; sent only when logging in.
    settings : TransportSettings or None
        None for those of the environment.
    provider : str or None
        Authentication provider of the server (such as an LDAP directory); None for its default.

    Raises
    ------
    UsageError
        The address is not acceptable.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        settings: TransportSettings | None = None,
        *,
        provider: str | None = None,
    ) -> None:
        self.settings = settings or TransportSettings.from_environment()
        self.url = check_address(url, allow_http=self.settings.allow_http)
        self._credentials = credentials
        self._provider = provider
        self._cookies: Mapping[str, str] = _EMPTY
        self._lock = threading.Lock()
        self._agent = f"winxnat/{version('winxnat')}"
        self._pool = self._make_pool()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def host(self) -> str:
        """Return the server's host name, for messages."""
        return urlsplit(self.url).hostname or self.url

    def log_in(self) -> None:
        """Log in, if not yet done, so that wrong credentials show before any work is done."""
        self._ensure_logged_in()

    def close(self) -> None:
        """Log out and free the connections; a server that does not answer ends it by itself."""
        if self._cookies:
            call = Call("DELETE", "/data/JSESSION", "log out", retry_connecting=False)
            try:
                self._once(call, self._read_all)
            except (TransientError, SessionEndedError, XnatClientError) as error:
                _log.info("log-out was not confirmed (%s)", type(error).__name__)
            self._cookies = _EMPTY
        self._pool.clear()

    def _run(self, asked: Call | Callable[[], Call], consume: Callable[[BaseHTTPResponse], T]) -> T:
        renewed = False
        for attempt in itertools.count(1):
            call = asked() if callable(asked) else asked
            cookies = self._ensure_logged_in()
            try:
                return self._once(call, consume)
            except SessionEndedError as ended:
                if renewed:
                    raise ended.error from None
                renewed = True
                self._forget(cookies)
            except TransientError as transient:
                if call.on_trouble is not None:
                    call.on_trouble()
                self._pause(attempt, transient)
        raise AssertionError  # itertools.count never ends

    def _pause(self, attempt: int, transient: TransientError) -> None:
        settings = self.settings
        wanted = transient.retry_after_s
        if attempt >= settings.max_attempts or (wanted or 0) > settings.longest_retry_after_s:
            raise transient.error from transient.__cause__
        doubled: float = min(settings.first_pause_s * 2 ** (attempt - 1), settings.longest_pause_s)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, protects nothing
        pause_s = doubled * jitter if wanted is None else wanted
        _log.info("try %d came to nothing, next one in %.1f s", attempt, pause_s)
        time.sleep(pause_s)

    def _once(self, call: Call, consume: Callable[[BaseHTTPResponse], T]) -> T:
        started = time.monotonic()
        try:
            response = self._send(call)
            try:
                _log.debug(
                    "%s %s -> %d after %.3f s",
                    call.method, call.path, response.status, time.monotonic() - started,
                )  # fmt: skip
                if response.status not in call.accept:
                    self._refuse(call, response)
                result = consume(response)
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except HTTPError as error:
            raise self._connection_trouble(call, error) from error
        return result

    def _send(self, call: Call) -> BaseHTTPResponse:
        headers = {"User-Agent": self._agent, "Accept-Encoding": "identity", **call.headers}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={text}" for name, text in self._cookies.items())
        body: Any = call.body
        if isinstance(body, StreamBody):
            headers["Content-Type"] = body.content_type
            headers["Content-Length"] = str(body.size_bytes)
            body = body.open_chunks()
        query = urlencode(call.query, doseq=True, quote_via=quote)
        return self._pool.request(
            call.method,
            f"{self.url}{call.path}{'?' if query else ''}{query}",
            body=body,
            headers=headers,
            preload_content=False,
            decode_content=False,
            redirect=False,
            retries=False,
        )

    def _refuse(self, call: Call, response: BaseHTTPResponse) -> None:
        body = response.read(_MOST_REFUSAL_BYTES)
        location = response.headers.get("Location", "")
        hidden = (self._credentials.password, *self._cookies.values())
        error = describe_refusal(
            call.doing, self.host, response.status, body, location=location, secrets=hidden
        )
        status = response.status
        if status == 401:  # noqa: PLR2004  # the HTTP number says more than a name would
            raise SessionEndedError(error)
        if status in _BUSY or (status in _GATEWAY and call.method in _IDEMPOTENT):
            raise TransientError(error, _retry_after_s(response))
        raise error

    def _connection_trouble(self, call: Call, error: HTTPError) -> Exception:
        if isinstance(error, SSLError):
            return UnreachableError(
                f"Cannot {call.doing}: the certificate of {self.host} is not trusted or the secure "
                "connection broke. If your institution has its own certificates, set "
                "REQUESTS_CA_BUNDLE to their file."
            )
        # NameResolutionError is a NewConnectionError: the server has seen nothing.
        never_connected = isinstance(error, (NewConnectionError, ConnectTimeoutError))
        if never_connected:
            what = f"{self.host} cannot be reached. Check the address and the network"
        else:
            what = f"the connection to {self.host} broke or stayed silent ({type(error).__name__})"
            if call.method not in _IDEMPOTENT:
                what += ". It may have taken effect: look at the server before trying again"
        trouble = UnreachableError(f"Cannot {call.doing}: {what}.")
        may_retry = call.retry_connecting if never_connected else call.method in _IDEMPOTENT
        return TransientError(trouble) if may_retry else trouble

    def _read_all(self, response: BaseHTTPResponse) -> Answer:
        body = response.read()
        if is_web_page(body):
            # XNAT shows its log-in page, with status 200, to whom it takes for a browser.
            raise SessionEndedError(
                RefusedError(
                    f"{self.host} answered with a web page instead of data. Check that the address "
                    "is that of the XNAT server itself and that no sign-in page stands before it.",
                    status=response.status,
                )
            )
        return Answer(response.status, body)

    def _ensure_logged_in(self) -> Mapping[str, str]:
        with self._lock:
            if not self._cookies:
                self._cookies = self._new_cookies()
            return self._cookies

    def _forget(self, cookies: Mapping[str, str]) -> None:
        with self._lock:
            if self._cookies is cookies:
                self._cookies = _EMPTY

    def _new_cookies(self) -> Mapping[str, str]:
        method, path, headers, body = login_request(self._credentials, self._provider)
        call = Call(
            method,
            path,
            f"log in to {self.host}",
            headers=headers,
            body=body,
            retry_connecting=False,
        )
        found: list[str] = []

        def consume(response: BaseHTTPResponse) -> Answer:
            found.extend(response.headers.getlist("Set-Cookie"))
            return self._read_all(response)

        for attempt in itertools.count(1):
            try:
                answer = self._once(call, consume)
                return session_cookies(self.host, answer.text, found)
            except SessionEndedError as ended:
                if isinstance(ended.error, RefusedError):
                    raise ended.error from None
                raise NotLoggedInError(
                    f"{self.host} does not accept the user name and password (taken from: "
                    f"{self._credentials.source}). Correct them there; accounts may also be "
                    "disabled or still wait for approval.",
                    status=401,
                ) from None
            except TransientError as transient:
                self._pause(attempt, transient)
        raise AssertionError  # itertools.count never ends

    def _make_pool(self) -> urllib3.PoolManager:
        settings = self.settings
        options: dict[str, Any] = {
            "timeout": urllib3.Timeout(
                connect=settings.connect_timeout_s, read=settings.read_timeout_s
            ),
            "maxsize": settings.connections,
        }
        if settings.ca_bundle is not None:
            kind = "ca_cert_dir" if settings.ca_bundle.is_dir() else "ca_certs"
            options[kind] = str(settings.ca_bundle)
        proxy = urllib.request.getproxies().get(urlsplit(self.url).scheme)
        if proxy and not urllib.request.proxy_bypass(urlsplit(self.url).netloc):
            return urllib3.ProxyManager(proxy, **options)
        return urllib3.PoolManager(**options)


def _retry_after_s(response: BaseHTTPResponse) -> float | None:
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    with suppress(urllib3.exceptions.InvalidHeader):
        return float(urllib3.Retry().parse_retry_after(value))
    return None
