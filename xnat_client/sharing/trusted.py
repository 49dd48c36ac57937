"""Whether a row is what our own code wrote last: its digest against its last seal in the log.

A row that another program edited, added or brought back is not believed by whoever names readers.
Entries of the log that do not fit their own hash seal nothing. Not here: the seals themselves
(``audit.seals``), the verification of everything (``audit.verify``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing.audit import chain, seals
from xnat_client.sharing.database.tables import AuditEntry, Base

_KEPT = "winxnat.last-seals"


@dataclass
class _Kept:
    """The last seals of all rows as far as the log was read in this session."""

    sequence: int = 0
    hash: str = chain.FIRST_HASH
    seals: dict[tuple[str, str], str] = field(default_factory=dict)


def is_sealed(session: Session, row: Base) -> bool:
    """Tell whether a row is what the log says was written last."""
    kept = _last_seals(session).get((row.__tablename__, seals.row_key(row)))
    return kept is not None and kept == seals.row_digest(row)


def none_is_missing(session: Session, kind: type[Base], rows: Iterable[Base]) -> bool:
    """Tell whether all rows of a kind that the log knows, and none else, are as it says.

    Parameters
    ----------
    rows : iterable
        All rows of that kind in the table.
    """
    table = kind.__tablename__
    expected = {
        key: digest
        for (name, key), digest in _last_seals(session).items()
        if name == table and digest != seals.GONE
    }
    return expected == {seals.row_key(row): seals.row_digest(row) for row in rows}


def _last_seals(session: Session) -> dict[tuple[str, str], str]:
    # What this transaction wrote itself is sealed before it is compared.
    chain.seal_rest(session)
    kept: _Kept = session.info.get(_KEPT) or _Kept()
    if kept.sequence and _hash_of(session, kept.sequence) != kept.hash:
        kept = _Kept()  # a part of the transaction was taken back since
    newer = (
        sa.select(AuditEntry)
        .where(AuditEntry.sequence > kept.sequence)
        .order_by(AuditEntry.sequence)
    )
    for entry in session.scalars(newer):
        kept.sequence, kept.hash = entry.sequence, entry.hash
        if chain.entry_hash(entry) != entry.hash:
            continue
        for table, rows in entry.sealed.items():
            for key, digest in rows.items():
                kept.seals[table, key] = digest
    session.info[_KEPT] = kept
    return kept.seals


def _hash_of(session: Session, sequence: int) -> str | None:
    return session.execute(
        sa.select(AuditEntry.hash).where(AuditEntry.sequence == sequence)
    ).scalar_one_or_none()
