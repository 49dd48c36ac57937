"""A loopback proxy in front of a server that does harm on request: a real network, made bad.

It speaks HTTP/1.1 with one thread for each connection and forwards bodies as they come.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


class Fault(StrEnum):
    """What happens to a request."""

    BUSY = "answer 503 without passing it on"
    RESET = "reset the connection after half of the body"
    LOST_ANSWER = "pass it on, then reset the connection instead of answering"
    EXPIRED = "answer 401 without passing it on"
    WRONG_DIGEST = "change the checksums in the answer"
    FULL = "answer 507 without passing it on"


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    number: int
    method: str
    path: str
    body_bytes: int


class FaultProxy:
    """The proxy; ``url`` is its address.

    Parameters
    ----------
    target : str
        Address of the server.
    choose : callable
        Is given each request (``body_bytes`` is its Content-Length) and returns a fault or None.
    delay_s : float
        Waited before every request is passed on, in seconds.
    """

    def __init__(
        self, target: str, choose: Callable[[Seen], Fault | None], *, delay_s: float = 0.0
    ) -> None:
        self.target = target
        self.choose = choose
        self.delay_s = delay_s
        self.seen: list[Seen] = []
        self.harmed: list[tuple[Seen, Fault]] = []
        self.received_bytes = 0
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_class(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the address to give to a client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler_class(  # noqa: C901  # one method for each thing that can happen
    proxy: FaultProxy,
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError, TimeoutError):
                super().handle()

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            with proxy.lock:
                seen = Seen(len(proxy.seen), self.command, self.path, length)
                proxy.seen.append(seen)
                fault = proxy.choose(seen)
                if fault is not None:
                    proxy.harmed.append((seen, fault))
            time.sleep(proxy.delay_s)
            if fault in (Fault.BUSY, Fault.EXPIRED, Fault.FULL):
                self.drain(length)
                status = {Fault.BUSY: 503, Fault.EXPIRED: 401, Fault.FULL: 507}[fault]
                self.answer(status, b"the proxy says so", {})
            elif fault is Fault.RESET:
                self.drain(length // 2)
                self.reset()
            else:
                self.forward(length, fault)

        def drain(self, length: int) -> None:
            while length > 0:
                data = self.rfile.read(min(CHUNK_BYTES, length))
                if not data:
                    break
                length -= len(data)
                with proxy.lock:
                    proxy.received_bytes += len(data)

        def chunks(self, length: int):  # noqa: ANN202  # an iterator of bytes
            while length > 0:
                data = self.rfile.read(min(CHUNK_BYTES, length))
                if not data:
                    return
                length -= len(data)
                with proxy.lock:
                    proxy.received_bytes += len(data)
                yield data

        def forward(self, length: int, fault: Fault | None) -> None:
            parts = urlsplit(proxy.target)
            upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
            try:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
                if length:
                    headers["Content-Length"] = str(length)
                body = self.chunks(length) if length else None
                upstream.request(self.command, self.path, body=body, headers=headers)
                response = upstream.getresponse()
                content = response.read()
                kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _HOP]
            except (OSError, http.client.HTTPException):
                self.reset()  # the server is away
                return
            finally:
                upstream.close()
            if fault is Fault.LOST_ANSWER:
                self.reset()
                return
            if fault is Fault.WRONG_DIGEST:
                content = _with_wrong_digests(content)
            self.answer(response.status, content, dict(kept))

        def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("server", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def reset(self) -> None:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815  # names of the library

    return Handler


def _with_wrong_digests(content: bytes) -> bytes:
    try:
        document = json.loads(content)
        rows = document["ResultSet"]["Result"]
    except (ValueError, KeyError, TypeError):
        return content
    for row in rows:
        if row.get("digest"):
            row["digest"] = "0" * 32
    return json.dumps(document).encode()
