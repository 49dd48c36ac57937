"""The only way in which the state of a release changes: one function, inside one transaction.

Every event runs through the machine of releases with its guards evaluated on the records as they
are now, then its effects are written and an audit entry is added; a refusal writes nothing. Events
that close read nothing but the release itself. Not here: the table of events
(``machines.release_machine``), the prerequisites (``check``), the servers (``server_side``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import NotFoundError, UsageError
from xnat_client.sharing import clock, evidence, grants, standing
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.approvals import Vote
from xnat_client.sharing.audit import chain
from xnat_client.sharing.case import RecordedCase
from xnat_client.sharing.check.folder import FolderObservation, observe
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Approval, Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import (
    CLOSING_EVENTS,
    ReleaseCase,
    ReleaseEvent,
    machine,
)
from xnat_client.sharing.machines.rules import RuleMachine
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import ReleaseState, WithdrawalReason

_machine: Callable[[], RuleMachine[ReleaseState, ReleaseCase]] = cache(machine)


@dataclass(frozen=True)
class Details:
    """What comes with an event besides who fires it.

    Attributes
    ----------
    signature : str
        Of ``APPROVE`` and ``RESUME``: over ``approvals.text_to_sign``, base64.
    decided_at : datetime or None
        When the person signed; None for now.
    reason_class : WithdrawalReason or None
        Why a release ends; ``ERROR`` if nothing else is said.
    folder : FolderObservation or None
        The digests of the release's files, read before the transaction so that it stays short;
        files that were touched since are read again.
    """

    signature: str = ""
    decided_at: datetime | None = None
    reason_class: WithdrawalReason | None = None
    folder: FolderObservation | None = None


_REPEATABLE = CLOSING_EVENTS | {ReleaseEvent.STALE}

_CHECKED = (
    ReleaseState.CHECKED,
    ReleaseState.PROPOSED,
    ReleaseState.APPROVED,
    ReleaseState.EMBARGOED,
)

_LATEST_SIGNATURE = timedelta(days=1)
"""A signature is handed in within this time after it was made."""


def fire(  # noqa: PLR0913  # who does what to which release, when
    session: Session,
    home: Home,
    actor: Actor,
    release: Release,
    event: ReleaseEvent,
    *,
    now: datetime,
    **details: Any,
) -> Release:
    """Let an event happen to a release, or refuse it and change nothing.

    Parameters
    ----------
    session : Session
        A session of ``Database.transaction``; a refusal must leave it, so that it is rolled back.
    release : Release
        Which release; its row is read again.
    now : datetime
        Time of the records' clock; an earlier one than they have seen is not believed.
    **details
        Fields of ``Details``.

    Returns
    -------
    Release
        The release of this session, in its new state.

    Raises
    ------
    NotAllowedError
        The actor does not have the role, or the event is not for it.
    RefusedByPolicyError
        The event cannot happen in this state, or something is not met; the findings say what.
    UsageError
        The signature is missing, or older than a day, or dated in the future.
    """
    given = Details(**details)
    session.flush()
    at = clock.now(session, lambda: now)
    current = session.get(Release, release.release_pk, populate_existing=True)
    if current is None:
        raise NotFoundError(f"The records know no release {release.release_pk}.")
    people.require_role(session, actor, current.study_pk, at)
    vote = _vote(actor, event, given, at)
    case = RecordedCase(session, home, current, at, vote, given.signature, given.folder)
    before = current.state
    target = _machine().target(event, before, case, actor.role)
    if target is before and event in _REPEATABLE:
        return current  # closed already: a repeated order changes nothing
    _take_effect(_Firing(session, actor, current, event, given, at), vote, target)
    return current


def sweep(
    home: Home,
    database: Database,
    now: Callable[[Session], datetime] = clock.now,
    kept: dict[int, FolderObservation] | None = None,
) -> list[int]:
    """Send back to draft what was checked or approved on evidence that does not count any more.

    Nothing depends on it: whatever opens a release asks again. It makes lists true, and drops
    approvals early. Every file of the releases in question is read, outside any transaction.

    Parameters
    ----------
    now : callable
        Gives the time of the records' clock in a transaction.
    kept : dict or None
        What the last sweep of the same process saw, by number of the release; it is brought up to
        date, and files that were not touched since are not read again.

    Returns
    -------
    list of int
        Numbers of the releases whose state changed.
    """
    with database.transaction() as session:
        waiting = session.scalars(
            sa.select(Release).where(Release.state.in_(_CHECKED)).order_by(Release.release_pk)
        ).all()
    changed = []
    earlier = {} if kept is None else dict(kept)
    if kept is not None:
        kept.clear()
    for release in waiting:
        number = release.release_pk
        seen = observe(evidence.release_folder(home, release), earlier.get(number))
        if kept is not None:
            kept[number] = seen
        with database.transaction() as session:
            if send_back_if_stale(session, home, release, now=now(session), folder=seen):
                changed.append(release.release_pk)
    return changed


def send_back_if_stale(
    session: Session,
    home: Home,
    release: Release,
    *,
    now: datetime,
    folder: FolderObservation | None = None,
) -> bool:
    """Fire ``STALE`` on a checked or approved release whose evidence does not count any more."""
    at = standing.not_before_mark(session, now)
    current = session.get(Release, release.release_pk, populate_existing=True)
    if current is None or current.state not in _CHECKED:
        return False
    reasons = evidence.stale_reasons(session, home, current, at, folder)
    reasons += standing.consent_objections(session, current)
    if reasons:
        fire(session, home, service(reasons[0]), current, ReleaseEvent.STALE, now=at)
    return bool(reasons)


@dataclass(frozen=True)
class _Firing:
    session: Session
    actor: Actor
    release: Release
    event: ReleaseEvent
    given: Details
    at: datetime


def _vote(actor: Actor, event: ReleaseEvent, given: Details, at: datetime) -> Vote | None:
    if event not in {ReleaseEvent.APPROVE, ReleaseEvent.RESUME}:
        return None
    decided_at = given.decided_at or at
    if not given.signature:
        raise UsageError(
            "A decision that opens needs a signature with the person's own key "
            "(winxnat release key makes one)."
        )
    if decided_at > at or at - decided_at > _LATEST_SIGNATURE:
        raise UsageError(
            "The signature is dated in the future or is older than a day. Sign again, now."
        )
    return Vote(actor.person_id, actor.role, decided_at)


def _take_effect(firing: _Firing, vote: Vote | None, target: ReleaseState) -> None:
    release, session = firing.release, firing.session
    before = release.state
    if vote is not None:
        _record_vote(firing, vote)
    effect = _EFFECTS.get(firing.event)
    if effect is not None:
        effect(firing, target)
    release.state = target
    if target is ReleaseState.DRAFT and before is not ReleaseState.DRAFT:
        _drop_approvals(firing)
        release.checked_at = None
        release.approved_at = None
    session.flush()
    log(firing.session, firing.actor, release, firing.event, before, now=firing.at)
    if target is ReleaseState.PUBLISHED and before is not target:
        _supersede_older(firing)
    if target is ReleaseState.WITHDRAWN:
        grants.end_line(session, service(f"{release.family} {release.version} was withdrawn."),
                        release, now=firing.at)  # fmt: skip


def log(  # noqa: PLR0913  # the fields of one entry
    session: Session,
    actor: Actor,
    release: Release,
    event: ReleaseEvent,
    before: ReleaseState,
    *,
    now: datetime,
) -> None:
    """Add the entry that ties a release's state to the log."""
    change = chain.Change(
        f"release.{event.value}",
        "release",
        str(release.release_pk),
        {"state": before.value},
        {"state": release.state.value, "manifest": release.manifest_sha256},
    )
    chain.append(session, actor, change, now=now)


def _record_vote(firing: _Firing, vote: Vote) -> None:
    firing.session.add(
        Approval(
            release_pk=firing.release.release_pk,
            person_id=vote.person_id,
            role=vote.role,
            approved=True,
            for_resume=firing.event is ReleaseEvent.RESUME,
            reason=firing.actor.reason,
            manifest_sha256=firing.release.manifest_sha256,
            signature=firing.given.signature,
            decided_at=vote.decided_at,
        )
    )


def _on_check(firing: _Firing, _target: ReleaseState) -> None:
    firing.release.checked_at = firing.at


def _on_propose(firing: _Firing, _target: ReleaseState) -> None:
    firing.release.requested_by = firing.actor.person_id


def _on_approve(firing: _Firing, target: ReleaseState) -> None:
    if target is ReleaseState.APPROVED:
        firing.release.approved_at = firing.at


def _on_reject(firing: _Firing, _target: ReleaseState) -> None:
    firing.session.add(
        Approval(
            release_pk=firing.release.release_pk,
            person_id=firing.actor.person_id,
            role=firing.actor.role,
            approved=False,
            reason=firing.actor.reason,
            manifest_sha256=firing.release.manifest_sha256,
            decided_at=firing.at,
        )
    )


def _on_apply(firing: _Firing, target: ReleaseState) -> None:
    if target is ReleaseState.PUBLISHED:
        firing.release.published_at = firing.at
        firing.release.applied = False


def _on_suspend(firing: _Firing, _target: ReleaseState) -> None:
    release = firing.release
    release.state_before_suspension = release.state.value
    release.suspended_reason = firing.actor.reason
    release.applied = False


def _on_resume(firing: _Firing, target: ReleaseState) -> None:
    if target is ReleaseState.SUSPENDED:
        return
    firing.release.suspended_reason = ""
    firing.release.state_before_suspension = ""
    firing.release.applied = False
    _drop_approvals(firing, for_resume=True)


def _on_withdraw(firing: _Firing, _target: ReleaseState) -> None:
    release = firing.release
    release.withdrawn_reason = (firing.given.reason_class or WithdrawalReason.ERROR).value
    release.applied = False
    _drop_approvals(firing)
    _drop_approvals(firing, for_resume=True)


_EFFECTS: dict[ReleaseEvent, Callable[[_Firing, ReleaseState], None]] = {
    ReleaseEvent.CHECK: _on_check,
    ReleaseEvent.PROPOSE: _on_propose,
    ReleaseEvent.APPROVE: _on_approve,
    ReleaseEvent.REJECT: _on_reject,
    ReleaseEvent.APPLY: _on_apply,
    ReleaseEvent.SUSPEND: _on_suspend,
    ReleaseEvent.RESUME: _on_resume,
    ReleaseEvent.WITHDRAW: _on_withdraw,
}


def _drop_approvals(firing: _Firing, *, for_resume: bool = False) -> None:
    rows = firing.session.scalars(
        sa.select(Approval).where(
            Approval.release_pk == firing.release.release_pk,
            Approval.dropped_at.is_(None),
            Approval.for_resume.is_(for_resume),
        )
    )
    for row in rows:
        row.dropped_at = firing.at


def _supersede_older(firing: _Firing) -> None:
    """Mark what is published in the same family and level as the previous version."""
    published = firing.release
    actor = service(f"Version {published.version} of {published.family} was published.")
    for older in standing.same_line(firing.session, published):
        if older.state is ReleaseState.PUBLISHED and older is not published:
            older.state = ReleaseState.SUPERSEDED
            firing.session.flush()
            log(firing.session, actor, older, ReleaseEvent.SUPERSEDE, ReleaseState.PUBLISHED,
                now=firing.at)  # fmt: skip
