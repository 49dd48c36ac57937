"""A zip archive as a stream: stored entries, sizes known before the first byte.

The standard library and the zip-streaming packages write *data descriptors* behind the entries of
a stream. XNAT reads an import with Java's ZipInputStream, which refuses descriptors on stored
entries ("only DEFLATED entries can have EXT descriptor"), and deflating DICOM costs more time than
sending it. With size and CRC known beforehand, neither is needed, and the request can state its
Content-Length. Format: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.14 to 4.3.16.
Not here: what goes in (``send``).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xnat_client.errors import BadInputError

CHUNK_BYTES = 1 << 20
_MAX_16 = 0xFFFF
_MAX_32 = 0xFFFFFFFF
_VERSION_NEEDED = 45
_UTF8_NAME = 0x0800
_STORED = 0
_DOS_DATE = 0x0021
"""1 January 1980: the files' own times would say when somebody was scanned."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file for the archive: ``name`` inside it, ``path`` on disk, ``label`` in messages."""

    name: str
    path: Path
    size_bytes: int
    crc32: int
    label: str


def zip_size(entries: Sequence[ZipEntry]) -> int:
    """Return the exact length in bytes of what ``zip_chunks`` yields."""
    offset = 0
    central_bytes = 0
    for entry in entries:
        central_bytes += len(_central_record(entry, offset))
        offset += len(_local_header(entry)) + entry.size_bytes
    return offset + central_bytes + len(_end(len(entries), offset, central_bytes))


def zip_chunks(entries: Sequence[ZipEntry]) -> Iterator[bytes]:
    """Yield the archive in pieces, with one file open at a time.

    Raises
    ------
    BadInputError
        A file changed since its size and CRC were taken, or can no longer be read.
    """
    offset = 0
    central: list[bytes] = []
    for entry in entries:
        central.append(_central_record(entry, offset))
        header = _local_header(entry)
        yield header
        yield from _content(entry)
        offset += len(header) + entry.size_bytes
    directory = b"".join(central)
    yield directory + _end(len(entries), offset, len(directory))


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file that is read in one go while the archive is sent; fields as of a ZipEntry."""

    name: str
    path: Path
    size_bytes: int
    label: str


def small_zip_size(files: Sequence[SmallFile]) -> int:
    """Return the exact length in bytes of what ``small_zip_chunks`` yields."""
    return zip_size([ZipEntry(f.name, f.path, f.size_bytes, 0, f.label) for f in files])


def small_zip_chunks(
    files: Sequence[SmallFile], take_content: Callable[[SmallFile, bytes], None]
) -> Iterator[bytes]:
    """Yield an archive of small files, each read once: its CRC is taken on the way.

    Parameters
    ----------
    take_content : callable
        Is given each file with its content, for a checksum.

    Raises
    ------
    BadInputError
        A file changed its size, or can no longer be read.
    """
    offset = 0
    central: list[bytes] = []
    for file in files:
        try:
            content = file.path.read_bytes()
        except OSError as error:
            raise _gone(file.label, error) from error
        if len(content) != file.size_bytes:
            raise _changed(file.label)
        take_content(file, content)
        entry = ZipEntry(file.name, file.path, len(content), zlib.crc32(content), file.label)
        central.append(_central_record(entry, offset))
        header = _local_header(entry)
        yield header + content
        offset += len(header) + len(content)
    directory = b"".join(central)
    yield directory + _end(len(files), offset, len(directory))


def _gone(label: str, error: OSError) -> BadInputError:
    return BadInputError(
        f"{label} can no longer be read ({error.strerror or type(error).__name__}). The "
        "upload was broken off; try again when the folder is at rest."
    )


def _changed(label: str) -> BadInputError:
    return BadInputError(
        f"{label} was changed during the upload, which was broken off. Try again when "
        "nothing writes to the folder."
    )


def _content(entry: ZipEntry) -> Iterator[bytes]:
    crc32 = size_bytes = 0
    try:
        with entry.path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                size_bytes += len(chunk)
                crc32 = zlib.crc32(chunk, crc32)
                if size_bytes > entry.size_bytes:
                    break
                yield chunk
    except OSError as error:
        raise _gone(entry.label, error) from error
    if (size_bytes, crc32) != (entry.size_bytes, entry.crc32):
        raise _changed(entry.label)


def _local_header(entry: ZipEntry) -> bytes:
    name = entry.name.encode("utf-8")
    big = entry.size_bytes >= _MAX_32
    size = _MAX_32 if big else entry.size_bytes
    extra = struct.pack("<HHQQ", 1, 16, entry.size_bytes, entry.size_bytes) if big else b""
    fixed = struct.pack(
        "<4s5H3L2H",
        b"PK\x03\x04", _VERSION_NEEDED if big else 20, _UTF8_NAME, _STORED, 0, _DOS_DATE,
        entry.crc32, size, size, len(name), len(extra),
    )  # fmt: skip
    return fixed + name + extra


def _central_record(entry: ZipEntry, offset: int) -> bytes:
    name = entry.name.encode("utf-8")
    big, far = entry.size_bytes >= _MAX_32, offset >= _MAX_32
    fields = ([entry.size_bytes] * 2 if big else []) + ([offset] if far else [])
    extra = struct.pack(f"<HH{len(fields)}Q", 1, 8 * len(fields), *fields) if fields else b""
    size = _MAX_32 if big else entry.size_bytes
    needed = _VERSION_NEEDED if fields else 20
    fixed = struct.pack(
        "<4s6H3L5H2L",
        b"PK\x01\x02", needed, needed, _UTF8_NAME, _STORED, 0, _DOS_DATE,
        entry.crc32, size, size, len(name), len(extra), 0, 0, 0, 0, _MAX_32 if far else offset,
    )  # fmt: skip
    return fixed + name + extra


def _end(count: int, start: int, size_bytes: int) -> bytes:
    big = b""
    if count >= _MAX_16 or start >= _MAX_32 or size_bytes >= _MAX_32:
        record = struct.pack(
            "<4sQ2H2L4Q",
            b"PK\x06\x06", 44, _VERSION_NEEDED, _VERSION_NEEDED, 0, 0,
            count, count, size_bytes, start,
        )  # fmt: skip
        big = record + struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size_bytes, 1)
    few = min(count, _MAX_16)
    return big + struct.pack(
        "<4s4H2LH",
        b"PK\x05\x06", 0, 0, few, few, min(size_bytes, _MAX_32), min(start, _MAX_32), 0,
    )  # fmt: skip
