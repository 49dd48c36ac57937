"""Refusing to write over a row that another program edited, so that no seal covers the edit.

Our own code writes rows back whole: a change of one column of an edited row would seal all the
others with it, and nobody could find the edit any more. So before a sealed row is written, what
the database holds is compared with its last seal in the log. If they differ, only acts that close
go through, and the row stays without a seal: it is not believed, and ``verify`` goes on to report
it. Writing back exactly what the log knows mends the row. Not here: the seals (``seals``), asking
whether a row is believed (``xnat_client.sharing.trusted``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session, UOWTransaction, sessionmaker

from xnat_client.sharing.audit import chain, seals
from xnat_client.sharing.database import tables
from xnat_client.sharing.database.tables import AuditEntry, Base
from xnat_client.sharing.errors import RefusedByPolicyError

_KEPT = "winxnat.last-seals"
# What SQLAlchemy and the JSON reader raise for a stored word, number or text that is none.
_UNREADABLE = (LookupError, ValueError, TypeError, AttributeError)

_CLOSING: dict[type[Base], frozenset[str]] = {
    tables.Release: frozenset(
        {
            "state", "state_before_suspension", "suspended_reason", "withdrawn_reason", "applied",
            "checked_at", "approved_at",
        }
    ),
    tables.Grant: frozenset({"state", "ends_at", "closed_reason"}),
    tables.Approval: frozenset({"dropped_at"}),
    tables.RoleAssignment: frozenset({"until"}),
    tables.ConsentForm: frozenset({"accepted", "accepted_by", "accepted_at"}),
    tables.Statement: frozenset({"revoked_at"}),
    tables.CriteriaAcceptance: frozenset({"revoked_at"}),
    # The directory's word on everybody must not be held up by one edited row.
    tables.Person: frozenset(
        {"active", "from_directory", "name", "email", "institution", "orcid"}
    ),
    tables.Notice: frozenset({"sent_at", "failed_reason", "reminders_sent", "acknowledged_at",
                              "labels"}),
}  # fmt: skip
"""Columns that acts that close write, and acts that open nothing; they go through in any case."""

_OPENING = frozenset({"applied", "accepted"})
"""Of those, the columns that open something when they become true."""

_MAY_GO = (tables.Account,)
"""Rows that may be deleted although they were edited; the log goes on to miss them."""


@dataclass
class _Kept:
    """The last seals of all rows as far as the log was read in this session."""

    sequence: int = 0
    hash: str = chain.FIRST_HASH
    seals: dict[tuple[str, str], str] = field(default_factory=dict)


def watch(sessions: sessionmaker[Session]) -> None:
    """Make all sessions of a database look at what they are about to write over."""
    sa.event.listen(sessions, "before_flush", _look)


def last_seals(session: Session) -> dict[tuple[str, str], str]:
    """Return the last seal of every row, by table and key; empty if the log cannot be read.

    Entries of the log that do not fit their own hash seal nothing.
    """
    kept: _Kept = session.info.get(_KEPT) or _Kept()
    if kept.sequence and _hash_of(session, kept.sequence) != kept.hash:
        kept = _Kept()  # a part of the transaction was taken back since
    newer = (
        sa.select(AuditEntry)
        .where(AuditEntry.sequence > kept.sequence)
        .order_by(AuditEntry.sequence)
    )
    try:
        for entry in session.scalars(newer):
            kept.sequence, kept.hash = entry.sequence, entry.hash
            if chain.entry_hash(entry) != entry.hash:
                continue
            for table, rows in entry.sealed.items():
                for key, digest in rows.items():
                    kept.seals[table, key] = digest
    except _UNREADABLE:
        return {}
    session.info[_KEPT] = kept
    return kept.seals


def _hash_of(session: Session, sequence: int) -> str | None:
    return session.execute(
        sa.select(AuditEntry.hash).where(AuditEntry.sequence == sequence)
    ).scalar_one_or_none()


def _look(session: Session, _context: UOWTransaction, _instances: object) -> None:
    changed = [
        row for row in session.dirty if isinstance(row, seals.SEALED) and session.is_modified(row)
    ]
    deleted = [row for row in session.deleted if isinstance(row, seals.SEALED)]
    fresh = [row for row in (*changed, *deleted) if not seals.is_waiting(session, row)]
    known = last_seals(session) if fresh else {}
    edited = [row for row in fresh if not _is_as_known(session, row, known)]
    for row in edited:
        key = (row.__tablename__, seals.row_key(row))
        if row in session.deleted:
            may = isinstance(row, _MAY_GO)
        else:
            may = _only_closes(row) or seals.row_digest(row) == known.get(key)
        if not may:
            raise _refusal(*key)
    mended = {
        id(row)
        for row in edited
        if row not in session.deleted
        and seals.row_digest(row) == known.get((row.__tablename__, seals.row_key(row)))
    }
    seals.disbelieve(session, {id(row) for row in edited} - mended)


def _is_as_known(session: Session, row: Base, known: dict[tuple[str, str], str]) -> bool:
    """Tell whether the database holds what the log says of a row that is to be written."""
    kind = type(row)
    mapper = sa.inspect(kind)
    columns = [one.columns[0].label(one.key) for one in mapper.column_attrs]
    identity = sa.inspect(row).identity or ()
    same = [column == value for column, value in zip(mapper.primary_key, identity, strict=True)]
    try:
        stored = session.connection().execute(sa.select(*columns).where(*same)).mappings().first()
        digest = (
            None
            if stored is None
            else seals.digest_of(kind, {one.key: stored[one.key] for one in mapper.column_attrs})
        )
    except _UNREADABLE:
        return False
    key = json.dumps(list(identity), ensure_ascii=False, default=str)
    return digest is not None and digest == known.get((row.__tablename__, key))


def _only_closes(row: Base) -> bool:
    state = sa.inspect(row)
    changed = {one.key for one in state.mapper.column_attrs if state.attrs[one.key].history.added}
    opens = any(getattr(row, name) for name in changed & _OPENING)
    return not opens and changed <= _CLOSING.get(type(row), frozenset())


def _refusal(table: str, key: str) -> RefusedByPolicyError:
    parts = ", ".join(str(part) for part in json.loads(key))
    return RefusedByPolicyError(
        f"Cannot change row {parts} of {table}: another program edited it, and writing to it "
        "would hide that. Nothing was changed; ask the officer to look (winxnat audit verify)."
    )
