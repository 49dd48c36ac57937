"""Seals: digests of the rows that decide who may read, kept in the audit log.

A hash chain shows that the log is whole; it says nothing about the tables beside it. So every
entry carries the digests of the rows that were written since the entry before it, by whatever
code wrote them, and the last seal of a row must fit the row (``verify``). An edit of a consent
record with another program is found and located.

Sealed rows are written through the session's objects only: a statement that changes many rows at
once would leave them without a seal, and is refused. A participant's seal covers a random salt of
its row, because a bare digest of a label can be reversed by trying labels; the files of a release
are bound by its manifest.
Not here: the chain itself (``chain``), the comparison (``verify``), edited rows that our own code
would write over (``overwriting``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, sessionmaker

from xnat_client.sharing.database import tables
from xnat_client.sharing.database.tables import Base

GONE = ""
"""The seal of a row that was deleted."""

_ADDED_ONLY = (
    tables.ConsentRecord,
    tables.Evidence,
    tables.Acceptance,
    tables.Declaration,
    tables.AuditEntry,
)

_LEFT_OUT: dict[type[Base], frozenset[str]] = {
    tables.Server: frozenset(),
    # Names and addresses of people decide nothing.
    tables.Person: frozenset({"name", "email", "institution", "orcid"}),
    tables.Account: frozenset(),
    tables.Study: frozenset(),
    tables.RoleAssignment: frozenset(),
    tables.Participant: frozenset(),
    tables.ConsentForm: frozenset(),
    tables.ConsentRecord: frozenset(),
    tables.Agreement: frozenset(),
    tables.Acceptance: frozenset(),
    tables.CriteriaVersion: frozenset(),
    tables.Release: frozenset(),
    tables.ReleaseParticipant: frozenset(),
    tables.Evidence: frozenset(),
    tables.Statement: frozenset(),
    tables.CriteriaAcceptance: frozenset(),
    tables.Approval: frozenset(),
    tables.Grant: frozenset(),
    tables.Declaration: frozenset(),
    # The labels are removed once nobody needs to be reminded of them.
    tables.Notice: frozenset({"labels"}),
}

SEALED = tuple(_LEFT_OUT)
"""Classes whose rows are sealed; parents stand before children."""

_SEALED_TABLES = frozenset(kind.__tablename__ for kind in SEALED) | {"audit_entry"}
_WAITING = "winxnat.unsealed"
_DISBELIEVED = "winxnat.disbelieved"


class UnsealedChangeError(RuntimeError):
    """Our own code tried to change sealed rows behind the log's back."""


def watch(sessions: sessionmaker[Session]) -> None:
    """Make all sessions of a database remember which sealed rows they write."""
    sa.event.listen(sessions, "before_flush", _refuse_edits)
    sa.event.listen(sessions, "after_flush", _remember)
    sa.event.listen(sessions, "do_orm_execute", _refuse_statements)


def take(session: Session) -> dict[str, dict[str, str]]:
    """Return the seals of all rows written since the last call, by table and row.

    Parameters
    ----------
    session : Session
        Its pending changes are written first.
    """
    session.flush()
    waiting: dict[int, tuple[Base, bool]] = session.info.pop(_WAITING, {})
    seals: dict[str, dict[str, str]] = {}
    for row, is_new in waiting.values():
        state = sa.inspect(row)
        if not (state.persistent or state.deleted):
            continue  # written within a part of the transaction that was taken back
        digest = GONE if state.deleted else _digest(row, is_new=is_new)
        seals.setdefault(row.__tablename__, {})[row_key(row)] = digest
    return {table: dict(sorted(rows.items())) for table, rows in sorted(seals.items())}


def has_unsealed(session: Session) -> bool:
    """Tell whether rows were written that no entry has sealed."""
    return bool(session.info.get(_WAITING))


def is_waiting(session: Session, row: Base) -> bool:
    """Tell whether a row was written in this session already and is to be sealed."""
    return id(row) in session.info.get(_WAITING, {})


def disbelieve(session: Session, rows: set[int]) -> None:
    """Leave rows without a new seal that are about to be written: another program edited them.

    Parameters
    ----------
    rows : set of int
        Their ``id``; the set holds for the flush that comes now.
    """
    session.info[_DISBELIEVED] = rows


def row_key(row: Base) -> str:
    """Return the primary key of a row as one text."""
    return json.dumps(
        [getattr(row, name) for name in _keys(type(row))], ensure_ascii=False, default=str
    )


def row_digest(row: Base) -> str:
    """Return the SHA-256 of a row's sealed columns as canonical JSON."""
    return _digest(row, is_new=False)


def _digest(row: Base, *, is_new: bool) -> str:
    state = sa.inspect(row)
    values: dict[str, Any] = {}
    for name in _columns(type(row)):
        # A column that a new row never set is NULL; asking the row would ask the database.
        unset = is_new and name not in state.dict and name not in state.expired_attributes
        values[name] = None if unset else getattr(row, name)
    return digest_of(type(row), values)


def digest_of(kind: type[Base], values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a row's sealed columns, given by name, as canonical JSON."""
    values = {name: values[name] for name in _columns(kind)}
    text = json.dumps(
        values, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a column of type {type(value).__name__} cannot be sealed")


def _columns(kind: type[Base]) -> list[str]:
    left_out = _LEFT_OUT[kind]
    return [column.key for column in sa.inspect(kind).column_attrs if column.key not in left_out]


def _keys(kind: type[Base]) -> list[str]:
    mapper = sa.inspect(kind)
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


def _sealed_only(rows: Iterable[object]) -> list[Base]:
    return [row for row in rows if isinstance(row, SEALED)]


def _refuse_edits(session: Session, _context: UOWTransaction, _instances: object) -> None:
    changed = [row for row in session.dirty if session.is_modified(row)]
    for row in (*changed, *session.deleted):
        if isinstance(row, _ADDED_ONLY):
            raise UnsealedChangeError(
                f"A row of {row.__tablename__} is never changed or deleted; add a new one."
            )


def _remember(session: Session, _context: UOWTransaction) -> None:
    waiting: dict[int, tuple[Base, bool]] = session.info.setdefault(_WAITING, {})
    for row in _sealed_only(session.new):
        waiting[id(row)] = (row, True)
    disbelieved: set[int] = session.info.get(_DISBELIEVED, set())
    for row in _sealed_only(session.dirty):
        if id(row) not in waiting and id(row) not in disbelieved and session.is_modified(row):
            waiting[id(row)] = (row, False)
    for row in _sealed_only(session.deleted):
        if id(row) not in disbelieved:
            waiting[id(row)] = (row, False)


def _refuse_statements(execution: ORMExecuteState) -> None:
    statement = execution.statement
    if not isinstance(statement, sa.Insert | sa.Update | sa.Delete):
        return
    name = getattr(statement.table, "name", "")
    if name in _SEALED_TABLES:
        raise UnsealedChangeError(
            f"Rows of {name} are sealed: add, change or delete them as objects of the session."
        )
