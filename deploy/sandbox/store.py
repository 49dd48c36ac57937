"""The sandbox's database: one SQLite file, its tables, and two ways in (read, write).

Not here: what the rows mean to XNAT (``objects``, ``access``, ``containers``) and file contents
(on disk, below the archive folder).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

SCHEMA_VERSION = 4

_STANDING_TABLES = (
    "setting", "user", "user_role", "user_group", "project", "project_alias", "project_group",
    "group_right", "subject", "experiment", "scan", "reconstruction", "share", "resource",
)  # fmt: skip
# All but last_modified, which every upload changes.
_RESOURCE_COLUMNS = (
    "owner_kind, owner_id, direction, label, format, content, description, tags, dir"
)

ACTING_LOGIN: ContextVar[str] = ContextVar("acting_login", default="")
"""Who changes the database now, for the notes of events; empty where only the row says it."""


class StoreVersionError(Exception):
    """The database file was written by another version of the sandbox."""


def now_text() -> str:
    """Return the present time as XNAT prints timestamps, UTC: ``yyyy-MM-dd HH:mm:ss.S``."""
    moment = datetime.now(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + str(moment.microsecond // 100_000)


def _script(name: str) -> str:
    return resources.files(__package__).joinpath(f"schemas/{name}").read_text()


def _acting_login(otherwise: str) -> str:
    return ACTING_LOGIN.get() or otherwise


def _watching_triggers() -> str:
    """Return the triggers that tell of changed objects and rights, and of noted events."""
    triggers = [
        "CREATE TEMP TRIGGER event_noted AFTER INSERT ON event BEGIN SELECT event_noted(); END;"
    ]
    for table in _STANDING_TABLES:
        columns = f" OF {_RESOURCE_COLUMNS}" if table == "resource" else ""
        for change in ("INSERT", "DELETE", f"UPDATE{columns}"):
            name = f"standing_{table}_{change[:6]}"
            triggers.append(
                f"CREATE TEMP TRIGGER {name} AFTER {change} ON {table}"
                " BEGIN SELECT standing_changed(); END;"
            )
    return "\n".join(triggers)


class _OfThread(threading.local):
    """One thread's connection, and what its open transaction has done so far."""

    connection: sqlite3.Connection | None = None
    writing = False
    standing_changed = False
    event_noted = False


class Store:
    """Connections to the database: one for each thread, one writer at a time.

    Parameters
    ----------
    path : Path
        Database file; made with its tables when absent.

    Raises
    ------
    StoreVersionError
        The file belongs to another schema version.

    Notes
    -----
    Write-ahead logging with ``synchronous=NORMAL``: a commit survives the death of the process
    at any moment; only a power cut may lose the last commits, never the consistency.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch(mode=0o600)  # SQLite gives the files beside it the same mode
        self._local = _OfThread()
        self._write_lock = threading.RLock()
        self._triggers = _script("events.sql") + _watching_triggers()
        self._standing = 0
        self.event_noted = threading.Event()
        """Set after a commit that noted an event, for who delivers them."""
        self._prepare()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=NORMAL")
        # Long lists are sorted in memory: quicker, and no rows in files outside our folder.
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection

    def _watch(self, connection: sqlite3.Connection) -> None:
        """Have the connection's changes noted as events."""
        connection.create_function("acting_login", 1, _acting_login)
        connection.create_function("standing_changed", 0, self._note_standing)
        connection.create_function("event_noted", 0, self._note_event)
        connection.executescript(self._triggers)

    def _note_standing(self) -> None:
        if not self._local.writing:
            raise RuntimeError("Objects, people and rights change within Store.write only.")
        self._local.standing_changed = True

    def _note_event(self) -> None:
        self._local.event_noted = True

    @property
    def standing(self) -> int | None:
        """Return a number that grows with each committed change of objects, people or rights.

        What was read while it had one value holds as long as it has it: it grows before the
        change is answered, and only this server writes to its database. None where that cannot
        be said: in a view of the database that may be older, and in a transaction of this thread
        that has changed some of them itself.
        """
        if self._local.standing_changed:
            return None
        if self.connection.in_transaction and not self._local.writing:
            return None
        return self._standing

    def _prepare(self) -> None:
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(
                    f"BEGIN; {_script('store.sql')}; PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
                )
            elif version != SCHEMA_VERSION:
                raise StoreVersionError(
                    f"Cannot open the sandbox's database: it has schema version {version}, "
                    f"this program needs {SCHEMA_VERSION}. Run `winxnat sandbox reset`, which "
                    "deletes the sandbox's data, or choose another --dir."
                )
        finally:
            connection.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, in autocommit mode."""
        connection = self._local.connection
        if connection is None:
            connection = self._connect()
            self._watch(connection)
            self._local.connection = connection
        return connection

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Open one consistent view of the database; a read inside a write sees the write."""
        connection = self.connection
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other threads from writing for longer than one transaction; reading goes on."""
        with self._write_lock:
            yield

    @contextmanager
    def exclusive_now(self) -> Iterator[bool]:
        """Do what ``exclusive`` does if no thread is writing; tell whether, and never wait."""
        is_free = self._write_lock.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._write_lock.release()

    def leave_checkpoints_to_others(self) -> None:
        """Have this thread's commits never wait for the disk; other threads' sometimes must."""
        self.connection.execute("PRAGMA wal_autocheckpoint=0")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction: committed at the end, rolled back on any exception.

        A write inside a write joins the outer one.
        """
        with self._write_lock:
            connection = self.connection
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            self._local.writing = True
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._local.writing = False
            self._tell()

    def _roll_back(self) -> None:
        self._local.standing_changed = self._local.event_noted = False
        if self.connection.in_transaction:  # a failed commit may have ended it
            self.connection.execute("ROLLBACK")

    def _tell(self) -> None:
        """Tell of what this thread has just committed."""
        if self._local.standing_changed:
            self._standing += 1
            self._local.standing_changed = False
        if self._local.event_noted:
            self._local.event_noted = False
            self.event_noted.set()
