"""Opens what is packed or compressed inside a stream, within limits that a bomb cannot pass.

Every member is given as a stream of its own, in memory while small and in a temporary file
otherwise; what cannot be opened is given with the reason, never left out. Not here: reading what
is in the members.
"""

from __future__ import annotations

import bz2
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import PurePath
from typing import Any, BinaryIO, cast

_READ = 1 << 18
_IN_MEMORY = 16 << 20
GLANCE = 256
"""Bytes that are tried first where a zlib stream may begin."""
_MIN_EMBEDDED = 48
"""Bytes that a stream in the middle of other bytes must give before it is taken for one."""


class Packing(StrEnum):
    """Ways of packing that can be opened."""

    GZIP = "gzip"
    ZLIB = "zlib"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZIP = "zip"
    TAR = "tar"


class TooMuchError(Exception):
    """A limit of the search was passed."""


@dataclass(slots=True)
class Budget:
    """How much may still be unpacked below one file: bytes, members, levels."""

    bytes_left: int
    members_left: int
    max_depth: int

    def spend(self, count: int) -> None:
        """Take bytes off.

        Raises
        ------
        TooMuchError
            There are none left.
        """
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise TooMuchError

    def spend_member(self) -> None:
        """Take one member off.

        Raises
        ------
        TooMuchError
            There is none left.
        """
        self.members_left -= 1
        if self.members_left < 0:
            raise TooMuchError


@dataclass(slots=True)
class Member:
    """A stream found in another one.

    ``texts`` are names and comments that the packing carries; ``problem`` says why ``stream`` is
    None or incomplete; ``used`` is how many bytes of the outer stream it took, where known.
    """

    name: str
    stream: BinaryIO | None
    problem: str = ""
    texts: tuple[str, ...] = ()
    has_time: bool = False
    used: int = 0
    is_link: bool = False
    is_dir: bool = field(default=False)


def packing_of(head: bytes) -> Packing | None:
    """Return how a stream that begins with these bytes (512 or more) is packed, if it is."""
    starts = (
        (b"\x1f\x8b\x08", Packing.GZIP),
        (b"BZh", Packing.BZIP2),
        (b"\xfd7zXZ\0", Packing.XZ),
        (b"PK\x03\x04", Packing.ZIP),
        (b"PK\x05\x06", Packing.ZIP),
    )
    for start, packing in starts:
        if head.startswith(start):
            return packing
    if head[257:262] == b"ustar":
        return Packing.TAR
    is_zlib = len(head) > 1 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7  # noqa: PLR2004 - RFC 1950 2.2
    return Packing.ZLIB if is_zlib and int.from_bytes(head[:2], "big") % 31 == 0 else None


def members(stream: BinaryIO, packing: Packing, budget: Budget) -> Iterator[Member]:
    """Yield what is packed in a stream, each to be read before the next is asked for.

    Raises
    ------
    TooMuchError
        The budget is used up.
    """
    try:
        if packing is Packing.ZIP:
            yield from _zip(stream, budget)
        elif packing is Packing.TAR:
            yield from _tar(stream, budget)
        else:
            start = stream.tell()
            member = _inflated(stream, packing, budget)
            stream.seek(start + member.used)
            if not member.problem and any(stream.read(_READ)):
                member.problem = f"bytes follow the {packing} stream"
            yield member
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        NotImplementedError,
        OSError,
        ValueError,
        EOFError,
    ):
        yield Member("", None, f"the {packing} archive is damaged or of an unknown kind")


def embedded(stream: BinaryIO, offset: int, packing: Packing, budget: Budget) -> Member | None:
    """Return the stream that begins at an offset; None where the bytes only look like one."""
    stream.seek(offset)
    if packing is Packing.ZLIB and not starts_well(stream.read(GLANCE)):
        return None
    stream.seek(offset)
    trial = Budget(1 << 16, 1, 1)
    try:
        first = _inflated(stream, packing, trial)
    except TooMuchError:
        is_one = True
    else:
        size = 0 if first.stream is None else _size(first.stream)
        is_one = size >= (_MIN_EMBEDDED if first.problem else 1)
        if first.stream is not None:
            first.stream.close()
    if not is_one:
        return None
    stream.seek(offset)
    return _inflated(stream, packing, budget)


@lru_cache(maxsize=16384)
def starts_well(data: bytes) -> bool:
    """Return whether the first bytes can be inflated; most that only look packed cannot.

    Remembered, because the files of a series have the same such places.
    """
    try:
        zlib.decompressobj().decompress(data, GLANCE)
    except zlib.error:
        return False
    return True


def _size(stream: BinaryIO) -> int:
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(0)
    return size


def _spool() -> BinaryIO:
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))


def _inflated(stream: BinaryIO, packing: Packing, budget: Budget) -> Member:
    """Return one compressed stream, its concatenated parts joined."""
    budget.spend_member()
    start = stream.tell()
    texts, has_time = _gzip_texts(stream) if packing is Packing.GZIP else ((), False)
    stream.seek(start)
    out, problem, given, unused = _spool(), "", 0, b""
    decoder, is_fresh = _DECODERS[packing](), True
    try:
        while True:
            data = unused or stream.read(_READ)
            given += len(data) if not unused else 0
            unused = b""
            if not data:
                if not is_fresh:
                    problem = f"the {packing} stream ends too early"
                break
            for piece in _pieces(decoder, data):
                budget.spend(len(piece))
                out.write(piece)
                is_fresh = False
            if decoder.eof:
                unused = decoder.unused_data
                if not unused:
                    unused = stream.read(_READ)
                    given += len(unused)
                if not unused or packing_of(unused.ljust(512, b"\0")) is not packing:
                    break
                decoder, is_fresh = _DECODERS[packing](), True
    except (zlib.error, OSError, lzma.LZMAError, ValueError, EOFError):
        problem = f"the {packing} stream is damaged"
    except TooMuchError:
        out.close()
        raise
    out.seek(0)
    return Member("", out, problem, texts, has_time, given - len(unused))


def _pieces(decoder: Any, data: bytes) -> Iterable[bytes]:
    """Yield what a decoder makes of data, in pieces of bounded size."""
    if isinstance(decoder, _Zlib):
        yield from decoder.pieces(data)
        return
    while True:
        yield decoder.decompress(data, _READ * 4)
        data = b""
        if decoder.eof or decoder.needs_input:
            return


class _Zlib:
    """zlib's decoder with the face of those of bz2 and lzma."""

    def __init__(self, window_bits: int) -> None:
        self._decoder = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield self._decoder.decompress(data, _READ * 4)
            data = self._decoder.unconsumed_tail


_DECODERS: dict[Packing, Callable[[], Any]] = {
    Packing.GZIP: lambda: _Zlib(31),
    Packing.ZLIB: lambda: _Zlib(15),
    Packing.BZIP2: bz2.BZ2Decompressor,
    Packing.XZ: lambda: lzma.LZMADecompressor(memlimit=256 << 20),
}


def inflate_raw(stream: BinaryIO, budget: Budget) -> Member:
    """Return a raw deflate stream (DICOM's deflated transfer syntax), from here to its end."""
    budget.spend_member()
    decoder, out, problem, given = _Zlib(-15), _spool(), "", 0
    try:
        while not decoder.eof:
            data = stream.read(_READ)
            given += len(data)
            if not data:
                problem = "the deflated data set ends too early"
                break
            for piece in decoder.pieces(data):
                budget.spend(len(piece))
                out.write(piece)
    except zlib.error:
        problem = "the deflated data set is damaged"
    except TooMuchError:
        out.close()
        raise
    out.seek(0)
    return Member("", out, problem, used=given - len(decoder.unused_data))


def _gzip_texts(stream: BinaryIO) -> tuple[tuple[str, ...], bool]:
    """Return the texts of a gzip header (RFC 1952 2.3), and whether it holds a time."""
    head = stream.read(1 << 16)
    if len(head) < 10:  # noqa: PLR2004 - bytes of the fixed part
        return (), False
    flags, at, texts = head[3], 10, []
    if flags & 4:
        size = int.from_bytes(head[at : at + 2], "little")
        texts.append(head[at + 2 : at + 2 + size].decode("latin-1"))
        at += 2 + size
    for flag in (8, 16):
        if flags & flag:
            end = head.find(b"\0", at)
            end = len(head) if end < 0 else end
            texts.append(head[at:end].decode("latin-1"))
            at = end + 1
    return tuple(each for each in texts if each), any(head[4:8])


def _zip(stream: BinaryIO, budget: Budget) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as archive:
        if archive.comment:
            yield Member("", None, texts=(archive.comment.decode("latin-1"),), is_dir=True)
        for info in archive.infolist():
            budget.spend_member()
            texts = tuple(part.decode("latin-1") for part in (info.comment, info.extra) if part)
            if info.is_dir():
                yield Member(info.filename, None, texts=texts, is_dir=True)
                continue
            if info.flag_bits & 1:
                yield Member(info.filename, None, "it is encrypted", texts)
                continue
            out, problem = _spool(), ""
            try:
                with archive.open(info) as source:
                    _copy(cast("BinaryIO", source), out, budget)
            except (
                zipfile.BadZipFile,
                zlib.error,
                NotImplementedError,
                OSError,
                EOFError,
                RuntimeError,
                lzma.LZMAError,
                ValueError,
            ):
                problem = "the member is damaged or packed in an unknown way"
            except TooMuchError:
                out.close()
                raise
            out.seek(0)
            yield Member(info.filename, out, problem, texts)


def _tar(stream: BinaryIO, budget: Budget) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for info in archive:
            budget.spend_member()
            texts = tuple(
                each
                for each in (
                    info.uname,
                    info.gname,
                    info.linkname,
                    *map(str, info.pax_headers.values()),
                )
                if each and each != "root"
            )
            source = archive.extractfile(info) if info.isfile() else None
            if source is None:
                is_link = info.issym() or info.islnk()
                yield Member(info.name, None, texts=texts, is_dir=True, is_link=is_link)
                continue
            out = _spool()
            try:
                _copy(cast("BinaryIO", source), out, budget)
            except BaseException:
                out.close()
                raise
            out.seek(0)
            yield Member(info.name, out, texts=texts)


def _copy(source: BinaryIO, target: BinaryIO, budget: Budget) -> None:
    while data := source.read(_READ):
        budget.spend(len(data))
        target.write(data)


def inner_name(name: str) -> str:
    """Return what a packed file is called inside: its name without the last ending."""
    return PurePath(name).stem if PurePath(name).suffix else name
