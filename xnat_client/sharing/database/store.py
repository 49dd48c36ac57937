"""Opening the records: SQLite with one file, or PostgreSQL; one writer at a time in both.

Not here: the tables (``tables``), the migrations (``migrations``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

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
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        seals.watch(self._sessions)
        overwriting.watch(self._sessions)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that alone may write; all of it is committed, or none.

        Guards are evaluated inside, so that nothing can change between the question and the act.
        """
        with self._sessions.begin() as session:
            if self.engine.dialect.name == "postgresql":
                session.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
            yield session
            chain.seal_rest(session)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


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
