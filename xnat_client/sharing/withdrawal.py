"""What the withdrawal of a consent sets off: releases closed at once, recipients told.

Three classes, as large studies have them: *no further contact* leaves sharing as it was; *no
further sharing* leaves the data with the study's team alone; *delete everything* takes them from
the team too. The last two close every release with the participant in the same transaction that
records the withdrawal; the servers follow with the next cycle of the loop. Not here: telling those
who have copies (``telling``), the consent history (``records.consent``), the list that a restored
backup obeys (``tombstones``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import BadInputError
from xnat_client.sharing import decisions, tombstones
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.database.tables import (
    Release,
    ReleaseParticipant,
)
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import consent
from xnat_client.sharing.records.consent import WITHDRAWALS, ConsentLine, Effective
from xnat_client.sharing.versions import major_of
from xnat_client.sharing.vocabulary import (
    READABLE_STATES,
    ConsentEvent,
    DataType,
    Level,
    ReleaseState,
)

_ON_THE_WAY = frozenset(
    {
        ReleaseState.CHECKED,
        ReleaseState.PROPOSED,
        ReleaseState.APPROVED,
        ReleaseState.EMBARGOED,
    }
)


class Effect(StrEnum):
    """What a withdrawal did to one release."""

    CLOSED = "closed"
    CLOSED_BEFORE = "closed before"
    APPROVAL_DROPPED = "approval dropped"
    BUILD_AGAIN = "build again"
    ENDED_BEFORE = "withdrawn before"


@dataclass(frozen=True)
class Affected:
    """A release with the participant, and what became of it."""

    release_pk: int
    name: str
    level: Level
    effect: Effect


@dataclass(frozen=True)
class Withdrawn:
    """What a withdrawal did and what people must do now.

    Attributes
    ----------
    participant_pk : int
        The participant's number.
    event : ConsentEvent
        What was withdrawn.
    releases : tuple of Affected
        Every release with the participant.
    tasks : tuple of str
        What is left to people, one sentence each.
    """

    participant_pk: int
    event: ConsentEvent
    releases: tuple[Affected, ...]
    tasks: tuple[str, ...]


def withdraw(  # noqa: PLR0913  # who withdraws whose what, and when it was said
    session: Session,
    home: Home,
    actor: Actor,
    participant_pk: int,
    event: ConsentEvent,
    *,
    given_on: date,
    now: datetime,
) -> Withdrawn:
    """Record a withdrawal and close what it touches, all in the caller's transaction.

    Parameters
    ----------
    session : Session
        A session of ``Database.transaction``.
    event : ConsentEvent
        One of the three classes; not ``GIVEN``.
    given_on : date
        The day on which the participant said it.

    Raises
    ------
    BadInputError
        The event gives consent.
    NotFoundError, NotAllowedError, UsageError
        As ``records.consent.record``.
    """
    if event is ConsentEvent.GIVEN:
        raise BadInputError("A consent that is given is no withdrawal; record it as a consent.")
    consent.record(session, actor, participant_pk, ConsentLine(event, given_on), now=now)
    if event not in WITHDRAWALS:
        return Withdrawn(participant_pk, event, (), ())
    tombstones.keep(session, home, now=now)
    reason = f"consent of participant {participant_pk} was withdrawn ({event.value})"
    releases = releases_with(session, participant_pk)
    affected = tuple(_close(session, home, release, reason, now) for release in releases)
    return Withdrawn(participant_pk, event, affected, _tasks(event, affected))


def enforce(session: Session, home: Home, *, now: datetime) -> tuple[Affected, ...]:
    """Close every release whose participants' consent does not allow it as it is now.

    For the loop, and for records that came back from a backup: whatever was missed is caught.
    A form that is no longer accepted closes as a withdrawal does, for unknown is no.
    """
    closed = []
    known: dict[int, dict[int, Effective]] = {}
    for release in session.scalars(
        sa.select(Release)
        .where(Release.state.in_(READABLE_STATES | _ON_THE_WAY))
        .order_by(Release.release_pk)
    ).all():
        if release.study_pk not in known:
            known[release.study_pk] = consent.effective_for_study(session, release.study_pk)
        count = _without_consent(session, release, known[release.study_pk])
        if count:
            reason = f"{count} of its participants do not consent to it now"
            closed.append(_close(session, home, release, reason, now))
    return tuple(closed)


def next_version(version: str) -> str:
    """Return the number of the version without a participant: the next major one.

    Raises
    ------
    BadInputError
        The version is not of the form MAJOR.MINOR.PATCH.
    """
    major = major_of(version)
    if major is None:
        raise BadInputError(f"Version {version} is not of the form MAJOR.MINOR.PATCH.")
    return f"{major + 1}.0.0"


def releases_with(session: Session, participant_pk: int) -> list[Release]:
    """Return every release in which a participant's data are."""
    chosen = sa.select(Release).join(
        ReleaseParticipant, ReleaseParticipant.release_pk == Release.release_pk
    )
    return list(
        session.scalars(
            chosen.where(ReleaseParticipant.participant_pk == participant_pk).order_by(
                Release.release_pk
            )
        )
    )


def _close(session: Session, home: Home, release: Release, reason: str, now: datetime) -> Affected:
    effect = {
        ReleaseState.DRAFT: Effect.BUILD_AGAIN,
        ReleaseState.SUSPENDED: Effect.CLOSED_BEFORE,
        ReleaseState.WITHDRAWN: Effect.ENDED_BEFORE,
    }.get(release.state)
    actor = service(reason, "records")
    if release.state in READABLE_STATES:
        decisions.fire(session, home, actor, release, ReleaseEvent.SUSPEND, now=now)
        effect = Effect.CLOSED
    elif release.state in _ON_THE_WAY:
        decisions.fire(session, home, actor, release, ReleaseEvent.STALE, now=now)
        effect = Effect.APPROVAL_DROPPED
    if effect is None:
        raise ValueError(f"no effect is known for a release that is {release.state}")
    return Affected(release.release_pk, release_name(release), release.level, effect)


def _without_consent(session: Session, release: Release, consents: dict[int, Effective]) -> int:
    rows = session.execute(
        sa.select(ReleaseParticipant.participant_pk, ReleaseParticipant.data_types).where(
            ReleaseParticipant.release_pk == release.release_pk
        )
    )
    nothing = Effective(None, unknown="no record")
    return sum(
        not consents.get(number, nothing).allows(release.level, [DataType(kind) for kind in kinds])
        for number, kinds in rows
    )


def _tasks(event: ConsentEvent, affected: Iterable[Affected]) -> tuple[str, ...]:
    tasks = []
    effects = {one.effect for one in affected}
    if effects & {Effect.CLOSED, Effect.CLOSED_BEFORE}:
        tasks.append(
            "The servers close with the next cycle of the loop; run 'winxnat share watch --once' "
            "now if it is not running."
        )
    if effects & {Effect.CLOSED, Effect.CLOSED_BEFORE, Effect.ENDED_BEFORE}:
        tasks.append(
            "The custodian tells the recipients within two days: 'winxnat share notices make'."
        )
    if effects - {Effect.ENDED_BEFORE}:
        tasks.append("The study's team builds the next version; the participant is left out of it.")
    if event is ConsentEvent.DELETE_EVERYTHING:
        tasks.append(
            "The study's team deletes the participant's sessions in the source project and in "
            "what was copied from it; backups follow when they expire."
        )
    return tuple(tasks)


def release_name(release: Release) -> str:
    """Return family and version, as people name a release."""
    return f"{release.family} {release.version}"
