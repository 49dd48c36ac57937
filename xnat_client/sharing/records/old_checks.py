"""Published releases that were checked by older means: the officer's word that they may stay.

New criteria, or another version of the checks, make the evidence of a published release old. The
officer accepts that until a day, has the next version built (which checks again), or suspends.
Not here: the status and what it stops (``check.old_evidence``), adopting criteria (``criteria``).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import NotFoundError, UsageError
from xnat_client.sharing import trusted
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import CriteriaAcceptance, Release
from xnat_client.sharing.records import criteria, people
from xnat_client.sharing.vocabulary import Role

LONGEST = timedelta(days=365)
"""For so long at most; then the officer looks again."""


def accept(  # noqa: PLR0913  # who accepts what of which release until when
    session: Session,
    actor: Actor,
    release: Release,
    until: date,
    check_version: str,
    *,
    now: datetime,
) -> CriteriaAcceptance:
    """Put on record that a published release may stay as it was checked, until a day.

    Parameters
    ----------
    until : date
        Last day, in UTC.
    check_version : str
        Version of the checks as they are installed now.

    Raises
    ------
    UsageError
        The release was never published, no criteria are adopted, or the day is not within a year.
    """
    people.require_any_role(session, actor, Role.OFFICER, now=now)
    if release.published_at is None:
        raise UsageError(
            f"Release {release.family} {release.version} was never published; before that it is "
            "checked by the criteria in force. Check it again."
        )
    in_force = criteria.current(session)
    if in_force is None:
        raise UsageError("No list of criteria is adopted (winxnat share criteria adopt).")
    if not now.date() <= until <= now.date() + LONGEST:
        raise UsageError("Name a day from today to a year from now; then it is looked at again.")
    row = CriteriaAcceptance(
        release_pk=release.release_pk,
        criteria_version=in_force.version,
        check_version=check_version,
        until=until,
        person_id=actor.person_id,
        reason=actor.reason,
        made_at=now,
    )
    session.add(row)
    session.flush()
    after = {
        "acceptance": row.acceptance_pk,
        "criteria": row.criteria_version,
        "checks": check_version,
        "until": until.isoformat(),
    }
    change = chain.Change("criteria.accept-old", "release", str(release.release_pk), {}, after)
    chain.append(session, actor, change, now=now)
    return row


def revoke(session: Session, actor: Actor, release: Release, *, now: datetime) -> int:
    """Take back all acceptances of a release; return how many there were.

    Raises
    ------
    NotFoundError
        There is none to take back.
    """
    people.require_any_role(session, actor, Role.OFFICER, now=now)
    rows = _not_revoked(session, release.release_pk)
    if not rows:
        raise NotFoundError(f"Nothing is accepted of release {release.family} {release.version}.")
    for row in rows:
        row.revoked_at = now
    change = chain.Change("criteria.revoke-old", "release", str(release.release_pk))
    chain.append(session, actor, change, now=now)
    return len(rows)


def counting(
    session: Session, release: Release, check_version: str, now: datetime
) -> CriteriaAcceptance | None:
    """Return the acceptance that counts now; None if there is none, or another program wrote it.

    It speaks of the criteria and the version of the checks that were in force when it was given.
    """
    in_force = criteria.current(session)
    if in_force is None or release.published_at is None:
        return None
    for row in _not_revoked(session, release.release_pk):
        speaks_of_now = (row.criteria_version, row.check_version) == (
            in_force.version,
            check_version,
        )
        if speaks_of_now and now.date() <= row.until and trusted.is_sealed(session, row):
            return row
    return None


def _not_revoked(session: Session, release_pk: int) -> list[CriteriaAcceptance]:
    query = sa.select(CriteriaAcceptance).where(
        CriteriaAcceptance.release_pk == release_pk, CriteriaAcceptance.revoked_at.is_(None)
    )
    return list(session.scalars(query.order_by(CriteriaAcceptance.acceptance_pk.desc())))
