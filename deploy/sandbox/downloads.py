"""Files sent to clients: one file, or many as a zip or tar stream made in constant memory.

Not here: which files (``files``).
"""

from __future__ import annotations

import mimetypes
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from os import fstat
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from deploy.sandbox.errors import bad_request
from deploy.sandbox.file_changes import COPY_BYTES

if TYPE_CHECKING:
    from deploy.sandbox.call import Call

ARCHIVE_FORMATS = ("zip", "tar", "tar.gz")
_MEDIA_TYPES = {"zip": "application/zip", "tar": "application/x-tar", "tar.gz": "application/gzip"}
_OWN_TYPES = {
    ".dcm": "application/dicom",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".bval": "text/plain",
    ".bvec": "text/plain",
    ".tsv": "text/tab-separated-values",
}
# Already compressed: another pass costs time and gains nothing.
_PACKED = frozenset({".gz", ".tgz", ".zip", ".png", ".jpg", ".jpeg", ".bz2", ".xz"})
# What users uploaded is data: a browser must neither guess its type nor run it as this site's.
_DATA_ONLY = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive; ``open`` answers None when the file was deleted meanwhile."""

    path: str
    open: Callable[[], IO[bytes] | None]


def media_type(name: str) -> str:
    """Return the content type for a file name."""
    suffix = PurePosixPath(name).suffix.lower()
    return _OWN_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def answer_file(call: Call, name: str, stream: IO[bytes]) -> Response:
    """Answer the bytes of an open file, which is closed at the end."""
    found = fstat(stream.fileno())
    headers = {
        "Content-Length": str(found.st_size),
        "Content-Type": media_type(name),
        "Last-Modified": formatdate(found.st_mtime, usegmt=True),
        **_DATA_ONLY,
    }
    if call.request.method == "HEAD":
        stream.close()
        return Response(headers=headers)
    if found.st_size <= COPY_BYTES:  # in one go: each piece would cost two changes of thread
        with stream:
            return Response(stream.read(), headers=headers)
    return StreamingResponse(_pieces(stream), headers=headers)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(COPY_BYTES):
            yield chunk


def answer_archive(call: Call, kind: str, name: str, entries: Iterable[Entry]) -> Response:
    """Answer files as an archive.

    Parameters
    ----------
    kind : str
        One of ``ARCHIVE_FORMATS``.
    name : str
        What to call the archive, without its suffix.

    Raises
    ------
    HttpError
        400 for a ``compression`` that is not 0 to 9.
    """
    level = _compression(call)
    headers = {
        "Content-Type": _MEDIA_TYPES[kind],
        "Content-Disposition": f"attachment; filename={quote(name)}.{kind}",
        **_DATA_ONLY,
    }
    if call.request.method == "HEAD":
        return Response(headers=headers)
    pieces = _zip(entries, level) if kind == "zip" else _tar(entries)
    if kind == "tar.gz":
        pieces = _gzip(pieces, level)
    return StreamingResponse(_gathered(pieces), headers=headers)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in larger pieces: each costs the server a change of thread."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= COPY_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def _compression(call: Call) -> int:
    text = call.query.get("compression", "1")  # speed matters more here than the last percent
    if text not in set("0123456789"):
        raise bad_request("'compression' must be a number from 0 to 9.")
    return int(text)


class _Outbox:
    """A file to write to, whose content is taken away in pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is nothing behind the box."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _zip(entries: Iterable[Entry], level: int) -> Iterator[bytes]:
    outbox = _Outbox()
    with zipfile.ZipFile(cast("IO[bytes]", outbox), "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            stream = entry.open()
            if stream is None:
                continue
            with stream:
                yield from _zip_entry(archive, outbox, entry, stream, level)
            yield outbox.take()
    yield outbox.take()


def _zip_entry(
    archive: zipfile.ZipFile, outbox: _Outbox, entry: Entry, stream: IO[bytes], level: int
) -> Iterator[bytes]:
    found = fstat(stream.fileno())
    moment = time.gmtime(max(found.st_mtime, 315532800))  # a zip file knows no time before 1980
    info = zipfile.ZipInfo(entry.path, moment[:6])
    info.external_attr = 0o644 << 16
    info.file_size = found.st_size
    # Not ZIP_STORED: in a stream, readers could not know where such an entry ends.
    info.compress_type = zipfile.ZIP_DEFLATED
    packed = PurePosixPath(entry.path).suffix.lower() in _PACKED
    info._compresslevel = 0 if packed else level  # type: ignore[attr-defined]  # noqa: SLF001 - no public name before Python 3.13
    with archive.open(info, "w", force_zip64=found.st_size > COPY_BYTES) as target:
        while chunk := stream.read(COPY_BYTES):
            target.write(chunk)
            yield outbox.take()


def _tar(entries: Iterable[Entry]) -> Iterator[bytes]:
    block = tarfile.BLOCKSIZE
    for entry in entries:
        stream = entry.open()
        if stream is None:
            continue
        with stream:
            found = fstat(stream.fileno())
            info = tarfile.TarInfo(entry.path)
            info.size, info.mtime, info.mode = found.st_size, int(found.st_mtime), 0o644
            yield info.tobuf(tarfile.PAX_FORMAT)
            yield from _pieces(stream)
            yield b"\0" * (-found.st_size % block)
    yield b"\0" * (2 * block)


def _gzip(pieces: Iterable[bytes], level: int) -> Iterator[bytes]:
    compressor = zlib.compressobj(level, wbits=31)  # 31: with gzip's header and check sum
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()
