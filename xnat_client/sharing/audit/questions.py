"""Questions to the audit log: who could read what, when, and why.

The answer is put together from the log's entries on states, not from the tables as they are now:
a grant that has ended, or a release that was closed, is still in it. It says who *could* read;
who did is in the lists of downloads, if the site keeps them. What was open on a server against
the declarations (exposures) is told beside it. Not here: verification (``verify``); ask it first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing.database.tables import (
    Acceptance,
    Approval,
    AuditEntry,
    Exposure,
    Grant,
    Person,
    Release,
)
from xnat_client.sharing.vocabulary import (
    READABLE_STATES,
    READING_GRANTS,
    DriftClass,
    Level,
)

EVERYBODY = "everybody"
"""Stands for the readers of an open release."""

_FOREVER = datetime.max.replace(tzinfo=UTC)
_READABLE = frozenset(state.value for state in READABLE_STATES)
_READING = frozenset(state.value for state in READING_GRANTS)
_SHOWS_NO_MORE = (DriftClass.UNDER_EXPOSED, DriftClass.GHOST, DriftClass.STALE)
"""Differences by which nobody could read anything that was not declared."""


@dataclass(frozen=True)
class Span:
    """A stretch of time; ``until`` None while it lasts, ``entries`` that begin and end it."""

    since: datetime
    until: datetime | None
    entries: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reading:
    """That somebody could read a release for a while.

    Attributes
    ----------
    release : str
        Family and version.
    level : Level
        For whom the release was.
    person_id : str
        Directory identity, or ``EVERYBODY``.
    since : datetime
        From when, in UTC.
    until : datetime or None
        Until when; None if it lasts.
    why : str
        By which grant or acceptance, and who approved.
    entries : tuple of int
        The entries of the log that say so.
    """

    release: str
    level: Level
    person_id: str
    since: datetime
    until: datetime | None
    why: str
    entries: tuple[int, ...]


@dataclass(frozen=True)
class Opening:
    """That a server showed more than was declared, as the loop found it.

    ``not_before`` is the last time it was seen to be in order.
    """

    server: str
    project_id: str
    what: str
    not_before: datetime | None
    found_at: datetime
    closed_at: datetime | None


def readers(
    session: Session, release: Release, *, person_id: str = "", at: datetime | None = None
) -> list[Reading]:
    """Return who could read a release, in the order in which they began.

    Parameters
    ----------
    session : Session
        A session of ``Database.transaction``.
    person_id : str
        Only this person; empty for all.
    at : datetime or None
        Only who could at this time; None for all times.
    """
    spans = _spans(session, "release", str(release.release_pk), _READABLE)
    approvals = _approvals(session, release)
    found = [
        Reading(
            f"{release.family} {release.version}",
            release.level,
            who,
            both.since,
            both.until,
            f"{why}; release approved by {approvals}",
            both.entries,
        )
        for who, mine, why in _permissions(session, release)
        for both in _both(spans, mine)
    ]
    if person_id:
        found = [one for one in found if one.person_id in {person_id, EVERYBODY}]
    if at is not None:
        found = [one for one in found if one.since <= at and (one.until is None or at < one.until)]
    return sorted(found, key=lambda one: (one.since, one.person_id))


def openings(session: Session, release: Release) -> list[Opening]:
    """Return when the release's project was seen to show more than was declared."""
    rows = session.scalars(
        sa.select(Exposure)
        .where(
            Exposure.server == release.server,
            Exposure.project_id == release.project_id,
            Exposure.drift.not_in(_SHOWS_NO_MORE),
        )
        .order_by(Exposure.exposure_pk)
    )
    return [
        Opening(
            row.server,
            row.project_id,
            f"{row.drift.value}: {row.what}",
            row.last_good_at,
            row.found_at,
            row.closed_at,
        )
        for row in rows
    ]


def _permissions(session: Session, release: Release) -> list[tuple[str, Sequence[Span], str]]:
    if release.level is Level.OPEN:
        always = [Span(datetime.min.replace(tzinfo=UTC), None)]
        return [(EVERYBODY, always, "open release")]
    if release.level is Level.MEMBERS:
        return _members(session, release)
    rows = session.scalars(
        sa.select(Grant)
        .where(Grant.family == release.family, Grant.level == release.level)
        .order_by(Grant.grant_pk)
    )
    return [(row.person_id, _grant_spans(session, row), _why_grant(session, row)) for row in rows]


def _grant_spans(session: Session, grant: Grant) -> list[Span]:
    spans = _spans(session, "grant", str(grant.grant_pk), _READING)
    # Nobody reads after the grant's end, also where the loop noted the end later.
    last = grant.ends_at or _FOREVER
    return [
        Span(
            one.since, min(one.until or last, last) if last != _FOREVER else one.until, one.entries
        )
        for one in spans
        if one.since < last
    ]


def _why_grant(session: Session, grant: Grant) -> str:
    accepted = session.get(Acceptance, grant.acceptance_pk) if grant.acceptance_pk else None
    terms = "no agreement recorded"
    if accepted is not None:
        terms = (
            f"agreement {accepted.agreement_id} {accepted.version} accepted on "
            f"{accepted.accepted_at.date().isoformat()}"
        )
    by = f", approved by {grant.approved_by}" if grant.approved_by else ""
    return f"grant {grant.grant_pk}: {terms}{by}"


def _members(session: Session, release: Release) -> list[tuple[str, Sequence[Span], str]]:
    rows = session.execute(
        sa.select(Acceptance, Person)
        .join(Person, Person.person_id == Acceptance.person_id)
        .where(
            Acceptance.agreement_id == release.agreement_id,
            Acceptance.family.in_(["", release.family]),
        )
        .order_by(Acceptance.acceptance_pk)
    )
    directory = _entries(session, "directory", "members")
    found: list[tuple[str, Sequence[Span], str]] = []
    for accepted, person in rows:
        lasts = [Span(accepted.accepted_at, accepted.expires_at)]
        turns = _turns(session, person.person_id, directory)
        spans = _both(lasts, _membership(person, turns))
        day = accepted.accepted_at.date().isoformat()
        why = f"member; policy {accepted.agreement_id} {accepted.version} accepted on {day}"
        found.append((person.person_id, spans, why))
    return found


@dataclass(frozen=True)
class _Turn:
    """What one entry says of a person: whether active, whether in the directory; None: nothing."""

    at: datetime
    sequence: int
    active: bool | None = None
    member: bool | None = None


def _membership(person: Person, turns: Sequence[_Turn]) -> list[Span]:
    """Return when a person was an active member of the directory, as far as the log tells."""
    actives = [one.active for one in turns if one.active is not None]
    members = [one.member for one in turns if one.member is not None]
    # Before its first entry something was the opposite; without an entry it is as it is now.
    active = not actives[0] if actives else person.active
    member = not members[0] if members else person.from_directory
    spans: list[Span] = []
    since: tuple[datetime, tuple[int, ...]] | None = None
    if active and member:
        since = (datetime.min.replace(tzinfo=UTC), ())
    for turn in turns:
        active = active if turn.active is None else turn.active
        member = member if turn.member is None else turn.member
        if active and member and since is None:
            since = (turn.at, (turn.sequence,))
        elif since is not None and not (active and member):
            spans.append(Span(since[0], turn.at, (*since[1], turn.sequence)))
            since = None
    if since is not None:
        spans.append(Span(since[0], None, since[1]))
    return spans


def _turns(session: Session, person_id: str, directory: Sequence[AuditEntry]) -> list[_Turn]:
    found = [
        _Turn(one.at, one.sequence, active=bool(one.after["active"]))
        for one in _entries(session, "person", person_id)
        if "active" in one.after
    ]
    for one in directory:
        if person_id in one.after.get("joined", ()):
            found.append(_Turn(one.at, one.sequence, member=True))
        if person_id in one.after.get("left", ()):
            found.append(_Turn(one.at, one.sequence, active=False, member=False))
    return sorted(found, key=lambda one: one.sequence)


def _spans(session: Session, kind: str, object_id: str, states: Iterable[str]) -> list[Span]:
    """Return when an object was in one of some states, by the log."""
    wanted = set(states)
    spans: list[Span] = []
    since: tuple[datetime, int] | None = None
    for entry in _entries(session, kind, object_id):
        state = entry.after.get("state")
        if state is None:
            continue
        if state in wanted and since is None:
            since = (entry.at, entry.sequence)
        elif state not in wanted and since is not None:
            spans.append(Span(since[0], entry.at, (since[1], entry.sequence)))
            since = None
    if since is not None:
        spans.append(Span(since[0], None, (since[1],)))
    return spans


def _entries(session: Session, kind: str, object_id: str) -> list[AuditEntry]:
    chosen = sa.select(AuditEntry).where(
        AuditEntry.object_kind == kind, AuditEntry.object_id == object_id
    )
    return list(session.scalars(chosen.order_by(AuditEntry.sequence)))


def _both(first: Sequence[Span], second: Sequence[Span]) -> list[Span]:
    """Return when both lasted."""
    found = []
    for one in first:
        for other in second:
            since = max(one.since, other.since)
            until = min(one.until or _FOREVER, other.until or _FOREVER)
            if since < until:
                entries = tuple(sorted({*one.entries, *other.entries}))
                found.append(Span(since, None if until == _FOREVER else until, entries))
    return found


def _approvals(session: Session, release: Release) -> str:
    rows = session.scalars(
        sa.select(Approval)
        .where(
            Approval.release_pk == release.release_pk,
            Approval.approved.is_(True),
            Approval.manifest_sha256 == release.manifest_sha256,
        )
        .order_by(Approval.approval_pk)
    )
    names = dict.fromkeys(f"{row.person_id} ({row.role.value})" for row in rows)
    return ", ".join(names) or "nobody"
