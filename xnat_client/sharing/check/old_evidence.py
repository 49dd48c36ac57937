"""Published releases whose evidence is older than the criteria, the checks, or a year.

Not here: the officer's acceptance itself (``records.old_checks``), evidence before publication
(``freshness``).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing import evidence
from xnat_client.sharing.check import freshness
from xnat_client.sharing.database.tables import Release
from xnat_client.sharing.records import old_checks
from xnat_client.sharing.vocabulary import READABLE_STATES, Level, ReleaseState

OPEN_CHECKS_LAST = timedelta(days=365)
"""An open release is read by everybody for ever, so it is checked again after a year."""


def is_out_of_date(session: Session, release: Release) -> bool:
    """Tell whether criteria or checks changed since a release was checked."""
    in_force = freshness.criteria_in_force(session)
    newest = evidence.newest(session, release.release_pk).values()
    return release.criteria_version != in_force or any(
        freshness.means_reasons(row, in_force) for row in newest
    )


def is_overdue(session: Session, release: Release, now: datetime) -> bool:
    """Tell whether an open release that was published was last checked more than a year ago."""
    if release.level is not Level.OPEN or release.published_at is None:
        return False
    newest = evidence.newest(session, release.release_pk).values()
    return any(now - row.made_at > OPEN_CHECKS_LAST for row in newest)


def status(session: Session, release: Release, now: datetime) -> str:
    """Say in one sentence how a release's checks stand after its publication; empty if well."""
    if release.published_at is None:
        return ""
    if is_overdue(session, release, now):
        return (
            "Checked more than a year ago: an open release must be checked again; build the next "
            "version, or suspend it."
        )
    if not is_out_of_date(session, release):
        return ""
    row = old_checks.counting(session, release, freshness.version_now(), now)
    if row is not None:
        return f"Checked by older means; accepted by the officer until {row.until.isoformat()}."
    return (
        "Checked by older means: the officer accepts that until a day (winxnat share criteria "
        "accept), has the next version built, or suspends it."
    )


def affected(session: Session, now: datetime) -> list[tuple[Release, str]]:
    """Return all releases that are, or can again be, read and whose checks are old, and how."""
    states = sorted(READABLE_STATES | {ReleaseState.SUSPENDED})
    rows = session.scalars(
        sa.select(Release).where(Release.state.in_(states)).order_by(Release.release_pk)
    ).all()
    said = [(row, status(session, row, now)) for row in rows]
    return [(row, what) for row, what in said if what]
