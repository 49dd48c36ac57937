"""Request bodies of any size, received into files in constant memory.

Not here: what becomes of them (``files``, ``ingest``).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from deploy.sandbox.call import Call
from deploy.sandbox.errors import HttpError, bad_request
from deploy.sandbox.file_changes import COPY_BYTES, IncomingFile, IncomingFiles, full_disk_is_507

MAX_PARTS = 10_000
MAX_BOUNDARY_BYTES = 70
"""The limit of RFC 2046, section 5.1.1."""
MAX_DRAINED_BYTES = 256 * 1024 * 1024
"""How much of a body that is not wanted is read away, so that the client hears the answer."""

MAX_PIECES = 16
"""Of a small body; more are joined."""

_T = TypeVar("_T")


async def _chunks(call: Call) -> AsyncIterator[bytes]:
    """Yield the body in large pieces: small ones would cost a change of thread each."""
    buffer = bytearray()
    try:
        async for chunk in call.request.stream():
            buffer += chunk
            if len(buffer) >= COPY_BYTES:
                yield bytes(buffer)
                buffer.clear()
    except ClientDisconnect as error:
        raise bad_request("The connection ended before the body did.") from error
    if buffer:
        yield bytes(buffer)


async def checked_first(call: Call, check: Callable[[Call], _T]) -> _T:
    """Return what a check of the request answers, before its body is received.

    A refused body is read away (up to a limit): many clients only look at the answer when they
    have sent everything.
    """
    try:
        return await run_in_threadpool(check, call)
    except HttpError:
        await _drain(call)
        raise


async def _drain(call: Call) -> None:
    if "expect" in call.request.headers:
        return
    drained = 0
    async for chunk in _chunks(call):
        drained += len(chunk)
        if drained > MAX_DRAINED_BYTES:
            return


def is_multipart(call: Call) -> bool:
    """Return whether the body is a form with files."""
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind.startswith("multipart/")


def is_small(call: Call) -> bool:
    """Return whether the body is said to fit into memory, as most files of a study do.

    Such a body is read before anything else and dealt with in one change of thread; each of them
    costs about as much as all the rest that is done for a small file.
    """
    length = call.request.headers.get("content-length", "")
    return length.isdigit() and int(length) <= COPY_BYTES and "expect" not in call.request.headers


async def receive_small(call: Call) -> list[bytes]:
    """Return a body whose announced length is small; servers take no more than was announced.

    It comes in a few pieces: to join large ones takes longer than to write each.
    """
    try:
        pieces = [chunk async for chunk in call.request.stream() if chunk]
    except ClientDisconnect as error:
        raise bad_request("The connection ended before the body did.") from error
    return pieces if len(pieces) <= MAX_PIECES else [b"".join(pieces)]


async def receive_raw(call: Call, incoming: IncomingFiles) -> IncomingFile:
    """Receive a body as one file."""
    received = incoming.new()
    async for chunk in _chunks(call):
        await run_in_threadpool(_write, received, chunk)
    received.close()
    return received


def _write(received: IncomingFile, chunk: bytes) -> None:
    with full_disk_is_507():
        received.write(chunk)


async def receive_multipart(call: Call, incoming: IncomingFiles) -> list[tuple[str, IncomingFile]]:
    """Receive the files of a form as (file name without folders, file); fields are left out.

    Raises
    ------
    HttpError
        400 when the body is not what its content type says.
    """
    _, options = parse_options_header(call.request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > MAX_BOUNDARY_BYTES:
        await _drain(call)
        raise bad_request("The multipart body has no usable boundary in its Content-Type.")
    parts = _Parts(boundary, incoming)
    refusal: HttpError | None = None
    async for chunk in _chunks(call):
        if refusal is None:  # else the rest is read away, so that the client hears the answer
            refusal = await run_in_threadpool(parts.feed, chunk)
    refusal = refusal or parts.finish()
    if refusal is not None:
        raise refusal
    return parts.files


class _Parts:
    """The parts of a form as the parser finds them."""

    def __init__(self, boundary: bytes, incoming: IncomingFiles) -> None:
        self.files: list[tuple[str, IncomingFile]] = []
        self._incoming = incoming
        self._current: IncomingFile | None = None
        self._name, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._count = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_end": self._end_all,
            },
        )

    def feed(self, chunk: bytes) -> HttpError | None:
        """Take a piece of the body; return what is wrong with it, if anything."""
        try:
            with full_disk_is_507():
                self._parser.write(chunk)
        except FormParserError:
            return bad_request("The body is not well-formed multipart/form-data.")
        except HttpError as error:
            return error
        return None

    def finish(self) -> HttpError | None:
        """Return what is wrong when the body has ended, if anything."""
        if self._ended:
            return None
        return bad_request("The multipart body ends before its last boundary.")

    def _begin(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise bad_request(f"A form may have {MAX_PARTS} parts at most.")
        self._disposition = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        file_name = options.get(b"filename")
        if file_name is None:
            return
        try:
            name = re.split(r"[/\\]", file_name.decode())[-1]
        except UnicodeDecodeError as error:
            raise bad_request("A file name in the form is not UTF-8.") from error
        self._current = self._incoming.new()
        self.files.append((name, self._current))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._current is not None:
            self._current.write(memoryview(data)[start:end])

    def _end(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None

    def _end_all(self) -> None:
        self._ended = True
