"""Decisions on releases on real records: who opens, who closes, and who may not."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.builders import decided
from tests.builders.decided import Signers
from tests.builders.sharing import Site
from xnat_client.errors import NotAllowedError, UsageError
from xnat_client.sharing import approvals, decisions, grants
from xnat_client.sharing.actors import service
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.database.tables import Approval, AuditEntry, Person, Release
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import (
    Level,
    ReleaseState,
    Role,
    WithdrawalReason,
)

pytestmark = pytest.mark.usefixtures("link_keys")

DAY = timedelta(days=1)


@pytest.mark.parametrize("level", [Level.NAMED, Level.MEMBERS, Level.EXTERNAL, Level.OPEN])
def test_release_whose_guards_are_all_met_is_published(
    session: Session, home: Home, site: Site, now: datetime, level: Level
) -> None:
    """The whole way leads to PUBLISHED, and only at level OPEN everybody reads at once."""
    release = decided.published(session, home, site, now=now, level=level)

    assert release.state is ReleaseState.PUBLISHED
    expected = None if level is Level.OPEN else set()
    assert grants.readers_of(session, release, now) == expected


def test_requester_does_not_approve(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """At level EXTERNAL who proposed is not among those who approve, whatever their roles."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now)
    lead = site.acting(Role.LEAD)
    for event in (ReleaseEvent.CHECK, ReleaseEvent.PROPOSE):
        release = decisions.fire(session, home, lead, release, event, now=now)

    with pytest.raises(RefusedByPolicyError, match="asked for"):
        decided.approve_all(session, home, site, release, signers, now=now)


def test_steward_of_the_studys_own_team_does_not_approve(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """A data steward who belongs to the study decides on other studies only."""
    release = decided.proposed(session, home, site, now)
    people.give_role(
        session, site.acting(Role.LEAD), site.steward, Role.STUDY_TEAM, site.study_pk, now=now
    )

    with pytest.raises(RefusedByPolicyError, match="own team"):
        decided.approve_all(session, home, site, release, signers, now=now)


def test_two_records_of_one_person_count_as_one(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """Lead and steward with one e-mail address are one person, so the set is not complete."""
    release = decided.proposed(session, home, site, now)
    addresses = {session.get_one(Person, one) for one in (site.lead, site.steward)}
    for person in addresses:
        person.email = "Same@People.test" if person.person_id == site.lead else "same@people.test "

    with pytest.raises(RefusedByPolicyError, match="count as one"):
        decided.approve_all(session, home, site, release, signers, now=now)


def test_signature_of_another_person_is_refused(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """The steward's signature does not make the lead's decision."""
    release = decided.proposed(session, home, site, now)
    text = signers.sign(session, release, Decision.APPROVE, site.steward, Role.STEWARD, now=now)
    signers.key_of(session, site.lead, Role.LEAD, now)

    with pytest.raises(RefusedByPolicyError, match="signature"):
        decisions.fire(
            session, home, site.acting(Role.LEAD), release, ReleaseEvent.APPROVE, now=now,
            signature=text,
        )  # fmt: skip


def test_decision_without_signature_is_refused(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """Nobody approves by saying so."""
    release = decided.proposed(session, home, site, now)

    with pytest.raises(UsageError, match="signature"):
        decisions.fire(
            session, home, site.acting(Role.LEAD), release, ReleaseEvent.APPROVE, now=now
        )


def test_key_that_the_log_does_not_know_signs_nothing(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """A public key that was put into the table by hand makes no approval valid."""
    release = decided.proposed(session, home, site, now)
    stranger = Signers()
    stranger.keys[site.lead] = decided.Ed25519PrivateKey.generate()
    key = decided.signing.public_text(stranger.keys[site.lead].public_key())
    session.get_one(Person, site.lead).public_key = key
    signature = stranger.sign(session, release, Decision.APPROVE, site.lead, Role.LEAD, now=now)

    with pytest.raises(RefusedByPolicyError, match="signature"):
        decisions.fire(
            session, home, site.acting(Role.LEAD), release, ReleaseEvent.APPROVE, now=now,
            signature=signature,
        )  # fmt: skip


def test_approvals_of_one_proposal_do_not_count_for_the_next(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """Approved, rejected, proposed again unchanged: bringing the old rows back helps nothing."""
    release = decided.proposed(session, home, site, now)
    release = decided.approve_all(session, home, site, release, signers, now=now)
    team = site.acting(Role.STUDY_TEAM)
    for actor, event in (
        (site.acting(Role.STEWARD), ReleaseEvent.REJECT),
        (team, ReleaseEvent.CHECK),
        (team, ReleaseEvent.PROPOSE),
    ):
        release = decisions.fire(session, home, actor, release, event, now=now)

    for row in session.scalars(sa.select(Approval)):
        row.dropped_at = None

    assert approvals.votes(session, release, Decision.APPROVE) == ()


_OPENED_BY_AN_APPROVAL = {
    "level": Level.OPEN,
    "project_id": "elsewhere",
    "server": "inside",
    "agreement_version": "2.0.0",
    "licence": "CC0-1.0",
    "embargo_until": None,
    "automatic_grants": True,
    "requested_by": "p-outsider",
    "manifest_sha256": "00" * 32,
    "criteria_version": "2.0",
    "duo_codes": ["NRES"],
    "link_rule": "destroy:2030-01-01",
}


def test_approvals_cover_everything_that_they_open(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """Whatever of a release is changed after the signatures, none of them counts any more."""
    release = decided.proposed(session, home, site, now)
    release.embargo_until = date(2027, 1, 1)
    release = decided.approve_all(session, home, site, release, signers, now=now)
    counted = {}

    for name, value in _OPENED_BY_AN_APPROVAL.items():
        before = getattr(release, name)
        setattr(release, name, value)
        counted[name] = len(approvals.votes(session, release, Decision.APPROVE))
        setattr(release, name, before)

    assert set(counted.values()) == {0}
    assert len(approvals.votes(session, release, Decision.APPROVE)) == 2


def test_embargo_ends_with_its_day_in_utc(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """Until the last microsecond of the day nothing opens; then it does, by the same event."""
    last = now.date() + 3 * DAY
    midnight = datetime.combine(last + DAY, datetime.min.time(), now.tzinfo)
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now, embargo_until=last)
    waiting = decided.publish(session, home, site, release, signers, now=now)
    assert waiting.state is ReleaseState.EMBARGOED
    early = midnight - timedelta(microseconds=1)

    with pytest.raises(RefusedByPolicyError, match="embargo"):
        decisions.fire(session, home, service("early"), release, ReleaseEvent.APPLY, now=early)
    opened = decisions.fire(
        session, home, service("due"), release, ReleaseEvent.APPLY, now=midnight
    )

    assert opened.state is ReleaseState.PUBLISHED


@pytest.mark.parametrize("event", [ReleaseEvent.SUSPEND, ReleaseEvent.WITHDRAW])
def test_closing_needs_nothing_of_the_records(
    session: Session, home: Home, site: Site, now: datetime, event: ReleaseEvent
) -> None:
    """In every state one officer closes, with no folder, evidence, criteria or approvals there."""
    closed = {}
    for state in ReleaseState:
        row = Release(
            study_pk=site.study_pk, family=state.value, version="none", level=Level.EXTERNAL,
            state=state, server="outside", project_id="bare", duo_codes=[], citation={},
            requested_by=site.requester, created_at=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        row = decisions.fire(session, home, site.acting(Role.OFFICER), row, event, now=now)
        closed[state] = row.state

    ended = {ReleaseState.WITHDRAWN}
    expected = ended if event is ReleaseEvent.WITHDRAW else {ReleaseState.SUSPENDED, *ended}
    assert set(closed.values()) == expected
    assert closed[ReleaseState.PUBLISHED] is not ReleaseState.PUBLISHED


def test_closing_again_adds_no_line_to_the_log(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """A repeated order to close changes nothing at all."""
    release = decided.published(session, home, site, now=now)
    officer = site.acting(Role.OFFICER)
    decisions.fire(session, home, officer, release, ReleaseEvent.SUSPEND, now=now)
    count = sa.select(sa.func.count()).select_from(AuditEntry)
    before = session.execute(count).scalar_one()

    decisions.fire(session, home, officer, release, ReleaseEvent.SUSPEND, now=now)

    assert session.execute(count).scalar_one() == before


def test_suspended_release_opens_again_by_steward_and_officer_only(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """One signature leaves it closed; the second, of the other role, opens it."""
    release = decided.published(session, home, site, now=now, signers=signers)
    lead = site.acting(Role.LEAD)
    decisions.fire(session, home, lead, release, ReleaseEvent.SUSPEND, now=now)

    states = []
    for role in (Role.STEWARD, Role.OFFICER):
        actor = site.acting(role)
        signature = signers.sign(session, release, Decision.RESUME, actor.person_id, role, now=now)
        release = decisions.fire(
            session, home, actor, release, ReleaseEvent.RESUME, now=now, signature=signature
        )
        states.append(release.state)

    assert states == [ReleaseState.SUSPENDED, ReleaseState.PUBLISHED]


def test_signatures_to_resume_do_not_outlive_the_suspension_they_answer(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """After a second suspension both must sign again, even if old rows are brought back."""
    release = decided.published(session, home, site, now=now, signers=signers)
    lead = site.acting(Role.LEAD)
    for _ in range(2):
        release = decisions.fire(session, home, lead, release, ReleaseEvent.SUSPEND, now=now)
        if session.scalars(sa.select(Approval).where(Approval.for_resume)).first():
            break
        for role in (Role.STEWARD, Role.OFFICER):
            actor = site.acting(role)
            signature = signers.sign(
                session, release, Decision.RESUME, actor.person_id, role, now=now
            )
            release = decisions.fire(
                session, home, actor, release, ReleaseEvent.RESUME, now=now, signature=signature
            )

    for row in session.scalars(sa.select(Approval).where(Approval.for_resume)):
        row.dropped_at = None

    assert approvals.votes(session, release, Decision.RESUME) == ()


def test_newer_version_supersedes_the_older_and_both_keep_their_readers(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """1.10.0 is newer than 1.9.0; an older one cannot be published after it."""
    old = decided.published(session, home, site, now=now, version="1.9.0", signers=signers)
    decided.granted(session, site, site.externals[0], old, now=now)
    new = decided.published(session, home, site, now=now, version="1.10.0", signers=signers)

    assert (old.state, new.state) == (ReleaseState.SUPERSEDED, ReleaseState.PUBLISHED)
    assert grants.readers_of(session, old, now) == {site.externals[0]}
    assert grants.readers_of(session, new, now) == {site.externals[0]}
    with pytest.raises(RefusedByPolicyError, match="newer version"):
        decided.published(session, home, site, now=now, version="1.9.1", signers=signers)


def test_withdrawn_release_ends_the_grants_of_its_family_and_keeps_its_tombstone(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """Nothing is read, nothing comes back, and the reason stands in the record."""
    release = decided.published(session, home, site, now=now)
    grant = decided.granted(session, site, site.externals[0], release, now=now)

    ended = decisions.fire(
        session, home, site.acting(Role.OFFICER), release, ReleaseEvent.WITHDRAW, now=now,
        reason_class=WithdrawalReason.DISCLOSURE,
    )  # fmt: skip

    session.refresh(grant)
    assert (ended.withdrawn_reason, grant.state.value) == ("disclosure", "ended")
    for event in ReleaseEvent:
        try:
            decisions.fire(session, home, service("again"), ended, event, now=now, signature="x")
        except (NotAllowedError, RefusedByPolicyError):
            continue
    assert ended.state is ReleaseState.WITHDRAWN
    assert grants.readers_of(session, ended, now) == set()
