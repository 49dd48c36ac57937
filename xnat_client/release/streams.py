"""Every byte stream of a file: its own bytes, and what is compressed in them, at any depth.

Streams come in overlapping pieces, so that a large image never is in memory as a whole and a
string across two pieces is still seen. Not here: what is looked for (``search``).
"""

from __future__ import annotations

import bz2
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PIECE_BYTES = 4 << 20
OVERLAP_BYTES = 1024
"""More than the longest string that is looked for."""
_DEEPEST = 4
_MOST_BYTES = 64 << 30
"""Of one file, all streams together; more is a bomb, and counts as not searched."""
_MEMBERS = 100_000
_HEAD_BYTES = 512
_TAR_MAGIC_AT = 257


class NotSearchableError(Exception):
    """A stream cannot be opened to its end, so that nobody knows what is in it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one stream.

    Attributes
    ----------
    inside : str
        How deep: empty for the file itself, ``gzip``, ``zip/gzip``; never a member's name.
    start : int
        Place of the first byte in the stream.
    is_new_from : int
        Matches that end at or before this byte of the piece were in the piece before.
    """

    inside: str
    start: int
    data: bytes
    is_new_from: int


def pieces(path: Path) -> Iterator[Piece]:
    """Yield the pieces of all streams of a file.

    Raises
    ------
    NotSearchableError
        A compressed stream is damaged, encrypted, too deep, or too large.
    """
    with path.open("rb") as stream:
        yield from _Opener().all_of(stream, "", 0)


class _Opener:
    def __init__(self) -> None:
        self._left = _MOST_BYTES

    def all_of(self, stream: IO[bytes], inside: str, depth: int) -> Iterator[Piece]:
        """Yield a stream's own bytes, then those of what is compressed in it."""
        head = stream.read(_HEAD_BYTES)
        stream.seek(0)
        yield from self._cut(iter(lambda: stream.read(PIECE_BYTES), b""), inside)
        stream.seek(0)
        kind = _kind(stream, head)
        if not kind:
            return
        if depth >= _DEEPEST:
            raise NotSearchableError("it is compressed more than four times over")
        deeper = f"{inside}/{kind}".lstrip("/")
        try:
            for name, member in self._members(stream, kind):
                if name:
                    yield Piece(f"{deeper} member's name", 0, name, 0)
                with member:
                    yield from self.all_of(member, deeper, depth + 1)
        except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError) as error:
            raise _damaged(kind) from error
        except (zipfile.BadZipFile, tarfile.TarError, NotImplementedError) as error:
            raise _damaged(kind) from error

    def _cut(self, parts: Iterator[bytes], inside: str) -> Iterator[Piece]:
        before, start = b"", 0
        for part in parts:
            self._left -= len(part)
            self._check_size(0)
            data = before + part
            yield Piece(inside, start, data, len(before))
            before = data[-OVERLAP_BYTES:]
            start += len(data) - len(before)

    def _check_size(self, more_bytes: int) -> None:
        if more_bytes > self._left:
            raise NotSearchableError("it holds more than can be searched")

    def _members(self, stream: IO[bytes], kind: str) -> Iterator[tuple[bytes, IO[bytes]]]:
        if kind == "zip":
            with zipfile.ZipFile(stream) as archive:
                for info in _limited(archive.infolist()):
                    with archive.open(info) as member:
                        yield info.filename.encode(), self._seekable(_chunks(member))
            return
        if kind == "tar":
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                for entry in _limited(archive.getmembers()):
                    opened = archive.extractfile(entry)
                    if opened is not None:
                        with opened:
                            yield entry.name.encode(), self._seekable(_chunks(opened))
            return
        yield b"", self._seekable(_unpacked(stream, kind))

    def _seekable(self, chunks: Iterator[bytes]) -> IO[bytes]:
        spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
        try:
            for chunk in chunks:
                spool.write(chunk)
                self._check_size(spool.tell())
            spool.seek(0)
        except BaseException:
            spool.close()
            raise
        return spool


def _damaged(kind: str) -> NotSearchableError:
    return NotSearchableError(f"its {kind} part is damaged, encrypted, or of an unknown form")


def _limited(members: list[zipfile.ZipInfo] | list[tarfile.TarInfo]) -> list:  # type: ignore[type-arg]  # one of the two, as given
    if len(members) > _MEMBERS:
        raise NotSearchableError("it holds more members than can be searched")
    return members


def _kind(stream: IO[bytes], head: bytes) -> str:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return "tar"
    # A zip archive may have anything before it; its directory stands at the end.
    if zipfile.is_zipfile(stream):
        return "zip"
    return ""


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: stream.read(PIECE_BYTES), b"")


def _unpacked(stream: IO[bytes], kind: str) -> Iterator[bytes]:
    if kind == "gzip":
        yield from _gunzipped(stream)
        return
    with bz2.BZ2File(stream) if kind == "bzip2" else lzma.LZMAFile(stream) as opened:
        yield from _chunks(opened)


def _gunzipped(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of all members; bytes after the last one are in the raw stream."""
    decoder = zlib.decompressobj(wbits=31)
    rest = b""
    while True:
        data = rest or stream.read(1 << 20)
        rest = b""
        if not data:
            if not decoder.eof:
                raise EOFError
            return
        yield decoder.decompress(data)
        if decoder.eof:
            rest = decoder.unused_data
            more = rest or stream.read(1 << 20)
            if not more.startswith(b"\x1f\x8b"):
                return
            rest, decoder = more, zlib.decompressobj(wbits=31)
