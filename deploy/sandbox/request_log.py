"""The log of requests, for people who debug a client: one readable line each, without secrets.

Columns, separated by one blank: time (UTC), login of the user (``-`` for nobody), method, address,
status, bytes of the answer's body, milliseconds, and for refusals the sentence that was answered.

Shown are the values of query parameters that are known to be options or labels; every other value
is masked, since people put birth dates and names there. Requests' bodies and headers are never
looked at; tokens and e-mail addresses in paths are masked. Lines are made and written in a thread
of their own, many at once when many requests come.
Not here: the log of the server's own faults, and reading this one (``deploy.sandbox_log``).
"""

from __future__ import annotations

import io
import logging
import os
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger("winxnat.sandbox.requests")

FILE_NAME = "requests.log"
MAX_FILE_BYTES = 4 * 1024 * 1024
KEPT_FILES = 4
"""Older logs, ``requests.log.1`` being the youngest of them."""

MASK = "***"
NOBODY = "-"

SHOWN_PARAMETERS = frozenset(
    {
        "accessibility", "action", "all", "allowdatadeletion", "cache", "columns", "compression",
        "concise", "contents", "dest", "direct-archive", "enable", "event-type", "expt_label",
        "extract", "fieldnames", "file_content", "file_format", "format", "id",
        "ignore-unparsable", "image", "import-handler", "inbody", "include-filter-mismatch",
        "includealldataaccess", "index", "label", "limit", "listcontents", "locator", "meta",
        "moveassessors", "newproject", "nonfinalized", "offset", "options", "overwrite",
        "overwrite_files", "prearchive_code", "primary", "project", "project_id", "quarantine",
        "recursive", "removefiles", "rename", "req_format", "resource",
        "restricttoenabledforsite", "save-commands", "session", "since", "sortby", "sortorder",
        "src", "status", "structure", "subject", "subject_id", "subject_label",
        "subscription-id", "summary", "table", "type", "unversioned", "used", "version",
        "wrapper", "xnattype", "xsi:type", "xsitype",
    }
)  # fmt: skip
"""Names of query parameters, in lower case, whose values hold no identity and no secret."""

_NAME = re.compile(r"[A-Za-z][\w:./\[\]@=-]{0,99}", re.ASCII)
_TOKEN_PATH = re.compile(
    r"(/services/++tokens/++(?:(?:issue|show|validate|invalidate)(?=/|$))?+).+",
    re.IGNORECASE | re.DOTALL,
)
_SESSION_IN_PATH = re.compile(r";[^/=]*=[^/]*")
# It begins where a word begins: to try every letter of a long word would take hours.
_ADDRESS = re.compile(r"(?<![^\s/@<>'\"])[^\s/@<>'\"]++@[^\s/@<>'\"]+")
_MAX_REASON_BYTES = 1000
_MAX_REASON_CHARACTERS = 300
_MAX_ADDRESS_CHARACTERS = 2000
_MAX_PATH_CHARACTERS = 4000
_SHORTEST_MASKED = 3
_FIRST_REFUSAL = 400
_CLIENT_LEFT = 499
_FAULT = 500
_PAUSE_S = 0.05


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as far as the log needs them."""

    method: str
    path: str
    query: str
    started_at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.perf_counter)
    login: str = NOBODY
    status: int = _FAULT
    size: int = 0
    seconds: float = 0.0
    reason: bytes = b""


def masked_path(path: str) -> str:
    """Return a decoded path quoted for a log, without tokens and e-mail addresses.

    A very long one is cut before: what is masked lies between two slashes or reaches to the end.
    """
    if len(path) > _MAX_PATH_CHARACTERS:
        path = path[:_MAX_PATH_CHARACTERS].rpartition("/")[0] + "/..."
    shown = _SESSION_IN_PATH.sub(f";{MASK}", path)
    shown = _TOKEN_PATH.sub(rf"\1/{MASK}", shown)
    return quote(_ADDRESS.sub(MASK, shown), safe="/:,*[]=;~")[:_MAX_ADDRESS_CHARACTERS]


def masked_query(query: str) -> tuple[str, list[str]]:
    """Return a query with values masked, and the values that were."""
    shown, hidden = [], []
    for part in query.split("&") if query else ():
        name, equals, value = (unquote_plus(text) for text in part.partition("="))
        if not equals or not _NAME.fullmatch(name):
            hidden.append(name)
            name = MASK
        if name.lower() in SHOWN_PARAMETERS:
            shown.append(f"{name}={quote(_ADDRESS.sub(MASK, value), safe='/:,*')}")
        else:
            shown.append(f"{name}={MASK}")
            hidden.append(value)
    return "&".join(shown)[:_MAX_ADDRESS_CHARACTERS], hidden


def masked_reason(body: bytes, hidden: list[str]) -> str:
    """Return the sentence of a refusal on one line, without the values that were masked."""
    text = " ".join(body.decode("utf-8", "replace").split())
    for value in hidden:
        if len(value) >= _SHORTEST_MASKED:
            text = text.replace(value, MASK)
    return _ADDRESS.sub(MASK, text)[:_MAX_REASON_CHARACTERS]


def line_of(exchange: Exchange) -> str:
    """Return the log's line for an exchange."""
    moment = datetime.fromtimestamp(exchange.started_at, UTC)
    query, hidden = masked_query(exchange.query)
    address = masked_path(exchange.path) + (f"?{query}" if query else "")
    columns = [
        f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
        exchange.login,
        exchange.method,
        address,
        str(exchange.status),
        str(exchange.size),
        f"{exchange.seconds * 1000:.1f}",
        masked_reason(exchange.reason, hidden),
    ]
    return " ".join(columns).rstrip()


class RequestLog:
    """The log's file and the thread that writes it.

    Parameters
    ----------
    folder : Path
        Gets ``requests.log``; a long one is renamed and a new one begun.
    max_bytes : int
        How long it becomes.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._path = folder / FILE_NAME
        self._max_bytes = max_bytes
        self._waiting: deque[Exchange] = deque()
        self._noted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="request log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, exchange: Exchange) -> None:
        """Have a line written soon."""
        self._waiting.append(exchange)
        if not self._noted.is_set():
            self._noted.set()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stopping.set()
        self._noted.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._noted.wait()
            self._noted.clear()
            self._write_waiting()
            # The first line of a burst is written at once, the others together: to wake this
            # thread for each of them would slow down what they tell of.
            self._stopping.wait(_PAUSE_S)
        self._write_waiting()

    def _write_waiting(self) -> None:
        """Write all lines that wait; the log is renamed when the next one would not fit."""
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            lines: list[bytes] = []
            while self._waiting:
                line = (line_of(self._waiting.popleft()) + "\n").encode()
                if size and size + len(line) > self._max_bytes:
                    self._append(lines)
                    self._rename()
                    lines, size = [], 0
                lines.append(line)
                size += len(line)
            self._append(lines)
        except Exception as error:  # noqa: BLE001 - what one line does must not end the log
            _LOG.error("Lines of %s could not be written: %s", FILE_NAME, type(error).__name__)

    def _append(self, lines: list[bytes]) -> None:
        if not lines:
            return
        # Labels and file names are in it: its owner alone may read it.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with io.FileIO(descriptor, "a") as file:
            file.write(b"".join(lines))

    def _rename(self) -> None:
        """Make room: the log becomes the youngest of the older ones, the oldest goes."""
        older = [self._path.with_name(f"{FILE_NAME}.{n}") for n in range(1, KEPT_FILES + 1)]
        for old, young in zip(reversed(older), [*reversed(older[:-1]), self._path], strict=True):
            if young.exists():
                young.replace(old)


class LogRequests:
    """ASGI middleware around all others: notes each exchange once its answer is sent."""

    def __init__(self, app: ASGIApp, log: RequestLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope["method"], scope["path"], scope["query_string"].decode("latin-1"))

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
            elif message["type"] == "http.response.body":
                body = message.get("body", b"")
                exchange.size += len(body)
                if exchange.status >= _FIRST_REFUSAL and len(exchange.reason) < _MAX_REASON_BYTES:
                    exchange.reason += bytes(body[:_MAX_REASON_BYTES])
            await send(message)

        try:
            await self._app(scope, receive, note)
        except ClientDisconnect:
            exchange.status = _CLIENT_LEFT
            raise
        finally:
            exchange.seconds = time.perf_counter() - exchange.started
            exchange.path = scope["path"]  # in its one spelling, if the guard took it
            user = scope.get("state", {}).get("user")
            exchange.login = NOBODY if user is None else user.login
            self._log.add(exchange)
