"""Grants on real records: who gets one, how long it lasts, who reads a release now."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.builders import decided
from tests.builders.sharing import FORM, Site
from xnat_client.errors import ConflictError, NotAllowedError, UsageError
from xnat_client.sharing import grants
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.database.tables import ConsentForm, Grant, Person, Release
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.grants import Ending, NewGrant
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.grant_machine import (
    CLOSING_GRANT_EVENTS,
    RULES,
    GrantEvent,
    machine,
)
from xnat_client.sharing.records import agreements, people
from xnat_client.sharing.vocabulary import READING_GRANTS, GrantState, Level, Role

pytestmark = pytest.mark.usefixtures("link_keys")

DAY = timedelta(days=1)


@pytest.fixture
def release(session: Session, home: Home, site: Site, now: datetime) -> Release:
    """A published release at level EXTERNAL."""
    return decided.published(session, home, site, now=now)


@pytest.fixture
def reader(site: Site) -> str:
    """The person who asks."""
    return site.externals[0]


@pytest.fixture
def grant(session: Session, site: Site, release: Release, reader: str, now: datetime) -> Grant:
    """A grant of that person, active for a year."""
    return decided.granted(session, site, reader, release, now=now)


def test_grant_ends_on_its_day_without_anybody_marking_it(
    session: Session, release: Release, grant: Grant, reader: str, now: datetime
) -> None:
    """One microsecond before the end it is read, at the end it is not."""
    end = now + 365 * DAY
    assert grant.ends_at == end

    assert grants.readers_of(session, release, end - timedelta(microseconds=1)) == {reader}
    assert grants.readers_of(session, release, end) == set()


def test_clock_turned_back_brings_no_reader_back(
    session: Session, release: Release, grant: Grant, reader: str, now: datetime
) -> None:
    """Once the records have seen a time after the end, an earlier one is not believed."""
    assert grants.readers_of(session, release, now) == {reader}
    grants.clock.now(session, lambda: now + 400 * DAY)

    assert grant.state is GrantState.ACTIVE
    assert grants.readers_of(session, release, now) == set()


def test_removing_the_clocks_mark_brings_no_reader_back(
    session: Session, site: Site, release: Release, grant: Grant, now: datetime
) -> None:
    """The log's last entry says how late it is, whatever became of the row of the clock."""
    people.set_active(session, site.acting(Role.OFFICER), site.members[0], active=False,
                      now=now + 400 * DAY)  # fmt: skip
    session.execute(sa.text("DELETE FROM clock_mark"))
    session.expire_all()

    assert grant.state is GrantState.ACTIVE
    assert grants.readers_of(session, release, now) == set()


@pytest.mark.parametrize("level", [Level.NAMED, Level.EXTERNAL])
def test_grant_of_one_level_opens_no_other(  # noqa: PLR0913, PLR0917  # fixtures and a case
    session: Session, home: Home, site: Site, reader: str, now: datetime, level: Level
) -> None:  # fmt: skip
    """A lower number never implies a right at a higher one, nor the reverse."""
    one = decided.published(session, home, site, now=now, level=level)
    other = Level.NAMED if level is Level.EXTERNAL else Level.EXTERNAL
    two = decided.published(session, home, site, now=now, level=other, version="2.0.0")

    decided.granted(session, site, reader, one, now=now)

    assert grants.readers_of(session, one, now) == {reader}
    assert grants.readers_of(session, two, now) == set()


def test_person_who_is_not_active_reads_nothing(
    session: Session, site: Site, release: Release, grant: Grant, now: datetime
) -> None:
    """Leaving ends the access at once, whatever the grant says."""
    officer = site.acting(Role.OFFICER)
    people.set_active(session, officer, grant.person_id, active=False, now=now)

    assert grant.state is GrantState.ACTIVE
    assert grants.readers_of(session, release, now) == set()


@pytest.mark.parametrize(
    ("version", "days", "reads"),
    [("1.0.1", 40, True), ("1.1.0", 29, True), ("1.1.0", 30, False), ("2.0.0", 0, False)],
)
def test_newer_agreement_ends_access_by_its_size(  # noqa: PLR0913, PLR0917  # fixtures and a case
    session: Session, site: Site, release: Release, grant: Grant, now: datetime, version: str,
    days: int, reads: bool,  # noqa: FBT001  # a table of cases
) -> None:  # fmt: skip
    """Major: at once; minor: after thirty days of notice; patch: never."""
    clause = decided.Clause(1, "no-reidentification", "Nobody is identified again", tick=True)
    text = decided.AgreementText(
        "data-use", version, "en", now.date(), (clause,), "New.", "1. Newer text.\n"
    )
    agreements.add_agreement(session, site.acting(Role.OFFICER), text, now=now)

    found = grants.readers_of(session, release, now + days * DAY)

    assert found == ({grant.person_id} if reads else set())


def test_accepting_the_newer_agreement_renews_what_was_suspended_but_not_its_end(
    session: Session, site: Site, release: Release, grant: Grant, now: datetime
) -> None:
    """The sweep suspends; the person's new acceptance opens it again until the same day."""
    clause = decided.Clause(1, "no-reidentification", "Nobody is identified again", tick=True)
    text = decided.AgreementText(
        "data-use", "2.0.0", "en", now.date(), (clause,), "New.", "1. Newer text.\n"
    )
    agreements.add_agreement(session, site.acting(Role.OFFICER), text, now=now)
    own = Actor(grant.person_id, Role.EXTERNAL, "still my research")
    end = grant.ends_at

    changed = grants.sweep(session, now=now)
    assert [one.state for one in changed] == [GrantState.SUSPENDED]
    with pytest.raises(RefusedByPolicyError, match="acceptance"):
        grants.fire(session, own, grant, GrantEvent.RENEW, now=now)
    decided.accept(session, grant.person_id, Role.EXTERNAL, now=now, family=release.family,
                   text=("data-use", "2.0.0"))  # fmt: skip
    renewed = grants.fire(session, own, grant, GrantEvent.RENEW, now=now + DAY)

    assert (renewed.state, renewed.ends_at) == (GrantState.ACTIVE, end)


def test_what_a_person_suspended_the_reader_does_not_open_again(
    session: Session, site: Site, release: Release, grant: Grant, now: datetime
) -> None:
    """Only an approver renews a grant that a person suspended; its end stays."""
    steward = site.acting(Role.STEWARD)
    end = grant.ends_at
    grant = grants.fire(session, steward, grant, GrantEvent.SUSPEND, now=now)
    own = Actor(grant.person_id, Role.EXTERNAL, "please")

    with pytest.raises(RefusedByPolicyError, match="suspended"):
        grants.fire(session, own, grant, GrantEvent.RENEW, now=now)
    assert grants.readers_of(session, release, now) == set()
    renewed = grants.fire(session, steward, grant, GrantEvent.RENEW, now=now)

    assert (renewed.state, renewed.ends_at) == (GrantState.ACTIVE, end)


def test_what_a_person_suspends_after_time_did_stays_suspended(
    session: Session, site: Site, release: Release, grant: Grant, now: datetime
) -> None:
    """A steward's doubt counts also where a newer agreement had closed the grant before."""
    decided.accept(session, grant.person_id, Role.EXTERNAL, now=now, family=release.family,
                   text=decided.AGREEMENT)  # fmt: skip
    grants.fire(session, service("a newer agreement"), grant, GrantEvent.SUSPEND, now=now)
    grants.fire(session, site.acting(Role.STEWARD), grant, GrantEvent.SUSPEND, now=now)
    own = Actor(grant.person_id, Role.EXTERNAL, "please")

    with pytest.raises(RefusedByPolicyError, match="suspended"):
        grants.fire(session, own, grant, GrantEvent.RENEW, now=now)


def test_lead_alone_lets_no_outsider_in(
    session: Session, site: Site, release: Release, reader: str, now: datetime
) -> None:
    """At level external the steward decides; the lead can agree to the purpose, and no more."""
    own, lead = Actor(reader, Role.EXTERNAL, "my research"), site.acting(Role.LEAD)
    asked = NewGrant(reader, release.family, release.level, "a study of heads")
    grant = grants.request(session, own, asked, now=now)
    decided.accept(session, reader, Role.EXTERNAL, now=now, family=release.family,
                   text=decided.AGREEMENT)  # fmt: skip
    grants.fire(session, own, grant, GrantEvent.ACCEPT, now=now)
    grants.fire(session, lead, grant, GrantEvent.ENDORSE, now=now)

    with pytest.raises(RefusedByPolicyError, match="not decided by the lead"):
        grants.fire(session, lead, grant, GrantEvent.APPROVE, now=now)
    assert grants.readers_of(session, release, now) == set()


def test_nobody_accepts_or_asks_for_somebody_else(
    session: Session, site: Site, release: Release, grant: Grant, now: datetime
) -> None:
    """A person of the same role does nothing with another's grant, not even close it."""
    other = Actor(site.externals[1], Role.EXTERNAL, "not mine")

    for event in (GrantEvent.ACCEPT, GrantEvent.RENEW, GrantEvent.REVOKE):
        with pytest.raises(NotAllowedError):
            grants.fire(session, other, grant, event, now=now)
    asked = NewGrant(site.members[0], release.family, release.level, "for a friend")
    with pytest.raises(NotAllowedError):
        grants.request(session, other, asked, now=now)


def test_person_who_asked_does_not_approve_their_own_request(
    session: Session, site: Site, release: Release, now: datetime
) -> None:
    """Even the steward has another person decide on what they ask for."""
    steward = site.acting(Role.STEWARD)
    asked = NewGrant(site.steward, release.family, release.level, "my own study")
    grant = grants.request(session, steward, asked, now=now)
    decided.accept(session, site.steward, Role.STEWARD, now=now, family=release.family,
                   text=decided.AGREEMENT)  # fmt: skip
    grant = grants.fire(session, steward, grant, GrantEvent.ACCEPT, now=now)

    with pytest.raises(RefusedByPolicyError, match="own request"):
        grants.fire(session, steward, grant, GrantEvent.APPROVE, now=now)


@pytest.mark.parametrize(
    ("days", "is_refused"), [(1, False), (365, False), (366, True), (0, True), (-1, True)]
)
def test_end_of_a_grant_lies_ahead_and_within_a_year(  # noqa: PLR0913, PLR0917  # fixtures and a case
    session: Session, site: Site, release: Release, reader: str, now: datetime, days: int,
    is_refused: bool,  # noqa: FBT001  # a table of cases
) -> None:  # fmt: skip
    """A grant without an end, or with a far one, cannot be given."""
    own = Actor(reader, Role.EXTERNAL, "my research")
    asked = NewGrant(reader, release.family, release.level, "a study of heads")
    grant = grants.request(session, own, asked, now=now)
    decided.accept(session, reader, Role.EXTERNAL, now=now, family=release.family,
                   text=decided.AGREEMENT)  # fmt: skip
    grant = grants.fire(session, own, grant, GrantEvent.ACCEPT, now=now)
    steward = site.acting(Role.STEWARD)

    if is_refused:
        with pytest.raises(RefusedByPolicyError, match="within a year"):
            grants.fire(session, steward, grant, GrantEvent.APPROVE, now=now,
                        ends_at=now + days * DAY)  # fmt: skip
    else:
        given = grants.fire(session, steward, grant, GrantEvent.APPROVE, now=now,
                            ends_at=now + days * DAY)  # fmt: skip
        assert given.ends_at == now + days * DAY


def test_registered_access_takes_an_established_identity(
    session: Session, home: Home, site: Site, reader: str, now: datetime
) -> None:
    """Automatic only for whom the directory or an ORCID iD vouches; others wait for the steward."""
    decided.prepare(session, site, now=now)
    row = decided.draft(session, home, site, now=now, automatic_grants=True)
    release = decided.publish(session, home, site, row, decided.Signers(), now=now)
    known = session.get_one(Person, site.externals[1])
    known.orcid = "0000-0002-1825-0097"
    states = []

    for person in site.externals:
        own = Actor(person, Role.EXTERNAL, "my research")
        asked = NewGrant(person, release.family, release.level, "a study of heads")
        grant = grants.request(session, own, asked, now=now)
        decided.accept(session, person, Role.EXTERNAL, now=now, family=release.family,
                       text=decided.AGREEMENT)  # fmt: skip
        states.append(grants.fire(session, own, grant, GrantEvent.ACCEPT, now=now).state)

    assert states == [GrantState.ACCEPTED, GrantState.ACTIVE]
    assert reader == site.externals[0]
    assert grants.readers_of(session, release, now) == {site.externals[1]}


def test_purpose_review_takes_the_leads_endorsement(
    session: Session, site: Site, release: Release, reader: str, now: datetime
) -> None:
    """Where a form demands it, the steward's approval alone is not enough."""
    session.get_one(ConsentForm, FORM).purpose_review = True
    own = Actor(reader, Role.EXTERNAL, "my research")
    asked = NewGrant(reader, release.family, release.level, "a study of heads")
    grant = grants.request(session, own, asked, now=now)
    decided.accept(session, reader, Role.EXTERNAL, now=now, family=release.family,
                   text=decided.AGREEMENT)  # fmt: skip
    grant = grants.fire(session, own, grant, GrantEvent.ACCEPT, now=now)
    steward = site.acting(Role.STEWARD)

    with pytest.raises(RefusedByPolicyError, match="purpose"):
        grants.fire(session, steward, grant, GrantEvent.APPROVE, now=now)
    grants.fire(session, site.acting(Role.LEAD), grant, GrantEvent.ENDORSE, now=now)
    given = grants.fire(session, steward, grant, GrantEvent.APPROVE, now=now)

    assert given.state is GrantState.ACTIVE


@pytest.mark.parametrize(
    ("email", "institution"), [("", "Institute"), ("a@uni.test", ""), ("a@gmail.com", "Institute")]
)
def test_person_without_an_institutions_address_is_refused(  # noqa: PLR0913, PLR0917  # fixtures and a case
    session: Session, release: Release, reader: str, now: datetime, email: str, institution: str
) -> None:  # fmt: skip
    """Who a person is must be known before they ask."""
    person = session.get_one(Person, reader)
    person.email, person.institution = email, institution
    own = Actor(reader, Role.EXTERNAL, "my research")

    asked = NewGrant(reader, release.family, release.level, "a study of heads")
    with pytest.raises(RefusedByPolicyError):
        grants.request(session, own, asked, now=now)


def test_breach_keeps_a_person_from_asking_again(
    session: Session, site: Site, release: Release, grant: Grant, now: datetime
) -> None:
    """Only the officer lets them; somebody who just left may ask again."""
    grants.fire(session, site.acting(Role.LEAD), grant, GrantEvent.REVOKE, now=now,
                ending=Ending.BREACH)  # fmt: skip
    own = Actor(grant.person_id, Role.EXTERNAL, "once more")
    asked = NewGrant(grant.person_id, release.family, release.level, "once more")

    with pytest.raises(RefusedByPolicyError, match="breach"):
        grants.request(session, own, asked, now=now)
    assert grants.request(session, site.acting(Role.OFFICER), asked, now=now).grant_pk


def test_second_request_for_the_same_family_is_a_conflict(
    session: Session, release: Release, grant: Grant, now: datetime
) -> None:
    """One grant at a time for a person, family and level."""
    own = Actor(grant.person_id, Role.EXTERNAL, "again")

    asked = NewGrant(grant.person_id, release.family, release.level, "again")
    with pytest.raises(ConflictError):
        grants.request(session, own, asked, now=now)


@pytest.mark.parametrize("level", [Level.PRIVATE, Level.MEMBERS, Level.OPEN])
def test_readers_of_other_levels_are_not_named_one_by_one(
    session: Session, reader: str, now: datetime, level: Level
) -> None:
    """There are no grants for the team, for members, or for everybody."""
    own = Actor(reader, Role.EXTERNAL, "my research")
    with pytest.raises(UsageError):
        grants.request(session, own, NewGrant(reader, "heads", level, "a study"), now=now)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE \"grant\" SET ends_at = '2036-01-01 00:00:00'",
        "UPDATE \"grant\" SET level = 'EXTERNAL', person_id = 'p-external2'",
        "UPDATE person SET active = true, from_directory = true",
        "UPDATE acceptance SET expires_at = '2036-01-01 00:00:00'",
        "UPDATE release SET agreement_id = ''",
        "UPDATE consent_record SET highest_level = 'EXTERNAL'",
        "DELETE FROM consent_record WHERE consent_pk = 1",
    ],
)
def test_rows_edited_by_another_program_have_no_readers(
    session: Session, release: Release, grant: Grant, now: datetime, statement: str
) -> None:
    """What the log does not know is not believed, even where it would change nothing yet."""
    assert grants.readers_of(session, release, now) == {grant.person_id}

    session.execute(sa.text(statement))
    session.expire_all()

    assert grants.readers_of(session, release, now) == set()


def test_grant_written_into_the_table_gives_no_access_and_is_not_laundered_by_events(
    session: Session, site: Site, release: Release, grant: Grant, now: datetime
) -> None:
    """A row made by another program has no reader, and no event makes it one of ours."""
    far = "UPDATE \"grant\" SET ends_at = '2036-01-01 00:00:00'"
    session.execute(sa.text(far))

    with pytest.raises(RefusedByPolicyError, match="audit log"):
        grants.fire(session, Actor(grant.person_id, Role.EXTERNAL, "x"), grant, GrantEvent.RENEW,
                    now=now)  # fmt: skip
    assert grants.readers_of(session, release, now) == set()
    closed = grants.fire(session, site.acting(Role.STEWARD), grant, GrantEvent.SUSPEND, now=now)
    assert (closed.state, closed.ends_at) == (GrantState.SUSPENDED, now)


def test_members_read_what_is_for_members_once_they_accepted_the_policy(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """In the directory, active, and the policy accepted within a year; nobody else."""
    release = decided.published(session, home, site, now=now, level=Level.MEMBERS)
    for person, role in ((site.members[0], Role.MEMBER), (site.externals[0], Role.EXTERNAL)):
        decided.accept(session, person, role, now=now)

    assert grants.readers_of(session, release, now) == {site.members[0]}
    assert grants.readers_of(session, release, now + 365 * DAY) == set()


class _MustNotBeAsked:
    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"closing asked for {name}")


@pytest.mark.parametrize("state", list(GrantState))
def test_closing_a_grant_is_accepted_in_every_state_and_asks_nothing(state: GrantState) -> None:
    """Revoking, suspending and ending need one person and no condition."""
    case: object = _MustNotBeAsked()
    for event in CLOSING_GRANT_EVENTS:
        role = Role.OFFICER
        target = MACHINE.target(event, state, case, role)  # type: ignore[arg-type]  # not asked
        assert target not in READING_GRANTS


MACHINE = machine()


def test_only_accepting_approving_and_renewing_lead_to_access() -> None:
    """No other line of the table ends in a state that reads, coming from one that does not."""
    opening = {
        rule.event
        for rule in RULES
        if rule.target in READING_GRANTS and not rule.sources <= READING_GRANTS
    }

    assert opening == {GrantEvent.ACCEPT, GrantEvent.APPROVE, GrantEvent.RENEW}


def test_sweep_marks_what_time_has_done(session: Session, grant: Grant, now: datetime) -> None:
    """Expiring from thirty days before the end, expired at the end; twice changes nothing."""
    states = [
        [one.state for one in grants.sweep(session, now=now + days * DAY)]
        for days in (334, 335, 335, 365)
    ]

    assert states == [[], [GrantState.EXPIRING], [], [GrantState.EXPIRED]]
    assert grant.closed_reason == ""
