"""Files of the archive changed together with their rows: both or neither, whenever we are killed.

The protocol. A body is received into a file of its own below the incoming folder, which lies in
the same file system as the archive. Then, while no other thread may write:

1. one transaction changes the rows and notes in table ``file_change`` which incoming file goes
   where and which file goes away;
2. after its commit the steps are done in order (each is a rename or an unlink);
3. the notes are deleted, and only now the request is answered.

Killed before the commit, the server finds incoming files without a note at its next start and
removes them: nothing was visible. Killed after it, ``recover_files`` does what the notes say; every
step may be done twice. A reader who finds a note for a file waits until it is gone, so that rows
and bytes always agree. As the database, this survives the death of the process at any moment; a
power cut may lose the last writes.

Not here: folders that move with renamed objects (``folders``).
"""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Self

from deploy.sandbox.errors import HttpError, conflict, not_found
from deploy.sandbox.inode_groups import QuickPlace, spread_folders_below

if TYPE_CHECKING:
    from types import TracebackType

    from deploy.sandbox.settings import Settings
    from deploy.sandbox.store import Store

COPY_BYTES = 1024 * 1024
"""How much is read or written at once."""

_NUMBERS = itertools.count(1)
"""Names of received files. No other process uses the folder, and earlier ones' files are removed
when it starts."""
_PLACE = QuickPlace(str(os.getpid()))
_WAIT_S = 0.005
_WAITS = 400


class IncomingFile:
    """A file being received: its bytes, counted and digested as they come."""

    def __init__(self, folder: str) -> None:
        self.name = f"{_PLACE.name}/{next(_NUMBERS)}"
        """Where the bytes are until the file is placed, below the incoming folder."""
        self.size = 0
        self.kept = False
        self._path = f"{folder}/{self.name}"  # text: this runs for every small file
        self._md5 = hashlib.md5(usedforsecurity=False)  # what XNAT shows as the digest
        began = time.thread_time_ns()
        self._stream = self._open()
        _PLACE.made(time.thread_time_ns() - began)

    def _open(self) -> io.FileIO:
        try:
            return io.FileIO(self._path, "xb")
        except FileNotFoundError:  # the first file there
            self.path.parent.mkdir(exist_ok=True)
            return io.FileIO(self._path, "xb")

    @property
    def path(self) -> Path:
        """Return where the bytes are until the file is placed."""
        return Path(self._path)

    @property
    def md5(self) -> str:
        """Return the digest of what was written so far, as hexadecimal text."""
        return self._md5.hexdigest()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        view = memoryview(data)
        self._md5.update(view)
        self.size += len(view)
        while view:
            view = view[self._stream.write(view) :]

    def write_all(self, source: IO[bytes]) -> None:
        """Append everything that can be read from a stream."""
        while chunk := source.read(COPY_BYTES):
            self.write(chunk)

    def rewrite(self, content: bytes) -> None:
        """Have these bytes in place of those received."""
        self._stream.close()
        self._stream = io.FileIO(self._path, "wb")
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)  # as above
        self.write(content)

    def close(self) -> None:
        """End writing; the file stays."""
        self._stream.close()


class IncomingFiles:
    """The files of one request; what was not taken into the archive is removed at the end."""

    def __init__(self, settings: Settings) -> None:
        self._folder = str(settings.incoming_dir)
        self._files: list[IncomingFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        """Remove what was not kept."""
        for each in self._files:
            self.discard(each)

    def new(self) -> IncomingFile:
        """Return a new empty file to write to."""
        each = IncomingFile(self._folder)
        self._files.append(each)
        return each

    @staticmethod
    def discard(each: IncomingFile) -> None:
        """Remove a file unless it was kept."""
        each.close()
        if not each.kept:
            each.path.unlink(missing_ok=True)


class FileChanges:
    """Steps on files that belong to one transaction.

    Folders are relative to the archive, paths to their folder.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.connection = store.connection
        self._store, self._settings = store, settings
        # Text, not paths: these run for every small file that is uploaded.
        self._root = str(settings.root)
        self._archive = str(settings.archive_dir)
        self._going: set[str] = set()
        self._checked: set[str] = set()
        self._kept: list[IncomingFile] = []
        self._modified: dict[int, str] = {}
        self._steps: list[tuple[str | None, str, str]] = []

    def modified(self, resource_id: int, moment: str) -> None:
        """Note when a resource was modified; it is stored once, at the end."""
        self._modified[resource_id] = moment

    def write_down(self) -> None:
        """Store the steps, and when resources were modified: the last part of the transaction."""
        if self._steps:
            self.connection.execute(
                "INSERT INTO file_change (incoming, folder, path)"
                " SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),"
                " json_extract(value, '$[2]') FROM json_each(?) ORDER BY key",
                (json.dumps(self._steps),),
            )
        self.connection.executemany(
            "UPDATE resource SET last_modified = ? WHERE id = ?",
            [(moment, number) for number, moment in self._modified.items()],
        )

    def place(
        self,
        incoming: IncomingFile,
        folder: PurePosixPath,
        path: str,
        area: Path | None = None,
    ) -> None:
        """Put a received file at a path, in place of a file that is there.

        Parameters
        ----------
        area : Path or None
            What the folder is relative to, when it is not the archive.

        Raises
        ------
        HttpError
            409 when something on disk that no resource knows of is in the way.
        """
        top = self._archive if area is None else str(area)
        target = f"{top}/{folder}/{path}"
        part = os.path.dirname(target)  # noqa: PTH120 - text, see above
        while part not in self._checked and part != top:
            if _is_folder(part) is False and part not in self._going:
                raise conflict(f"A file that no resource knows of is in the way of '{path}'.")
            self._checked.add(part)
            part = os.path.dirname(part)  # noqa: PTH120 - same
        if _is_folder(target):
            raise conflict(f"A folder that no resource knows of is in the way of '{path}'.")
        self._kept.append(incoming)
        self._note(incoming.name, f"{top}/{folder}", path)

    def remove(self, folder: PurePosixPath, path: str) -> None:
        """Take a file away; folders that are empty then go too."""
        self._going.add(f"{self._archive}/{folder}/{path}")
        self._note(None, f"{self._archive}/{folder}", path)

    def _note(self, incoming: str | None, folder: str, path: str) -> None:
        self._steps.append((incoming, folder.removeprefix(f"{self._root}/"), path))

    def committed(self) -> None:
        """Keep the received files, which belong to the archive now, and do the steps."""
        for each in self._kept:
            each.close()
            each.kept = True
        for step in self._steps:
            _do(self._settings, *step)
        if self._steps:
            _forget_steps(self._store)


def _is_folder(path: str) -> bool | None:
    """Return whether it is one; None when there is nothing."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def change_files(store: Store, settings: Settings) -> Iterator[FileChanges]:
    """Open a write transaction that may change files; the outermost one only.

    The changes stand when the block has ended without an exception.

    Raises
    ------
    HttpError
        507 when the disk is full.
    """
    with store.exclusive(), full_disk_is_507():
        if store.connection.in_transaction:
            raise RuntimeError("Files can be changed in an outermost transaction only.")
        with store.write():
            _finish(store, settings)  # what a full disk once kept from being done
            changes = FileChanges(store, settings)
            yield changes
            changes.write_down()
        changes.committed()


@contextmanager
def full_disk_is_507() -> Iterator[None]:
    """Turn "no space left on device" into its HTTP status."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise HttpError(507, "The server's disk is full; nothing was stored.") from error
        raise


def _finish(store: Store, settings: Settings) -> None:
    """Do the noted steps and delete their notes."""
    notes = store.connection.execute("SELECT * FROM file_change ORDER BY id").fetchall()
    if not notes:
        return
    for note in notes:
        _do(settings, note["incoming"], note["folder"], note["path"])
    _forget_steps(store)


def _do(settings: Settings, incoming: str | None, folder: str, path: str) -> None:
    whole = f"{settings.root}/{folder}"
    if incoming is None:
        _take_away(Path(whole), Path(whole, path))
    else:
        _put(f"{settings.incoming_dir}/{incoming}", f"{whole}/{path}")


def _forget_steps(store: Store) -> None:
    with store.write() as connection:
        connection.execute("DELETE FROM file_change")


def _put(incoming: str, target: str) -> None:
    try:
        os.replace(incoming, target)  # noqa: PTH105 - text: this runs for every small file
    except FileNotFoundError:
        if not os.path.lexists(incoming):
            return  # done before the process died
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(incoming).replace(target)


def _take_away(folder: Path, path: Path) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()
    for parent in path.parents:
        if parent == folder:
            return
        try:
            parent.rmdir()
        except OSError:
            return  # not empty


def recover_files(store: Store, settings: Settings) -> None:
    """Finish the changes that were committed before a crash; remove all other received files."""
    with store.exclusive():
        _finish(store, settings)
    for leftover in settings.incoming_dir.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
    spread_folders_below(settings.incoming_dir)


def open_stored(store: Store, settings: Settings, resource_id: int, path: str) -> IO[bytes] | None:
    """Open a file of a resource for reading; None when the resource no longer has it.

    Raises
    ------
    HttpError
        404 when the row is there and the file is not: somebody took it from the disk.
    """
    area = settings.archive_dir.relative_to(settings.root).as_posix()
    for _ in range(_WAITS):
        row = store.connection.execute(
            "SELECT dir, EXISTS (SELECT 1 FROM file_change AS note"
            " WHERE note.folder = ? || '/' || dir AND note.path = file.path) AS changing"
            " FROM file JOIN resource ON resource.id = file.resource_id"
            " WHERE resource_id = ? AND path = ?",
            (area, resource_id, path),
        ).fetchone()
        if row is None:
            return None
        if not row["changing"]:
            # Missing: its folder is just being moved, or the steps on it began after the look.
            with suppress(FileNotFoundError):
                return _open(settings.archive_dir / row["dir"] / path)
        time.sleep(_WAIT_S)
    raise not_found(
        f"'{path}' is in the catalog and no longer on the server's disk; refresh the catalog "
        "with options=delete."
    )


def _open(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
