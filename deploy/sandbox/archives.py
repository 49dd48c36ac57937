"""Archives that clients send, unpacked without trust in them.

Refused as a whole: paths that lead elsewhere or that a file system cannot hold, links, devices,
encrypted entries, two entries of one path, and archives that grow beyond measure. Not here:
archives that the server sends (``downloads``).
"""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from deploy.sandbox.errors import HttpError, bad_request
from deploy.sandbox.file_changes import COPY_BYTES, IncomingFile, IncomingFiles, full_disk_is_507
from deploy.sandbox.file_paths import check_file_path

MAX_ENTRIES = 200_000
MAX_GROWTH = 100
"""An archive may unpack to this many times its own size ..."""
MIN_ALLOWED_BYTES = 256 * 1024 * 1024
"""... and any archive to this much: small ones of masks and zeros shrink far more."""
MAX_HEADER_BYTES = 16 * 1024 * 1024
"""The libraries read headers and directories of archives whole; this bounds them."""

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    NotImplementedError,
    UnicodeError,
    ValueError,
    RuntimeError,
)


def is_archive_name(name: str) -> bool:
    """Return whether XNAT would unpack a file of this name."""
    return name.lower().endswith(SUFFIXES)


class _Bounded:
    """A binary file whose single reads are bounded, for libraries that trust announced sizes."""

    def __init__(self, stream: IO[bytes], rest_bytes: int) -> None:
        self._stream = stream
        self._rest_bytes = rest_bytes

    def read(self, size: int = -1) -> bytes:
        if size > MAX_HEADER_BYTES:
            raise ValueError("a header that is too large")
        if size >= 0:
            return self._stream.read(size)
        data = self._stream.read(self._rest_bytes + 1)
        if len(data) > self._rest_bytes:
            raise ValueError("a rest that is too large")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()


def bounded(stream: IO[bytes], rest_bytes: int = MAX_HEADER_BYTES) -> IO[bytes]:
    """Return a stream that refuses (ValueError) to be read in pieces that would fill the memory.

    Parameters
    ----------
    rest_bytes : int
        How much may be left when all the rest is read at once.
    """
    return cast("IO[bytes]", _Bounded(stream, rest_bytes))


def unpack(
    archive: IncomingFile, incoming: IncomingFiles, below: str = ""
) -> list[tuple[str, IncomingFile]]:
    """Unpack a zip, tar or gzipped tar file into received files.

    Parameters
    ----------
    below : str
        A folder that the paths are put under, without a slash at the end.

    Returns
    -------
    list of (path, file)
        Checked paths; folders are left out.

    Raises
    ------
    HttpError
        400 when anything in the archive is not acceptable; nothing is kept then.
    """
    allowance = _Allowance(max(MIN_ALLOWED_BYTES, MAX_GROWTH * archive.size))
    found: dict[str, IncomingFile] = {}
    try:
        with archive.path.open("rb") as stream, full_disk_is_507():
            for name, source in _entries(stream):
                path = check_file_path(f"{below}/{_relative(name)}" if below else _relative(name))
                if path in found:
                    raise bad_request("The archive has two entries of the same path.")
                allowance.one_more()
                found[path] = _receive(source, incoming, allowance)
    except HttpError as error:
        if error.status != 400:  # noqa: PLR2004 - bad request
            raise
        raise bad_request(
            f"The archive was refused, nothing was stored. {error.message}"
        ) from error
    except _BROKEN as error:
        raise bad_request(
            "The archive cannot be read to its end, nothing was stored: it is damaged, encrypted, "
            "or not of the kind that its name says (zip, tar, tar.gz, tgz)."
        ) from error
    return list(found.items())


def _relative(name: str) -> str:
    return name.removeprefix("./")


class _Allowance:
    """What an archive may still unpack to."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries = MAX_ENTRIES

    def one_more(self) -> None:
        self._entries -= 1
        if self._entries < 0:
            raise bad_request(f"An archive may have {MAX_ENTRIES} files at most.")

    def take(self, size: int) -> None:
        self._size -= size
        if self._size < 0:
            raise bad_request(
                f"It unpacks to more than {MAX_GROWTH} times its size; send it in parts."
            )


def _receive(source: IO[bytes], incoming: IncomingFiles, allowance: _Allowance) -> IncomingFile:
    received = incoming.new()
    while chunk := source.read(COPY_BYTES):
        allowance.take(len(chunk))
        received.write(chunk)
    received.close()
    return received


def _entries(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    magic = stream.read(4)
    stream.seek(0)
    if magic.startswith(b"PK"):
        return _zip_entries(stream)
    if magic.startswith(b"\x1f\x8b"):
        return _tar_entries(cast("IO[bytes]", gzip.GzipFile(fileobj=stream, mode="rb")))
    return _tar_entries(stream)


def _zip_entries(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(bounded(stream)) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise bad_request("It has a link or a device.")
            if info.is_dir():
                continue
            with archive.open(info) as source:
                yield info.filename, source


def _tar_entries(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=bounded(stream), mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined] # else all headers stay in memory
            if member.isdir():
                continue
            if not member.isfile():
                raise bad_request("It has a link or a device.")
            source = archive.extractfile(member)
            if source is None:  # pragma: no cover - files have content
                raise bad_request("It has an entry without content.")
            with source:
                yield member.name, source
    # Only at its end does a compressed stream say whether all of it was right.
    bounded(stream).read()
