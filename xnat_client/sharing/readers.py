"""Who may read a release at this moment, why, and until when.

Everything is asked each time: state, log, signatures, consent, embargo, dates, acceptances. Rows
that do not fit their seals have no readers. Not here: how grants change (``grants``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing import standing, trusted
from xnat_client.sharing.database.tables import Acceptance, Grant, Person, Release
from xnat_client.sharing.records import agreements
from xnat_client.sharing.standing import not_before_mark
from xnat_client.sharing.vocabulary import READING_GRANTS, Level

GRANTED_LEVELS = frozenset({Level.NAMED, Level.EXTERNAL})
"""Levels whose readers are named one by one."""


@dataclass(frozen=True)
class Reader:
    """A person who may read a release now, why, and until when."""

    person_id: str
    why: str
    until: datetime | None


def readers_of(session: Session, release: Release, now: datetime) -> set[str] | None:
    """Return who may read a release now.

    Everything is asked again: state, log, signatures, consent, embargo, dates, acceptances.

    Parameters
    ----------
    now : datetime
        An earlier time than the records have seen is not believed.

    Returns
    -------
    set of str or None
        Persons by directory identity; None is everybody; empty is nobody outside the study team.
    """
    found = readers(session, release, now)
    return None if found is None else {one.person_id for one in found}


def readers(session: Session, release: Release, now: datetime) -> list[Reader] | None:
    """Return who may read a release now, with why and until when; see ``readers_of``."""
    session.flush()
    at = not_before_mark(session, now)
    current = session.get(Release, release.release_pk, populate_existing=True)
    if current is None or standing.objections(session, current, at):
        return []
    if current.level is Level.OPEN:
        return None
    if current.level is Level.MEMBERS:
        return _members(session, current, at)
    return _granted(session, current, at) if current.level in GRANTED_LEVELS else []


def _members(session: Session, release: Release, at: datetime) -> list[Reader]:
    if not release.agreement_id:
        return []
    accepted = _accepted(session, release.agreement_id, "", at)
    persons = session.scalars(
        sa.select(Person).where(Person.active.is_(True), Person.from_directory.is_(True))
    )
    return [
        Reader(one.person_id, "a member who accepted the policy", accepted[one.person_id])
        for one in persons
        if one.person_id in accepted and trusted.is_sealed(session, one)
    ]


def _granted(session: Session, release: Release, at: datetime) -> list[Reader]:
    accepted = None
    if release.agreement_id or release.level is Level.EXTERNAL:
        accepted = _accepted(session, release.agreement_id, release.family, at)
    rows = session.execute(
        sa.select(Grant, Person)
        .join(Person, Person.person_id == Grant.person_id)
        .where(
            Grant.family == release.family,
            Grant.level == release.level,
            Grant.state.in_(READING_GRANTS),
            Person.active.is_(True),
        )
    ).all()
    found = []
    for grant, person in rows:
        if grant.starts_at is None or grant.ends_at is None:
            continue
        runs = grant.starts_at <= at < grant.ends_at
        agreed = accepted is None or grant.person_id in accepted
        believed = trusted.is_sealed(session, grant) and trusted.is_sealed(session, person)
        if runs and agreed and believed:
            found.append(Reader(grant.person_id, f"grant {grant.grant_pk}", grant.ends_at))
    return found


def _accepted(
    session: Session, agreement_id: str, family: str, at: datetime
) -> dict[str, datetime]:
    """Return whose acceptance of a text counts, and until when it can."""
    counting = set(agreements.persons_who_accepted(session, agreement_id, family, at))
    rows = session.scalars(
        sa.select(Acceptance).where(
            Acceptance.agreement_id == agreement_id,
            Acceptance.family == family,
            Acceptance.expires_at > at,
        )
    )
    found: dict[str, datetime] = {}
    for row in rows:
        if row.person_id not in counting or not trusted.is_sealed(session, row):
            continue
        if agreements.standing(session, row, at) in agreements.COUNTING:
            found[row.person_id] = max(row.expires_at, found.get(row.person_id, row.expires_at))
    return found
