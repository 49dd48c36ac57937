"""Reading a release's folder: every file by its bytes, and whatever is no plain file.

Reading many files takes time, and the records are closed to others within a transaction. So a
folder is observed before, and inside only those files are read again that were touched since.
Not here: what the folder should hold (``freshness``).
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK_NS = 2_000_000_000
"""A file touched this shortly before it was read may be touched again without a trace."""


@dataclass(frozen=True)
class SeenFile:
    """A file as it was when it was read.

    Attributes
    ----------
    sha256 : str
        Of its bytes.
    size_bytes, changed_ns, modified_ns, inode : int
        By which a later change is noticed.
    settled : bool
        Whether it had been left alone for some time before it was read.
    """

    sha256: str
    size_bytes: int
    changed_ns: int
    modified_ns: int
    inode: int
    settled: bool


@dataclass(frozen=True)
class FolderObservation:
    """What a folder holds.

    Attributes
    ----------
    folder : Path
        Which.
    exists : bool
        Whether it is there and a folder.
    files : mapping of str to SeenFile
        Plain files by relative path with forward slashes.
    others : tuple of str
        Links, devices and other things that no release holds, and what cannot be read.
    """

    folder: Path
    exists: bool
    files: Mapping[str, SeenFile]
    others: tuple[str, ...]

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each plain file by its path."""
        return {path: seen.sha256 for path, seen in self.files.items()}


def observe(folder: Path, earlier: FolderObservation | None = None) -> FolderObservation:
    """Read a folder.

    Parameters
    ----------
    folder : Path
        Links to elsewhere are noticed, never followed.
    earlier : FolderObservation or None
        An observation of the same folder; files that were not touched since are not read again.
    """
    if folder.is_symlink() or not folder.is_dir():
        return FolderObservation(folder, exists=False, files={}, others=())
    known = earlier.files if earlier is not None and earlier.folder == folder else {}
    files: dict[str, SeenFile] = {}
    others: list[str] = []
    for path, found in sorted(_entries(folder, "")):
        seen = None if found is None else _file(Path(found), known.get(path))
        if seen is None:
            others.append(path)
        else:
            files[path] = seen
    return FolderObservation(folder, exists=True, files=files, others=tuple(others))


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, str | None]]:
    """Yield everything in a folder with where it is; None for what cannot be listed."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        yield prefix, None
        return
    for entry in entries:
        path = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), f"{path}/")
        else:
            yield path, entry.path


def _file(path: Path, known: SeenFile | None) -> SeenFile | None:
    """Return a plain file as it is now; None if it is none, or cannot be read."""
    try:
        status = path.lstat()
        # Two names of one file could be changed through the other name.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return None
        if known is not None and _is_untouched(known, status):
            return known
        return _read(path, status)
    except OSError:
        return None


def _is_untouched(seen: SeenFile, status: os.stat_result) -> bool:
    return seen.settled and (
        seen.size_bytes,
        seen.changed_ns,
        seen.modified_ns,
        seen.inode,
    ) == (status.st_size, status.st_ctime_ns, status.st_mtime_ns, status.st_ino)


def _read(path: Path, status: os.stat_result) -> SeenFile:
    started_ns = time.time_ns()
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        after = os.fstat(stream.fileno())
    unchanged = after.st_ctime_ns == status.st_ctime_ns and after.st_ino == status.st_ino
    settled = unchanged and started_ns - status.st_ctime_ns > _TICK_NS
    return SeenFile(
        digest, after.st_size, after.st_ctime_ns, after.st_mtime_ns, after.st_ino, settled
    )
