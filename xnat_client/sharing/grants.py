"""Permissions of single people: the only way in which they change, and who may read a release now.

Whoever asks for readers gets them from grants, members and acceptances as they are at that moment,
by date and not by mark (``readers``): a grant that nobody ended still ends on its day. Not here:
the table of events (``machines.grant_machine``), servers (``server_side``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import ConflictError, NotAllowedError, NotFoundError, UsageError
from xnat_client.sharing import clock, standing, trusted
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Grant, Person, Release
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.grant_case import LONGEST, RecordedGrantCase, person_objections
from xnat_client.sharing.machines.grant_machine import (
    CLOSING_GRANT_EVENTS,
    GrantCase,
    GrantEvent,
    machine,
)
from xnat_client.sharing.machines.rules import RuleMachine
from xnat_client.sharing.readers import GRANTED_LEVELS, Reader, readers, readers_of
from xnat_client.sharing.records import people
from xnat_client.sharing.standing import not_before_mark
from xnat_client.sharing.vocabulary import (
    READING_GRANTS,
    GrantState,
    Level,
    ReleaseState,
    Role,
)

__all__ = [
    "GRANTED_LEVELS",
    "Ending",
    "NewGrant",
    "Reader",
    "end_line",
    "fire",
    "readers",
    "readers_of",
    "request",
    "sweep",
]

_machine: Callable[[], RuleMachine[GrantState, GrantCase]] = cache(machine)

_ENDED = frozenset({GrantState.EXPIRED, GrantState.REVOKED, GrantState.REFUSED, GrantState.ENDED})
_BY_STAFF = frozenset({Role.STEWARD, Role.LEAD, Role.OFFICER, Role.ADMINISTRATOR, Role.SERVICE})
_ACTION = "grant."


class Ending(StrEnum):
    """Why a grant was revoked."""

    LEFT = "left the institution"
    BREACH = "breach of the agreement"
    ASKED = "asked"


@dataclass(frozen=True)
class NewGrant:
    """What is asked for.

    Attributes
    ----------
    person_id : str
        Who is to read.
    family : str
        Family of releases.
    level : Level
        ``NAMED`` or ``EXTERNAL``.
    purpose : str
        What the data are wanted for.
    """

    person_id: str
    family: str
    level: Level
    purpose: str


def request(session: Session, actor: Actor, asked: NewGrant, *, now: datetime) -> Grant:
    """Record that a person asks to read a family of releases.

    Raises
    ------
    UsageError
        The level's readers are not named one by one, or no purpose is given.
    ConflictError
        The person has a grant, or asked already.
    NotFoundError
        There is no such family at that level.
    RefusedByPolicyError
        The person's identity is not established, or an earlier grant ended by a breach.
    """
    at = clock.now(session, lambda: now)
    if asked.level not in GRANTED_LEVELS:
        raise UsageError(f"Readers of level {asked.level.word} are not named one by one.")
    if not asked.purpose.strip():
        raise UsageError("A request says what the data are wanted for; give --purpose.")
    release = _newest_of_line(session, asked.family, asked.level)
    people.require_role(session, actor, release.study_pk, at)
    person = people.person_of(session, asked.person_id)
    if actor.role not in _BY_STAFF and actor.person_id != person.person_id:
        raise NotAllowedError("Everybody asks for themself; each member of a team applies.")
    _check_new(session, actor, person, asked)
    grant = Grant(
        person_id=person.person_id,
        family=asked.family,
        level=asked.level,
        state=GrantState.REQUESTED,
        purpose=asked.purpose.strip(),
        requested_at=at,
    )
    session.add(grant)
    session.flush()
    _log(session, actor, grant, "request", None, at)
    return grant


def _check_new(session: Session, actor: Actor, person: Person, asked: NewGrant) -> None:
    findings = person_objections(person, alone=False)
    if findings:
        raise RefusedByPolicyError(f"Refused: {findings[0].sentence}", findings=findings)
    earlier = session.scalars(sa.select(Grant).where(Grant.person_id == person.person_id)).all()
    if any(one.closed_reason.startswith(Ending.BREACH) for one in earlier) and (
        actor.role is not Role.OFFICER
    ):
        raise RefusedByPolicyError(
            f"An earlier grant of person {person.person_id} ended by a breach; only the officer "
            "may let them ask again."
        )
    for one in earlier:
        if (one.family, one.level) == (asked.family, asked.level) and one.state not in _ENDED:
            raise ConflictError(
                f"Person {person.person_id} has grant {one.grant_pk} for it, which is "
                f"{one.state.value}."
            )


def fire(  # noqa: PLR0913  # who does what to which grant, when
    session: Session,
    actor: Actor,
    grant: Grant,
    event: GrantEvent,
    *,
    now: datetime,
    ends_at: datetime | None = None,
    ending: Ending = Ending.ASKED,
) -> Grant:
    """Let an event happen to a grant, or refuse it and change nothing.

    Parameters
    ----------
    now : datetime
        Time of the records' clock; an earlier one than they have seen is not believed.
    ends_at : datetime or None
        Of an event that leads to ``ACTIVE``: when it ends, at most a year ahead; None for a year.
    ending : Ending
        Of ``REVOKE``: why. A breach keeps the person from asking again.

    Returns
    -------
    Grant
        The grant of this session, in its new state.

    Raises
    ------
    NotAllowedError
        The actor does not have the role, acts for somebody else, or the event is not for the role.
    RefusedByPolicyError
        The event cannot happen in this state, or something is not met.
    """
    session.flush()
    at = clock.now(session, lambda: now)
    current = session.get(Grant, grant.grant_pk, populate_existing=True)
    if current is None:
        raise NotFoundError(f"The records know no grant {grant.grant_pk}.")
    line = _line(session, current.family, current.level)
    people.require_role(session, actor, line[-1].study_pk if line else None, at)
    if actor.role not in _BY_STAFF and actor.person_id != current.person_id:
        raise NotAllowedError("Everybody acts on their own grant only.")
    believed = trusted.is_sealed(session, current)
    if event not in CLOSING_GRANT_EVENTS and not believed:
        raise RefusedByPolicyError(
            f"Grant {current.grant_pk} is not what the audit log says. "
            "Find out why (winxnat audit verify); it can only be closed."
        )
    case = RecordedGrantCase(session, current, line, actor, at, ends_at or at + LONGEST)
    before = current.state
    target = _machine().target(event, before, case, actor.role)
    if target is before and event in CLOSING_GRANT_EVENTS and not _is_new_word(case, event, actor):
        return current
    _take_effect(current, case, event, target, actor, ending)
    if not believed:
        current.ends_at = at  # what another program wrote must not be sealed as if we had
    session.flush()
    _log(session, actor, current, event.value, before, at)
    return current


def _is_new_word(case: RecordedGrantCase, event: GrantEvent, actor: Actor) -> bool:
    """Tell whether a person suspends what time had suspended: then time does not open it again."""
    return (
        event is GrantEvent.SUSPEND
        and case.grant.state is GrantState.SUSPENDED
        and actor.role is not Role.SERVICE
        and case.is_suspended_by_time()
    )


def _take_effect(  # noqa: PLR0913, PLR0917  # one step of one grant
    grant: Grant,
    case: RecordedGrantCase,
    event: GrantEvent,
    target: GrantState,
    actor: Actor,
    ending: Ending,
) -> None:
    grant.state = target
    if event in {GrantEvent.ACCEPT, GrantEvent.RENEW}:
        grant.acceptance_pk = case.acceptance.acceptance_pk if case.acceptance else None
    if event is GrantEvent.ENDORSE:
        grant.endorsed_by = actor.person_id
    if event is GrantEvent.APPROVE:
        grant.approved_by = actor.person_id
    opened = event in {GrantEvent.ACCEPT, GrantEvent.APPROVE}
    if opened and target is GrantState.ACTIVE:
        grant.starts_at, grant.ends_at = case.now, case.ends_at
    if event is GrantEvent.RENEW and grant.ends_at is None:
        grant.starts_at, grant.ends_at = case.now, case.ends_at
    if event is GrantEvent.REVOKE:
        grant.closed_reason = f"{ending.value}: {actor.reason}"
    elif event in {GrantEvent.END, GrantEvent.REFUSE, GrantEvent.SUSPEND}:
        grant.closed_reason = actor.reason


def _log(  # noqa: PLR0913, PLR0917  # the fields of one entry
    session: Session,
    actor: Actor,
    grant: Grant,
    event: str,
    before: GrantState | None,
    at: datetime,
) -> None:
    after: dict[str, Any] = {
        "state": grant.state.value,
        "person": grant.person_id,
        "family": grant.family,
        "level": grant.level.word,
        "until": grant.ends_at.isoformat() if grant.ends_at else None,
    }
    change = chain.Change(
        f"{_ACTION}{event}",
        "grant",
        str(grant.grant_pk),
        {"state": before.value if before else None},
        after,
    )
    chain.append(session, actor, change, now=at)


def sweep(session: Session, *, now: datetime) -> list[Grant]:
    """Mark what time has done to grants: ending soon, ended, agreement outdated.

    Nobody's access depends on it; it makes lists and notices true.

    Returns
    -------
    list of Grant
        Those whose state changed.
    """
    at = not_before_mark(session, now)
    marked = READING_GRANTS | {GrantState.SUSPENDED}
    rows = session.scalars(
        sa.select(Grant).where(Grant.state.in_(marked)).order_by(Grant.grant_pk)
    ).all()
    changed = []
    for grant in rows:
        event, reason = _due(session, grant, at)
        if event is not None and trusted.is_sealed(session, grant):
            changed.append(fire(session, service(reason), grant, event, now=at))
    return changed


def _due(session: Session, grant: Grant, at: datetime) -> tuple[GrantEvent | None, str]:
    line = _line(session, grant.family, grant.level)
    case = RecordedGrantCase(session, grant, line, service("time"), at, at)
    if case.is_past():
        return GrantEvent.EXPIRE, "Its end date has passed."
    if grant.state is GrantState.SUSPENDED:
        return None, ""
    if case.agreement_objections():
        return GrantEvent.SUSPEND, "The agreement must be accepted again."
    if grant.state is GrantState.ACTIVE and case.ends_soon():
        return GrantEvent.WARN, "It ends within 30 days."
    return None, ""


def end_line(session: Session, actor: Actor, release: Release, *, now: datetime) -> list[Grant]:
    """End all grants of a family at a level of which no release is left.

    Returns
    -------
    list of Grant
        Those that ended.
    """
    line = _line(session, release.family, release.level)
    if any(one.state is not ReleaseState.WITHDRAWN for one in line):
        return []
    rows = session.scalars(
        sa.select(Grant).where(Grant.family == release.family, Grant.level == release.level)
    ).all()
    return [
        fire(session, actor, grant, GrantEvent.END, now=now)
        for grant in rows
        if grant.state not in _ENDED
    ]


def _line(session: Session, family: str, level: Level) -> list[Release]:
    return standing.line(session, family, level)


def _newest_of_line(session: Session, family: str, level: Level) -> Release:
    left = [one for one in _line(session, family, level) if one.state is not ReleaseState.WITHDRAWN]
    if not left:
        raise NotFoundError(
            f"There is no release of family {family} at level {level.word} to ask for."
        )
    return left[-1]
