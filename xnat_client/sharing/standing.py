"""Whether a release stands where the table says: by the log, its signatures, consents, embargo.

The table's word alone opens nothing. Whoever asks for readers is answered from what cannot be
written by editing one row. Not here: events (``decisions``), persons (``grants``).
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing import approvals, clock, trusted
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import (
    AuditEntry,
    ConsentForm,
    ConsentRecord,
    Release,
    ReleaseParticipant,
    Statement,
)
from xnat_client.sharing.levels import APPROVERS
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import consent
from xnat_client.sharing.versions import version_key
from xnat_client.sharing.vocabulary import READABLE_STATES, DataType, Level, ReleaseState

_EMBARGO = 15
_STATES = {state.value: state for state in ReleaseState}
_ACTIONS = tuple(f"release.{event.value}" for event in ReleaseEvent)


def line(session: Session, family: str, level: Level) -> list[Release]:
    """Return all releases of a family at one level, oldest version first."""
    rows = session.scalars(
        sa.select(Release).where(Release.family == family, Release.level == level)
    )
    return sorted(rows, key=lambda row: version_key(row.version))


def same_line(session: Session, release: Release) -> list[Release]:
    """Return all releases of a release's family and level, oldest version first."""
    return line(session, release.family, release.level)


def recorded_state(session: Session, release_pk: int) -> ReleaseState | None:
    """Return the state that the log gives a release; None if it knows of no event.

    A state that was written into the table by another program does not count.
    """
    entry = session.scalars(
        sa.select(AuditEntry)
        .where(
            AuditEntry.object_kind == "release",
            AuditEntry.object_id == str(release_pk),
            AuditEntry.action.in_(_ACTIONS),
        )
        .order_by(AuditEntry.sequence.desc())
        .limit(1)
    ).first()
    if entry is None or chain.entry_hash(entry) != entry.hash:
        return None
    return _STATES.get(str(entry.after.get("state")))


def is_readable(session: Session, release: Release) -> bool:
    """Tell whether a release is in a state in which it has readers, by table and log alike."""
    return (
        release.state in READABLE_STATES
        and recorded_state(session, release.release_pk) is release.state
    )


def objections(session: Session, release: Release, now: datetime) -> list[str]:
    """Say why a release must not be read by anybody, whatever its state says.

    Asked each time when readers are named, so that consent that ended, a signature that does not
    fit, or an embargo that was put back close at once, before anybody fires an event.

    Returns
    -------
    list of str
        Empty if it may be read; participants are named by number.
    """
    if not is_readable(session, release):
        return ["The records and the log do not both say that it is readable."]
    if not trusted.is_sealed(session, release):
        return ["Its row in the records is not what the log says was written."]
    said = [
        one.what
        for one in approvals.set_findings(
            release.level,
            release.requested_by,
            approvals.votes(session, release, Decision.APPROVE),
        )
    ]
    if not APPROVERS[release.level]:
        said.append("A private release has no readers.")
    if not embargo_is_over(session, release, now):
        said.append("Its embargo has not passed.")
    return said + consent_objections(session, release)


def consent_objections(session: Session, release: Release) -> list[str]:
    """Say which participants of a release did not consent to its level and kinds of data."""
    rows = session.execute(
        sa.select(ReleaseParticipant.participant_pk, ReleaseParticipant.data_types).where(
            ReleaseParticipant.release_pk == release.release_pk
        )
    ).all()
    if not rows:
        return ["It lists no participants."]
    if not _histories_are_whole(session):
        return ["The histories of consent are not what the log says was written."]
    effective = consent.effective_for_study(session, release.study_pk)
    known = {kind.value: kind for kind in DataType}
    said = []
    for number, words in sorted((row.participant_pk, row.data_types) for row in rows):
        kinds = [known[word] for word in words if word in known]
        allowed = effective.get(number)
        if allowed is None or len(kinds) != len(words) or not kinds:
            said.append(f"What participant {number} consented to cannot be told.")
        elif not allowed.allows(release.level, kinds):
            said.append(f"The consent of participant {number} does not cover it.")
    return said


def _histories_are_whole(session: Session) -> bool:
    return all(
        trusted.none_is_missing(session, kind, session.scalars(sa.select(kind)).all())
        for kind in (ConsentRecord, ConsentForm)
    )


def embargo_is_over(session: Session, release: Release, now: datetime) -> bool:
    """Tell whether an embargo has passed, at the end of its day in UTC, or was waived."""
    if release.embargo_until is None:
        return True
    end = datetime.combine(release.embargo_until, time.min, UTC) + timedelta(days=1)
    return now >= end or _waiver(session, release) is not None


def _waiver(session: Session, release: Release) -> Statement | None:
    rows = session.scalars(
        sa.select(Statement).where(
            Statement.release_pk == release.release_pk,
            Statement.prerequisite == _EMBARGO,
            Statement.revoked_at.is_(None),
            Statement.role.in_(sorted(APPROVERS[release.level])),
        )
    )
    return next((row for row in rows if row.person_id != release.requested_by), None)


def not_before_mark(session: Session, now: datetime) -> datetime:
    """Return a time that is not earlier than any the records have seen; nothing is written."""
    latest = clock.latest_seen(session)
    return now if latest is None else max(now, latest)
