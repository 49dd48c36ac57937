"""Resources (named folders of files) of a session: listing, and downloading with proof.

Not here: DICOM upload (``upload``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from xnat_client.address import path_of
from xnat_client.errors import BadInputError, NotFoundError, RefusedError
from xnat_client.listings import list_rows, to_int
from xnat_client.sessions import list_scans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xnat_client.sessions import Session
    from xnat_client.transport import Transport

Progress = Callable[[int, int], None]
"""Is told the bytes done and the bytes in all."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_CHUNK_BYTES = 1 << 20
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Resource:
    """A named folder of files at a session or scan; sizes in bytes, as the server counts them."""

    label: str
    resource_id: str
    file_count: int
    size_bytes: int
    format: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the server.

    ``path`` is relative to its resource; ``uri`` is the path below the server's address; ``md5``
    is empty where the server keeps no checksums.
    """

    path: str
    uri: str
    size_bytes: int
    md5: str
    resource_label: str


@dataclass(frozen=True, slots=True)
class Download:
    """What a download brought.

    ``unproved`` counts files for which the server has no checksum, so that only their size
    could be compared.
    """

    out_dir: Path
    fetched: int
    already_there: int
    size_bytes: int
    unproved: int


def list_resources(
    transport: Transport, session: Session, scan_id: str | None = None
) -> tuple[Resource, ...]:
    """Return the resources of a session, or of one of its scans, sorted by label."""
    owner, words = _owner(session, scan_id)
    rows = list_rows(transport, f"{owner}/resources", doing=f"list the resources of {words}")
    resources = [
        Resource(
            label=row.get("label", ""),
            resource_id=row.get("xnat_abstractresource_id", ""),
            file_count=to_int(row.get("file_count")),
            size_bytes=to_int(row.get("file_size")),
            format=row.get("format", ""),
            content=row.get("content", ""),
        )
        for row in rows
    ]
    return tuple(sorted(resources, key=lambda resource: resource.label))


def list_files(
    transport: Transport, session: Session, label: str, scan_id: str | None = None
) -> tuple[RemoteFile, ...]:
    """Return the files of a resource with size and MD5, sorted by path.

    Raises
    ------
    NotFoundError
        No such resource.
    RefusedError
        The server names a file in a way that would leave its folder.
    """
    owner, words = _owner(session, scan_id)
    path = f"{owner}/resources/{path_of(label)[1:]}/files"
    return read_file_rows(transport, path, doing=f"list the files of resource {label} of {words}")


def list_scan_files(transport: Transport, session: Session) -> tuple[RemoteFile, ...]:
    """Return the files of all scans of a session, of whatever resource."""
    doing = f"list the scan files of session {session.label}"
    try:
        return read_file_rows(transport, f"{session.path}/scans/ALL/files", doing=doing)
    except NotFoundError:
        return ()  # XNAT's answer for a session without any file


def read_file_rows(transport: Transport, path: str, *, doing: str) -> tuple[RemoteFile, ...]:
    """Read one of XNAT's file tables."""
    files = []
    for row in list_rows(transport, path, doing=doing):
        uri = row.get("URI", "")
        _, found, name = uri.partition("/files/")
        relative = unquote(name) if found else row.get("Name", "")
        _check_relative(relative, doing)
        digest = row.get("digest", "").lower()
        files.append(
            RemoteFile(
                path=relative,
                uri=uri,
                size_bytes=to_int(row.get("Size")),
                md5=digest if _MD5.fullmatch(digest) else "",
                resource_label=row.get("collection", ""),
            )
        )
    return tuple(sorted(files, key=lambda file: (file.uri, file.path)))


def download_resource(  # noqa: PLR0913  # what, from where, where to, and two options
    transport: Transport,
    session: Session,
    label: str,
    out_dir: Path,
    *,
    scan_id: str | None = None,
    progress: Progress | None = None,
) -> Download:
    """Download all files of a resource, each proved by size and MD5.

    A file that is already there and right is not fetched again, so that an interrupted
    download is resumed by calling again. Other files in ``out_dir`` are left alone.

    Raises
    ------
    NotFoundError
        The resource does not exist or holds no file.
    RefusedError
        A file arrived but is not what the server's list says, or a name would leave ``out_dir``.
    BadInputError
        ``out_dir`` cannot be written.
    """
    files = _files_to_download(transport, session, label, scan_id)
    _check_unique(files, label)
    total_bytes = sum(file.size_bytes for file in files)
    done_bytes = fetched = 0
    for file in files:
        target_path = _target(out_dir, file.path)
        if not _is_right(target_path, file):
            _fetch(transport, file, target_path)
            fetched += 1
        done_bytes += file.size_bytes
        if progress is not None:
            progress(done_bytes, total_bytes)
    return Download(
        out_dir=out_dir,
        fetched=fetched,
        already_there=len(files) - fetched,
        size_bytes=total_bytes,
        unproved=sum(not file.md5 for file in files),
    )


def _files_to_download(
    transport: Transport, session: Session, label: str, scan_id: str | None
) -> tuple[RemoteFile, ...]:
    """Return the files of a resource; raise ``NotFoundError`` that says what is there instead."""
    words = _owner(session, scan_id)[1]
    try:
        files = list_files(transport, session, label, scan_id)
    except NotFoundError as error:
        missing: NotFoundError | None = error
    else:
        if files:
            return files
        missing = None
    there = {one.label: one.file_count for one in _resources_there(transport, session, scan_id)}
    if label in there:
        raise NotFoundError(
            f"Resource {label} of {words} holds no files, so nothing was downloaded. Check whether "
            "the run that makes it is complete."
        )
    has = _named(sorted(there)) or "none"
    of_scans = "" if scan_id else " of its own; those of its scans are reached with --scan"
    raise NotFoundError(
        f"Nothing was downloaded: {words} has no resource {label}. It has {has}{of_scans}. Check "
        "the label and whether the run that makes it is complete."
    ) from missing


def _resources_there(
    transport: Transport, session: Session, scan_id: str | None
) -> tuple[Resource, ...]:
    try:
        return list_resources(transport, session, scan_id)
    except NotFoundError as error:
        if scan_id is None:
            raise
        scans = [scan.scan_id for scan in list_scans(transport, session)]
        raise NotFoundError(
            f"Nothing was downloaded: session {session.label} has no scan {scan_id}. "
            f"It has {_named(scans) or 'none'}."
        ) from error


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return ", ".join(labels[:_MOST_NAMED]) + more


def _owner(session: Session, scan_id: str | None) -> tuple[str, str]:
    if scan_id is None:
        return session.path, f"session {session.label}"
    return (
        session.path + path_of("scans", scan_id),
        f"scan {scan_id} of session {session.label}",
    )


def _check_relative(path: str, doing: str) -> None:
    parts = PurePosixPath(path).parts
    hostile = (
        not parts
        or path.startswith("/")
        or ".." in parts
        or "\\" in path
        or any(ord(character) < 32 or ord(character) == 127 for character in path)  # noqa: PLR2004  # ASCII control characters
        or ":" in parts[0]
    )
    if hostile:
        raise RefusedError(
            f"Cannot {doing}: the server names a file in a way that would leave its folder. "
            "Nothing was downloaded; tell the site's administrator."
        )


def _check_unique(files: Sequence[RemoteFile], label: str) -> None:
    if len({file.path for file in files}) != len(files):
        raise RefusedError(
            f"Resource {label} holds two files of the same path, so one would replace the other. "
            "Nothing was downloaded; ask an owner of the project to refresh the resource's catalog."
        )


def _target(out_dir: Path, relative: str) -> Path:
    target_path = out_dir.joinpath(*PurePosixPath(relative).parts)
    try:
        target_path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(error) from error
    # A link that lies in the folder already must not lead the download out of it.
    if not target_path.parent.resolve().is_relative_to(out_dir.resolve()):
        raise BadInputError(
            "A symbolic link in the output folder leads out of it. Remove it, or choose an empty "
            "folder."
        )
    return target_path


def _is_right(path: Path, file: RemoteFile) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    if not file.md5:
        return False  # without a checksum only a new download tells
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == file.md5


def _fetch(transport: Transport, file: RemoteFile, target_path: Path) -> None:
    def check(size_bytes: int, md5: str) -> None:
        if size_bytes != file.size_bytes or (file.md5 and md5 != file.md5):
            raise RefusedError(
                f"A file of resource {file.resource_label} arrived with {size_bytes} bytes and "
                f"checksum {md5[:8]}..., but the server's list says {file.size_bytes} bytes and "
                f"{file.md5[:8] or 'no checksum'}. It was thrown away; try again, and if it stays "
                "so, ask an owner of the project to refresh the resource's catalog."
            )

    if not file.uri.startswith("/data/"):
        raise RefusedError("The server's list of files holds an address outside /data.")
    try:
        transport.download(
            file.uri, target_path, doing=f"download from {file.resource_label}", check=check
        )
    except OSError as error:
        raise _cannot_write(error) from error


def _cannot_write(error: OSError) -> BadInputError:
    return BadInputError(
        f"Cannot write to the output folder: {error.strerror or type(error).__name__}. Choose a "
        "folder that you may write to, with enough space."
    )
