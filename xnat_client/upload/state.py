"""What an upload remembers on disk, so that the same command goes on where it was interrupted.

The state is a hint and a memory, never the proof: what is confirmed is what the server lists. It
holds no path and no header value; sources are known by a SHA-256 of their path. Not here: the
ledger (``ledger``).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import platformdirs

from xnat_client.errors import BadInputError, ConflictError

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS begun (key TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS confirmed (
    key TEXT NOT NULL, place TEXT NOT NULL, name TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    md5 TEXT NOT NULL, PRIMARY KEY (key, place, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS digest (
    source TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    md5 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rewritten (
    key TEXT NOT NULL, uri TEXT NOT NULL, held_md5 TEXT NOT NULL, sent_md5 TEXT NOT NULL,
    proof TEXT NOT NULL, PRIMARY KEY (key, uri)
) WITHOUT ROWID;
"""

Confirmation = tuple[str, str, int, str]
"""Place (scan and resource), name, size in bytes, MD5."""


def default_state_path(server_url: str, project_id: str) -> Path:
    """Return where the state of uploads to a project is kept: the user's state folder."""
    parts = urlsplit(server_url)
    digest = hashlib.sha256(server_url.encode()).hexdigest()[:8]
    folder = platformdirs.user_state_path("winxnat") / "uploads"
    return folder / f"{parts.hostname}-{digest}-{project_id}.sqlite"


class UploadState:
    """A state file, open for one process at a time; safe to use from several threads.

    Raises
    ------
    ConflictError
        Another process has it open.
    BadInputError
        It cannot be opened or written, or is not a state of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = self._open(path)
        except OSError as error:
            raise _unusable(error.strerror or type(error).__name__) from error
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise ConflictError(
                    "Another upload with the same state file is running. Wait for it, or give this "
                    "one a file of its own with --state."
                ) from error
            raise _unusable(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise _unusable("it is not a state file") from error

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            # The lock lasts as long as the process, however it ends.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            # Without waiting for the disk each time; what a power cut takes, the server tells.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise _unusable("it is of another version of winxnat")  # noqa: TRY301  # one place closes the connection
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def begin(self, key: str) -> None:
        """Remember, before the first request, that an object is made by this upload."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._write("INSERT OR IGNORE INTO begun VALUES (?, ?)", [(key, at)])
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(FULL)")  # this must outlive a power cut

    def has_begun(self, key: str) -> bool:
        """Return whether an earlier run began this object."""
        return bool(self._read("SELECT 1 FROM begun WHERE key = ?", (key,)))

    def confirm(self, key: str, files: Iterable[Confirmation]) -> None:
        """Remember files that the server was found to hold unchanged."""
        rows = [(key, *one) for one in files]
        self._write("INSERT OR REPLACE INTO confirmed VALUES (?, ?, ?, ?, ?)", rows)

    def confirmed(self, key: str) -> frozenset[Confirmation]:
        """Return the files of an object that were confirmed before."""
        sql = "SELECT place, name, size_bytes, md5 FROM confirmed WHERE key = ?"
        return frozenset(
            (str(place), str(name), int(str(size)), str(md5))
            for place, name, size, md5 in self._read(sql, (key,))
        )

    def keep_rewritten(self, key: str, files: Iterable[tuple[str, str, str, str]]) -> None:
        """Remember which file of the server is which sent one: URI, its MD5, sent MD5, proof."""
        rows = [(key, *one) for one in files]
        self._write("INSERT OR REPLACE INTO rewritten VALUES (?, ?, ?, ?, ?)", rows)

    def rewritten(self, key: str) -> dict[tuple[str, str], tuple[str, str]]:
        """Return sent MD5 and proof by URI and MD5 of the server's file."""
        sql = "SELECT uri, held_md5, sent_md5, proof FROM rewritten WHERE key = ?"
        return {
            (str(uri), str(held)): (str(sent), str(proof))
            for uri, held, sent, proof in self._read(sql, (key,))
        }

    def digest_of(self, path: Path, size_bytes: int, mtime_ns: int) -> str:
        """Return the MD5 of a file that has not changed since it was taken, or an empty text."""
        sql = "SELECT md5 FROM digest WHERE source = ? AND size_bytes = ? AND mtime_ns = ?"
        rows = self._read(sql, (_source(path), size_bytes, mtime_ns))
        return str(rows[0][0]) if rows else ""

    def keep_digests(self, files: Iterable[tuple[Path, int, int, str]]) -> None:
        """Remember the MD5 of files: path, size in bytes, time of change in ns, MD5."""
        rows = [(_source(path), size, mtime, md5) for path, size, mtime, md5 in files]
        self._write("INSERT OR REPLACE INTO digest VALUES (?, ?, ?, ?)", rows)

    def _read(self, sql: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def _write(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(sql, rows)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise _unusable(str(error)) from error


def _source(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()


def _unusable(reason: str) -> BadInputError:
    return BadInputError(
        f"The state file of the upload cannot be used ({reason}). Give another one with --state, "
        "on a disk with space."
    )
