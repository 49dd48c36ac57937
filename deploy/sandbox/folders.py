"""Changes of the database that also move or remove folders: both happen, or neither.

A journal file says which folders are being moved; a row with its name, committed together with
the change, says that the change stands. After a crash the journal files without such a row are
undone. Not here: file contents (each resource's files are written by their own handlers).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.sandbox.settings import Settings
    from deploy.sandbox.store import Store


class FolderChanges:
    """Folder moves that belong to one database transaction; paths are relative to the archive."""

    def __init__(self, settings: Settings, connection: sqlite3.Connection) -> None:
        self._settings = settings
        self._connection = connection
        self._name = uuid.uuid4().hex
        self._moves: list[tuple[Path, Path]] = []
        self._trash = settings.trash_dir / self._name

    def move(self, source: PurePosixPath, target: PurePosixPath) -> None:
        """Move a folder when the transaction is complete; files rows must be changed by the caller.

        What an earlier deletion left at the target (``removeFiles`` not asked for) is moved aside
        and keeps its content.
        """
        if source == target:
            return
        archive = self._settings.archive_dir
        aside = target.with_name(f"{target.name}.left-{self._name[:8]}")
        self._moves.append((archive / target, archive / aside))
        self._moves.append((archive / source, archive / target))
        # Files of resources are found by the folder stored with the resource.
        self._connection.execute(
            "UPDATE resource SET dir = ? || substr(dir, ?)"
            " WHERE dir = ? OR substr(dir, 1, ?) = ? || '/'",
            (
                str(target),
                len(str(source)) + 1,
                str(source),
                len(str(source)) + 1,
                str(source),
            ),
        )

    def remove(self, folder: PurePosixPath) -> None:
        """Remove a folder with everything in it once the transaction is committed."""
        self._moves.append(
            (self._settings.archive_dir / folder, self._trash / str(len(self._moves)))
        )

    def _apply(self) -> None:
        present = [(source, target) for source, target in self._moves if source.exists()]
        if not present:
            return
        journal = self._settings.moves_dir / self._name
        partial = journal.with_suffix(".partial")
        partial.write_text(json.dumps([[str(a), str(b)] for a, b in present]))
        partial.replace(journal)
        self._connection.execute("INSERT INTO folder_move VALUES (?)", (self._name,))
        for source, target in present:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)

    def _finish(self) -> None:
        (self._settings.moves_dir / self._name).unlink(missing_ok=True)
        if self._trash.exists():
            shutil.rmtree(self._trash)


@contextmanager
def change_folders(store: Store, settings: Settings) -> Iterator[FolderChanges]:
    """Open a write transaction that may move and remove folders; the outermost one only."""
    changes: FolderChanges | None = None
    try:
        with store.write() as connection:
            changes = FolderChanges(settings, connection)
            yield changes
            changes._apply()  # noqa: SLF001 - this function is the other half of the class
    except BaseException:
        if changes is not None:
            _undo(settings, changes._name)  # noqa: SLF001 - same
        raise
    changes._finish()  # noqa: SLF001 - same


def _undo(settings: Settings, name: str) -> None:
    journal = settings.moves_dir / name
    if not journal.exists():
        return
    for source, target in reversed(json.loads(journal.read_text())):
        if Path(target).exists() and not Path(source).exists():
            Path(target).rename(source)
    journal.unlink()


def recover_folders(store: Store, settings: Settings) -> None:
    """Undo moves whose change was not committed before a crash; empty the trash."""
    with store.write() as connection:
        committed = {name for (name,) in connection.execute("SELECT name FROM folder_move")}
        for journal in sorted(settings.moves_dir.iterdir()):
            if journal.suffix == ".partial" or journal.name in committed:
                journal.unlink()
            else:
                _undo(settings, journal.name)
        connection.execute("DELETE FROM folder_move")
    shutil.rmtree(settings.trash_dir)
    settings.trash_dir.mkdir(mode=0o700)
