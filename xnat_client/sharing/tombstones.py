"""The list of withdrawals, outside the database: a restored backup must not undo them.

Lines of JSON that are only ever added, each with the SHA-256 of the one before. A line names a
participant's number, a release's family and version, or a grant's number, with salted digests of
what they stand for, so that a number that a restored database gave again to somebody else is
noticed. ``keep`` makes both sides agree and only ever closes: what either says is withdrawn is
withdrawn in both. Not here: what a withdrawal sets off (``withdrawal``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing import decisions, grants
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import (
    ConsentRecord,
    Grant,
    Participant,
    Release,
    Study,
)
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.grant_machine import GrantEvent
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import consent
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    GrantState,
    ReleaseState,
    WithdrawalReason,
)

FIRST_HASH = "0" * 64
_ORIGIN = "list of withdrawals"
_CLOSED_GRANTS = frozenset({GrantState.REVOKED, GrantState.ENDED})


@dataclass(frozen=True)
class Kept:
    """What making the list and the database agree took.

    Attributes
    ----------
    restored : int
        Withdrawals that the database lacked and now has.
    added : int
        Withdrawals that the list lacked and now has.
    pending : int
        Lines on participants, releases or grants that the database does not have (any more).
    broken_at : int or None
        First line that is not what was written, counted from 1; None if the list is whole.
    """

    restored: int
    added: int
    pending: int
    broken_at: int | None


def reapply(session: Session, home: Home, *, now: datetime) -> Kept:
    """Make the list and the database agree; called whenever records are opened."""
    return keep(session, home, now=now)


def keep(session: Session, home: Home, *, now: datetime) -> Kept:
    """Bring withdrawals of the list into the database, and those of the database into the list.

    Called in the transaction of a withdrawal, so that none is done before it is on the list, and
    when records are opened, so that a restored database obeys. A list that was damaged still
    closes what its readable lines name.
    """
    with _opened(home) as file:
        lines, broken_at = _read(file)
        known: set[str] = set()
        restored = pending = 0
        for line in lines:
            outcome = _APPLY.get(str(line.get("kind")), _unknown)(session, home, line, known, now)
            restored += outcome is True
            pending += outcome is None
        missing = [entry for key, entry in _in_database(session) if key not in known]
        _append(file, lines, missing, now)
    if restored:
        after = {"restored": restored, "broken_at": broken_at}
        change = chain.Change("withdrawals.reapply", "withdrawals", "list", {}, after)
        chain.append(session, _actor(), change, now=now)
    return Kept(restored, len(missing), pending, broken_at)


def add_labels(home: Home, family: str, labels: Iterable[str], *, now: datetime) -> None:
    """Add the digests of release labels that must not be served or found any more."""
    with _opened(home) as file:
        lines, _ = _read(file)
        known = {
            digest
            for line in lines
            if line.get("kind") == "labels" and line.get("family") == family
            for digest in line.get("labels_sha256", [])
        }
        new = sorted({label_digest(family, label) for label in labels} - known)
        if new:
            _append(file, lines, [{"kind": "labels", "family": family, "labels_sha256": new}], now)


def withdrawn_labels(home: Home, family: str) -> frozenset[str]:
    """Return the digests (``label_digest``) of a family's labels that are on the list."""
    with _opened(home) as file:
        lines, _ = _read(file)
    return frozenset(
        digest
        for line in lines
        if line.get("kind") == "labels" and line.get("family") == family
        for digest in line.get("labels_sha256", [])
    )


def label_digest(family: str, label: str) -> str:
    """Return what stands in the list for a release label."""
    return hashlib.sha256(f"{family}\n{label}".encode()).hexdigest()


def first_broken_line(home: Home) -> int | None:
    """Return the first line of the list that is not what was written, None if it is whole."""
    with _opened(home) as file:
        return _read(file)[1]


@contextmanager
def _opened(home: Home) -> Iterator[IO[str]]:
    descriptor = os.open(home.tombstones_path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8", newline="\n") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _read(file: IO[str]) -> tuple[list[dict[str, Any]], int | None]:
    """Return the readable lines, and the number of the first that breaks the chain."""
    file.seek(0)
    lines: list[dict[str, Any]] = []
    broken_at: int | None = None
    previous = FIRST_HASH
    for number, text in enumerate(file.read().splitlines(), start=1):
        try:
            line = json.loads(text)
            intact = line["previous"] == previous and line["hash"] == _hash(line)
        except (ValueError, KeyError, TypeError):
            broken_at = broken_at or number
            continue
        if not intact:
            broken_at = broken_at or number
        previous = line["hash"]
        lines.append(line)
    return lines, broken_at


def _append(
    file: IO[str],
    lines: list[dict[str, Any]],
    entries: Iterable[Mapping[str, Any]],
    now: datetime,
) -> None:
    file.seek(0, os.SEEK_END)
    if file.tell() and not _ends_with_newline(file):
        file.write("\n")  # the rest of a line whose writing was broken off
    previous = lines[-1]["hash"] if lines else FIRST_HASH
    for entry in entries:
        line = {**entry, "at": now.isoformat(timespec="seconds"), "previous": previous}
        line["hash"] = previous = _hash(line)
        file.write(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n")
    file.flush()
    os.fsync(file.fileno())


def _ends_with_newline(file: IO[str]) -> bool:
    file.flush()
    size_bytes = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), 1, size_bytes - 1) == b"\n"


def _hash(line: Mapping[str, Any]) -> str:
    said = {name: value for name, value in line.items() if name != "hash"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _salted(salt: str, *parts: object) -> str:
    return hashlib.sha256("\n".join([salt, *map(str, parts)]).encode()).hexdigest()


def _actor() -> Actor:
    return service("the list of withdrawals outside the database demands it")


# What the lines of each kind say, and how they are brought into the database. Each function
# returns True if something was closed now, False if it was closed already, None if it is not there.


def _apply_participant(
    session: Session, _home: Home, line: Mapping[str, Any], known: set[str], now: datetime
) -> bool | None:
    row = _participant_of(session, line)
    if row is None:
        return None
    event, given_on = ConsentEvent(line["event"]), date.fromisoformat(line["given_on"])
    known.add(_participant_key(row.participant_pk, event, given_on))
    if any(one.event is event and one.given_on == given_on for one in row.consents):
        return False
    again = ConsentLine(event, given_on, origin=_ORIGIN)
    consent.record(session, _actor(), row.participant_pk, again, now=now)
    session.expire(row, ["consents"])
    return True


def _participant_of(session: Session, line: Mapping[str, Any]) -> Participant | None:
    row = session.get(Participant, line["participant"])
    if row is not None and _participant_digest(session, row, line["salt"]) == line["sha256"]:
        return row
    # A restored database may have given the number to somebody else.
    for other in session.scalars(sa.select(Participant)):
        if _participant_digest(session, other, line["salt"]) == line["sha256"]:
            return other
    return None


def _participant_digest(session: Session, row: Participant, salt: str) -> str:
    study = session.get_one(Study, row.study_pk)
    return _salted(salt, study.server, study.project_id, row.source_label)


def _participant_key(participant_pk: int, event: ConsentEvent, given_on: date) -> str:
    return f"participant {participant_pk} {event.value} {given_on.isoformat()}"


def _apply_release(
    session: Session, home: Home, line: Mapping[str, Any], known: set[str], now: datetime
) -> bool | None:
    key = sa.select(Release).where(
        Release.family == line["family"], Release.version == line["version"]
    )
    row = session.scalars(key).first()
    if row is None:
        return None
    known.add(_release_key(row))
    if row.state is ReleaseState.WITHDRAWN:
        return False
    reason = WithdrawalReason(line["reason"])
    decisions.fire(
        session, home, _actor(), row, ReleaseEvent.WITHDRAW, now=now, reason_class=reason
    )
    return True


def _release_key(row: Release) -> str:
    return f"release {row.family} {row.version}"


def _apply_grant(
    session: Session, _home: Home, line: Mapping[str, Any], known: set[str], now: datetime
) -> bool | None:
    query = sa.select(Grant).where(Grant.family == line["family"])
    for row in session.scalars(query):
        if _grant_digest(row, line["salt"]) == line["sha256"]:
            known.add(_grant_key(row))
            if row.state in _CLOSED_GRANTS:
                return False
            grants.fire(session, _actor(), row, GrantEvent.REVOKE, now=now)
            return True
    return None


def _grant_digest(row: Grant, salt: str) -> str:
    at = row.requested_at.isoformat(timespec="seconds")
    return _salted(salt, row.person_id, row.family, row.level.name, at)


def _grant_key(row: Grant) -> str:
    return f"grant {row.grant_pk}"


def _unknown(
    _session: Session, _home: Home, _line: Mapping[str, Any], _known: set[str], _now: datetime
) -> bool | None:
    return False


_APPLY = {"participant": _apply_participant, "release": _apply_release, "grant": _apply_grant}


def _in_database(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and line of everything that the database says is withdrawn."""
    lines = sa.select(ConsentRecord, Participant).join(
        Participant, Participant.participant_pk == ConsentRecord.participant_pk
    )
    of_withdrawal = ConsentRecord.event.in_(consent.WITHDRAWALS)
    seen: set[str] = set()
    for row, participant in session.execute(lines.where(of_withdrawal)):
        key = _participant_key(row.participant_pk, row.event, row.given_on)
        if key in seen:
            continue
        seen.add(key)
        salt = secrets.token_hex(16)
        yield (
            key,
            {
                "kind": "participant",
                "participant": row.participant_pk,
                "event": row.event.value,
                "given_on": row.given_on.isoformat(),
                "salt": salt,
                "sha256": _participant_digest(session, participant, salt),
            },
        )
    withdrawn = sa.select(Release).where(Release.state == ReleaseState.WITHDRAWN)
    for release in session.scalars(withdrawn):
        yield (
            _release_key(release),
            {
                "kind": "release",
                "family": release.family,
                "version": release.version,
                "reason": release.withdrawn_reason or WithdrawalReason.ERROR.value,
                "manifest_sha256": release.manifest_sha256,
            },
        )
    closed = sa.select(Grant).where(Grant.state.in_(_CLOSED_GRANTS))
    for grant in session.scalars(closed):
        salt = secrets.token_hex(16)
        yield (
            _grant_key(grant),
            {
                "kind": "grant",
                "family": grant.family,
                "salt": salt,
                "sha256": _grant_digest(grant, salt),
            },
        )
