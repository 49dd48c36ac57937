"""Opening the records: SQLite with one file, or PostgreSQL; one writer at a time in both.

Not here: the tables (``tables``), the migrations (``migrations``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from xnat_client.errors import UnreachableError
from xnat_client.private_files import make_private
from xnat_client.sharing.audit import chain, overwriting, seals

_LOCK_NUMBER = 0x77696E78
"""Key of PostgreSQL's advisory lock that makes writers take turns, as SQLite's does."""


class Database:
    """An open database of records.

    Parameters
    ----------
    url : str
        SQLAlchemy address, SQLite or PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url)
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "do_connect", _keep_private)
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        seals.watch(self._sessions)
        overwriting.watch(self._sessions)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that alone may write; all of it is committed, or none.

        Guards are evaluated inside, so that nothing can change between the question and the act.

        Raises
        ------
        UnreachableError
            The database does not do it: a full disk, a server that is gone. Nothing was changed.
        """
        try:
            with self._sessions.begin() as session:
                if self.engine.dialect.name == "postgresql":
                    session.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
                yield session
                chain.seal_rest(session)
        except sa.exc.OperationalError as error:
            raise unusable(self.engine, error) from error

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def unusable(engine: sa.Engine, error: sa.exc.OperationalError) -> UnreachableError:
    """Return the error for a database that does not do what it is asked for."""
    if engine.dialect.name == "sqlite":
        # SQLite's own words (disk full, read-only, locked) name no value of the records.
        return UnreachableError(
            f"The file of the sharing records cannot be used: {error.orig}. Nothing was changed; "
            "make room or give your account the right to write, and try again."
        )
    return UnreachableError(
        "The database of the sharing records does not answer or does not accept its account. "
        "Check that it runs, and the address in WINXNAT_SHARING_DATABASE."
    )


def _keep_private(
    _dialect: object, _record: object, arguments: list[Any], _options: dict[str, Any]
) -> None:
    """Make the file before SQLite does, which would let others read it.

    SQLite gives its journals (-wal, -shm) the rights of the file itself.
    """
    place = str(arguments[0]) if arguments else ":memory:"
    if place != ":memory:" and not place.startswith("file:"):
        with suppress(OSError):  # SQLite meets the same trouble, and says so itself
            make_private(Path(place))


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # The driver's own BEGIN is deferred: two writers could both read before either writes.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
