"""Verifying that the audit log is whole, and that the tables are what it says was written.

Three questions, each answered with the place where it breaks: does each entry fit its own hash
and the entry before it; does each sealed row fit its last seal; does the log still hold what
signed checkpoints saw. Whoever can write to the database can rebuild a whole chain with all its
seals, so only a checkpoint that is kept elsewhere proves that nobody did. Not here: making
checkpoints (``checkpoints``), adding entries (``chain``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing.audit import seals
from xnat_client.sharing.audit.chain import FIRST_HASH, entry_hash
from xnat_client.sharing.audit.checkpoints import Checkpoint
from xnat_client.sharing.database.tables import AuditEntry, Base

_BATCH = 1000
# What SQLAlchemy and the JSON reader raise for a stored word, number or text that is none.
_UNREADABLE = (LookupError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True)
class Break:
    """One place where the records are not what they were.

    Attributes
    ----------
    place : str
        Which entry, row or checkpoint.
    what : str
        What was found there against what was expected.
    """

    place: str
    what: str


@dataclass(frozen=True)
class Verdict:
    """What a verification looked at and found.

    Attributes
    ----------
    entries, rows, checkpoints : int
        How many were looked at.
    head : str
        Hash of the last entry.
    breaks : tuple of Break
        In the order of the log; empty if all is whole.
    """

    entries: int
    rows: int
    checkpoints: int
    head: str
    breaks: tuple[Break, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is broken."""
        return not self.breaks


def verify(
    session: Session, checkpoints: Sequence[Checkpoint] = (), public_key: str = ""
) -> Verdict:
    """Recompute the log and compare tables and checkpoints with it.

    Parameters
    ----------
    session : Session
        A session of ``Database.transaction``.
    checkpoints : sequence of Checkpoint
        Heads that were signed earlier, best from another place.
    public_key : str
        The site's public key as it was noted elsewhere, in base64; empty accepts any key, which
        then must be the same in all checkpoints.

    Notes
    -----
    Time and memory grow with the number of entries and sealed rows: some 20,000 a second.
    """
    walk = _Walk()
    try:
        for sequence, entry in _entries(session):
            walk.take(sequence, entry)
        rows, row_breaks = _verify_rows(session, walk.seals)
    except sa.exc.DatabaseError:
        damage = Break("database", "The database itself is damaged and cannot be read to its end.")
        return Verdict(walk.entries, 0, 0, walk.head, (*walk.breaks, damage))
    marks = _verify_checkpoints(checkpoints, walk.hashes, public_key)
    return Verdict(
        walk.entries, rows, len(checkpoints), walk.head, (*walk.breaks, *row_breaks, *marks)
    )


class _Walk:
    """The chain from its beginning: what has been seen so far."""

    def __init__(self) -> None:
        self.entries = 0
        self.head = FIRST_HASH
        self.sequence = 0
        self.hashes: dict[int, str] = {}
        self.seals: dict[tuple[str, str], tuple[str, int]] = {}
        self.breaks: list[Break] = []

    def take(self, sequence: int, entry: AuditEntry | None) -> None:
        """Compare one entry with itself and the one before."""
        self.entries += 1
        is_next = sequence == self.sequence + 1
        if not is_next:
            self._missing(self.sequence + 1, sequence - 1)
        self.sequence = sequence
        place = f"entry {sequence}"
        expected = None if entry is None else _hash_or_none(entry)
        if entry is None or expected is None:
            self.breaks.append(Break(place, "It holds something that cannot be read."))
            self.head = ""
            return
        if expected != entry.hash:
            self.breaks.append(Break(place, "It was changed after it was written."))
        elif is_next and self.head and entry.previous_hash != self.head:
            self.breaks.append(Break(place, "It does not follow from the entry before it."))
        self.head = entry.hash
        self.hashes[sequence] = entry.hash
        # The seals of a changed entry still count: the entry itself is reported, and a row that
        # fits its seal is not what was changed.
        for table, key, digest in _seals_of(entry):
            self.seals[table, key] = (digest, sequence)

    def _missing(self, first: int, last: int) -> None:
        if last < first:
            self.breaks.append(Break(f"entry {last + 1}", "It stands where no entry can stand."))
            return
        place = f"entry {first}" if first == last else f"entries {first} to {last}"
        self.breaks.append(Break(place, "Missing from the log."))


def _seals_of(entry: AuditEntry) -> Iterator[tuple[str, str, str]]:
    stored: Any = entry.sealed
    for table, rows in stored.items() if isinstance(stored, dict) else ():
        for key, digest in rows.items() if isinstance(rows, dict) else ():
            yield table, key, str(digest)


def _hash_or_none(entry: AuditEntry) -> str | None:
    try:
        return entry_hash(entry)
    except _UNREADABLE:
        return None


def _entries(session: Session) -> Iterator[tuple[int, AuditEntry | None]]:
    numbers = session.scalars(sa.select(AuditEntry.sequence).order_by(AuditEntry.sequence)).all()
    for start in range(0, len(numbers), _BATCH):
        batch = numbers[start : start + _BATCH]
        chosen = sa.select(AuditEntry).where(AuditEntry.sequence.in_(batch))
        try:
            found = {entry.sequence: entry for entry in session.scalars(chosen)}
        except _UNREADABLE:
            found = _one_by_one(session, batch)
        for number in batch:
            yield number, found.get(number)
        session.expunge_all()


def _one_by_one(session: Session, numbers: Iterable[int]) -> dict[int, AuditEntry]:
    found = {}
    for number in numbers:
        try:
            entry = session.get(AuditEntry, number)
        except _UNREADABLE:
            continue  # reported by who finds it missing here
        if entry is not None:
            found[number] = entry
    return found


def _verify_rows(
    session: Session, sealed: dict[tuple[str, str], tuple[str, int]]
) -> tuple[int, list[Break]]:
    breaks: list[Break] = []
    seen: set[tuple[str, str]] = set()
    for kind in seals.SEALED:
        for key, digest in _digests(session, kind):
            seen.add((kind.__tablename__, key))
            broken = _compare(kind.__tablename__, key, digest, sealed)
            if broken is not None:
                breaks.append(broken)
        session.expunge_all()
    for (table, key), (digest, sequence) in sealed.items():
        if digest != seals.GONE and (table, key) not in seen:
            breaks.append(Break(_row(table, key), f"Missing; entry {sequence} recorded it."))
    return len(seen), breaks


def _compare(
    table: str, key: str, digest: str | None, sealed: dict[tuple[str, str], tuple[str, int]]
) -> Break | None:
    expected, sequence = sealed.get((table, key), (seals.GONE, 0))
    if digest is None:
        return Break(_row(table, key), "It holds something that cannot be read.")
    if not sequence:
        return Break(_row(table, key), "No entry of the log speaks of it.")
    if expected == seals.GONE:
        return Break(_row(table, key), f"It is here although entry {sequence} recorded its end.")
    if digest != expected:
        return Break(_row(table, key), f"It was changed after entry {sequence} recorded it.")
    return None


def _digests(session: Session, kind: type[Base]) -> Iterator[tuple[str, str | None]]:
    try:
        rows = session.scalars(sa.select(kind)).all()
    except _UNREADABLE:
        yield from _digests_one_by_one(session, kind)
        return
    for row in rows:
        yield seals.row_key(row), seals.row_digest(row)


def _digests_one_by_one(session: Session, kind: type[Base]) -> Iterator[tuple[str, str | None]]:
    keys = session.execute(sa.select(*sa.inspect(kind).primary_key)).all()
    for key in keys:
        text = json.dumps(list(key), ensure_ascii=False, default=str)
        try:
            row: Any = session.get(kind, tuple(key))
            yield text, None if row is None else seals.row_digest(row)
        except _UNREADABLE:
            yield text, None


def _row(table: str, key: str) -> str:
    try:
        parts = ", ".join(str(part) for part in json.loads(key))
    except _UNREADABLE:
        parts = "of unreadable number"
    return f"row {parts} of {table}"


def _verify_checkpoints(
    checkpoints: Sequence[Checkpoint], hashes: dict[int, str], public_key: str
) -> Iterator[Break]:
    last = max(hashes, default=0)
    keys = {checkpoint.public_key for checkpoint in checkpoints}
    if public_key:
        keys.add(public_key)
    for checkpoint in checkpoints:
        place = f"checkpoint of {checkpoint.at.isoformat(timespec='seconds')}"
        if not checkpoint.is_signed_by(public_key or checkpoint.public_key):
            yield Break(place, "Its signature does not fit it, or is not of the expected key.")
        elif checkpoint.sequence > last:
            yield Break(
                place,
                f"It saw entry {checkpoint.sequence}; the log ends at entry {last} now: "
                "its end was cut off.",
            )
        elif hashes.get(checkpoint.sequence) != checkpoint.head:
            yield Break(
                place,
                f"Entry {checkpoint.sequence} is not the one it saw: the log was rewritten at or "
                "before that entry.",
            )
    if len(keys) > 1:
        yield Break("checkpoints", "They are signed with more than one key.")
