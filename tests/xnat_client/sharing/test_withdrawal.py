"""Withdrawal of consent: what closes at once, who is told what, and what nobody can find."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.builders import decided
from tests.builders.decided import Signers
from tests.builders.released import add_acceptance, add_grant, add_links, add_release
from tests.builders.sharing import Site, add_participant
from xnat_client.cli.main import run
from xnat_client.errors import BadInputError, NotAllowedError
from xnat_client.sharing import decisions, link_file, telling, withdrawal
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.database.tables import AuditEntry, ConsentRecord, Notice, Release
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.telling import Told
from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    GrantState,
    Level,
    ReleaseState,
    Role,
)
from xnat_client.sharing.withdrawal import Effect, Withdrawn

STATE = ReleaseState


@pytest.fixture(autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of link tables stand in a folder of this test's own."""
    monkeypatch.setenv(link_file.KEYS_VARIABLE, str(tmp_path_factory.mktemp("keys")))


def withdraw(
    site: Site,
    home: Home,
    now: datetime,
    event: ConsentEvent = ConsentEvent.NO_FURTHER_SHARING,
    participant: int | None = None,
) -> Withdrawn:
    with site.records.transaction() as session:
        return withdrawal.withdraw(
            session,
            home,
            site.acting(Role.STUDY_TEAM, "a letter"),
            participant or site.participants[0],
            event,
            given_on=now.date(),
            now=now,
        )


def tell(site: Site, home: Home, now: datetime, role: Role = Role.CUSTODIAN) -> Told:
    with site.records.transaction() as session:
        return telling.tell(session, home, site.acting(role), site.participants[0], now=now)


def state_of(site: Site, release: Release) -> ReleaseState:
    with site.records.transaction() as session:
        return session.get_one(Release, release.release_pk).state


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (STATE.DRAFT, STATE.DRAFT, Effect.BUILD_AGAIN),
        (STATE.CHECKED, STATE.DRAFT, Effect.APPROVAL_DROPPED),
        (STATE.PROPOSED, STATE.DRAFT, Effect.APPROVAL_DROPPED),
        (STATE.APPROVED, STATE.DRAFT, Effect.APPROVAL_DROPPED),
        (STATE.EMBARGOED, STATE.DRAFT, Effect.APPROVAL_DROPPED),
        (STATE.PUBLISHED, STATE.SUSPENDED, Effect.CLOSED),
        (STATE.SUPERSEDED, STATE.SUSPENDED, Effect.CLOSED),
        (STATE.SUSPENDED, STATE.SUSPENDED, Effect.CLOSED_BEFORE),
        (STATE.WITHDRAWN, STATE.WITHDRAWN, Effect.ENDED_BEFORE),
    ],
)
def test_release_in_any_state_is_closed(  # noqa: PLR0913, PLR0917  # one line of the table
    site: Site,
    home: Home,
    now: datetime,
    before: ReleaseState,
    after: ReleaseState,
    effect: Effect,
) -> None:
    """After a withdrawal no release with the participant is readable or on the way to it."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now, state=before)

    done = withdraw(site, home, now)

    assert [one.effect for one in done.releases] == [effect]
    assert state_of(site, release) is after


@pytest.mark.parametrize("event", [ConsentEvent.NO_FURTHER_SHARING, ConsentEvent.DELETE_EVERYTHING])
def test_release_without_the_participant_stays_open(
    site: Site, home: Home, now: datetime, event: ConsentEvent
) -> None:
    """A withdrawal closes what the participant is in, and nothing else."""
    with site.records.transaction() as session:
        touched = add_release(session, site, now=now)
        other = add_release(
            session, site, now=now, family="hands", participants=site.participants[1:]
        )

    withdraw(site, home, now, event)

    assert state_of(site, touched) is STATE.SUSPENDED
    assert state_of(site, other) is STATE.PUBLISHED


def test_no_further_contact_leaves_sharing_as_it_was(site: Site, home: Home, now: datetime) -> None:
    """Who only wants no more letters stays in the releases they consented to."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)

    done = withdraw(site, home, now, ConsentEvent.NO_FURTHER_CONTACT)

    assert done.releases == ()
    assert state_of(site, release) is STATE.PUBLISHED
    assert (
        not home.tombstones_path.exists() or "participant" not in home.tombstones_path.read_text()
    )


def test_withdrawal_adds_a_line_and_keeps_the_consent_before(
    site: Site, home: Home, now: datetime
) -> None:
    """The history says both: that consent was given, and that it was withdrawn."""
    withdraw(site, home, now)

    with site.records.transaction() as session:
        lines = session.scalars(
            sa.select(ConsentRecord.event).where(
                ConsentRecord.participant_pk == site.participants[0]
            )
        ).all()
    assert lines == [ConsentEvent.GIVEN, ConsentEvent.NO_FURTHER_SHARING]


def test_closed_release_cannot_be_opened_again_with_the_participant(
    site: Site, home: Home, now: datetime
) -> None:
    """Steward and officer both sign to resume it, and it stays closed."""
    signers = Signers()
    with site.records.transaction() as session:
        release = decided.published(session, home, site, now=now, signers=signers)
    withdraw(site, home, now)

    def resume(role: Role) -> None:
        with site.records.transaction() as session:
            row = session.get_one(Release, release.release_pk)
            actor = site.acting(role)
            signature = signers.sign(session, row, Decision.RESUME, actor.person_id, role, now=now)
            event = ReleaseEvent.RESUME
            decisions.fire(session, home, actor, row, event, now=now, signature=signature)

    resume(Role.STEWARD)
    with pytest.raises(RefusedByPolicyError, match="consent"):
        resume(Role.OFFICER)
    assert state_of(site, release) is STATE.SUSPENDED


def test_withdrawn_release_is_on_the_list_and_its_readers_are_told(
    site: Site, home: Home, now: datetime
) -> None:
    """One command of the officer ends it, lists it beside the database, and makes the notices."""
    with site.records.transaction() as session:
        release = decided.published(session, home, site, now=now)
        decided.granted(session, site, site.externals[0], release, now=now)
    who = ("--person", site.officer, "--role", "officer", "--reason", "a mistake")

    code = run(["release", "withdraw", "heads", "1.0.0", "--because", "error", *who])

    assert code == 0
    assert state_of(site, release) is STATE.WITHDRAWN
    assert '"kind":"release"' in home.tombstones_path.read_text()
    with site.records.transaction() as session:
        row = session.scalars(sa.select(Notice)).one()
        assert (row.person_id, row.kind) == (site.externals[0], "delete-release")


def test_second_withdrawal_of_the_same_participant_changes_no_release(
    site: Site, home: Home, now: datetime
) -> None:
    """Saying it twice is no error."""
    with site.records.transaction() as session:
        add_release(session, site, now=now)
    withdraw(site, home, now)

    again = withdraw(site, home, now + timedelta(hours=1), ConsentEvent.DELETE_EVERYTHING)

    assert [one.effect for one in again.releases] == [Effect.CLOSED_BEFORE]


def test_withdrawal_names_what_is_left_to_people(site: Site, home: Home, now: datetime) -> None:
    """Deleting the source data is a duty of people, and is said."""
    with site.records.transaction() as session:
        add_release(session, site, now=now)

    tasks = " ".join(withdraw(site, home, now, ConsentEvent.DELETE_EVERYTHING).tasks)

    assert "custodian" in tasks
    assert "next version" in tasks
    assert "source project" in tasks


def test_log_names_the_participant_by_number_only(site: Site, home: Home, now: datetime) -> None:
    """No entry of a withdrawal holds the source label."""
    with site.records.transaction() as session:
        add_release(session, site, now=now)
        add_links(session, home, "faces", {1: "sub-A", 2: "sub-B"}, now=now)
        add_grant(session, site, site.externals[0], now=now)
    withdraw(site, home, now)
    tell(site, home, now)

    with site.records.transaction() as session:
        said = " ".join(
            f"{one.object_id} {one.before} {one.after} {one.reason}"
            for one in session.scalars(sa.select(AuditEntry))
        )
    assert "consent of participant 1 was withdrawn" in said
    assert "SRC001" not in said
    assert "sub-A" not in said


def test_giving_consent_is_no_withdrawal(site: Site, home: Home, now: datetime) -> None:
    """The one event that opens cannot pass through here."""
    with pytest.raises(BadInputError, match="no withdrawal"):
        withdraw(site, home, now, ConsentEvent.GIVEN)


@pytest.mark.parametrize("role", [Role.MEMBER, Role.EXTERNAL])
def test_reader_cannot_withdraw_for_a_participant(
    site: Site, home: Home, now: datetime, role: Role
) -> None:
    """Those who only read decide nothing."""

    def act() -> None:
        with site.records.transaction() as session:
            withdrawal.withdraw(
                session,
                home,
                site.acting(role),
                site.participants[0],
                ConsentEvent.NO_FURTHER_SHARING,
                given_on=now.date(),
                now=now,
            )

    with pytest.raises(NotAllowedError):
        act()


def test_everybody_with_a_grant_that_ever_ran_is_told_the_label(
    site: Site, home: Home, now: datetime
) -> None:
    """Current and former readers get the participant's label; who never could read gets nothing."""
    with site.records.transaction() as session:
        add_release(session, site, now=now)
        add_links(session, home, "faces", {1: "sub-A", 2: "sub-B"}, now=now)
        add_grant(session, site, site.externals[0], now=now)
        add_grant(session, site, site.externals[1], now=now, state=GrantState.EXPIRED)
        add_grant(session, site, site.outsider, now=now, state=GrantState.REQUESTED)
        add_grant(session, site, site.members[0], now=now, family="hands")
    withdraw(site, home, now)

    told = tell(site, home, now)

    assert told == Told(2, (), ())
    with site.records.transaction() as session:
        rows = session.scalars(sa.select(Notice).order_by(Notice.person_id)).all()
        assert [(row.person_id, row.labels) for row in rows] == [
            (site.externals[0], ["sub-A"]),
            (site.externals[1], ["sub-A"]),
        ]


def test_members_who_accepted_the_policy_are_told(site: Site, home: Home, now: datetime) -> None:
    """In a release for members, whoever accepted the terms may have a copy."""
    with site.records.transaction() as session:
        add_release(session, site, now=now, level=Level.MEMBERS)
        add_links(session, home, "faces", {1: "sub-A", 2: "sub-B"}, now=now)
        add_acceptance(session, site.members[0], now=now)
    withdraw(site, home, now)

    assert tell(site, home, now).notices == 1


def test_telling_twice_makes_no_second_notice(site: Site, home: Home, now: datetime) -> None:
    """The custodian can repeat the step after a break."""
    with site.records.transaction() as session:
        add_release(session, site, now=now)
        add_links(session, home, "faces", {1: "sub-A", 2: "sub-B"}, now=now)
        add_grant(session, site, site.externals[0], now=now)
    withdraw(site, home, now)

    tell(site, home, now)
    tell(site, home, now)

    with site.records.transaction() as session:
        assert len(session.scalars(sa.select(Notice)).all()) == 1


def test_open_release_gets_a_line_in_the_public_list_of_changes(
    site: Site, home: Home, now: datetime
) -> None:
    """Nobody knows who copied an open release, so the label is named in public, once."""
    with site.records.transaction() as session:
        add_release(session, site, now=now, level=Level.OPEN)
        add_links(session, home, "faces", {1: "sub-A", 2: "sub-B"}, now=now)
    withdraw(site, home, now)

    told = tell(site, home, now)
    tell(site, home, now)

    assert told == Told(0, ("faces 1.0.0",), ())
    text = telling.public_changes_path(home, "faces").read_text()
    (line,) = [json.loads(one) for one in text.splitlines()]
    assert line["delete"] == ["sub-A"]
    assert line["date"] == "2026-05-04"
    assert "SRC" not in text


def test_destroyed_link_table_gives_an_answer_instead_of_labels(
    site: Site, home: Home, now: datetime
) -> None:
    """Once the link is destroyed nobody is told a label, and the answer says why."""
    with site.records.transaction() as session:
        add_release(session, site, now=now, level=Level.OPEN)
        table = add_links(session, home, "faces", {1: "sub-A", 2: "sub-B"}, now=now)
        table.destroy(session, site.acting(Role.CUSTODIAN), now=now)
    withdraw(site, home, now)

    told = tell(site, home, now)

    assert told == Told(0, (), ("faces 1.0.0",))
    answer = telling.reply_not_located(told.not_located)
    assert "faces 1.0.0" in answer
    assert "cannot be taken out" in " ".join(answer.split())


@pytest.mark.parametrize("role", [Role.LEAD, Role.STEWARD, Role.OFFICER, Role.ADMINISTRATOR])
def test_only_the_custodian_reads_the_label(
    site: Site, home: Home, now: datetime, role: Role
) -> None:
    """No other role gets a withdrawn participant's label out of the link table."""
    with site.records.transaction() as session:
        add_release(session, site, now=now)
        add_links(session, home, "faces", {1: "sub-A", 2: "sub-B"}, now=now)
    withdraw(site, home, now)

    with pytest.raises(NotAllowedError, match="custodian"):
        tell(site, home, now, role)


def test_nobody_is_told_of_a_participant_who_has_not_withdrawn(
    site: Site, home: Home, now: datetime
) -> None:
    """The custodian's step is no way to look labels up."""
    with pytest.raises(BadInputError, match="has not withdrawn"):
        tell(site, home, now)


def test_withdrawn_release_asks_its_recipients_to_delete_it(
    site: Site, home: Home, now: datetime
) -> None:
    """The whole release is named, no label."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now, state=STATE.WITHDRAWN)
        add_grant(session, site, site.externals[0], now=now, state=GrantState.ENDED)
        count = telling.tell_of_release(session, home, service("a test"), release, now=now)

    assert count == 1
    with site.records.transaction() as session:
        row = session.scalars(sa.select(Notice)).one()
        assert (row.kind, row.labels) == ("delete-release", [])


def test_enforcing_closes_what_consent_no_longer_allows(
    site: Site, home: Home, now: datetime
) -> None:
    """A consent line that came in past the withdrawal's own way still closes the release."""
    with site.records.transaction() as session:
        stranger = add_participant(session, site.study_pk, "SRC009", now, level=None)
        good = add_release(session, site, now=now, family="hands")
        bad = add_release(session, site, now=now, participants=[*site.participants, stranger])

    with site.records.transaction() as session:
        closed = withdrawal.enforce(session, home, now=now)

    assert [one.release_pk for one in closed] == [bad.release_pk]
    assert state_of(site, bad) is STATE.SUSPENDED
    assert state_of(site, good) is STATE.PUBLISHED


def test_enforcing_closes_what_goes_beyond_the_level_consented_to(
    site: Site, home: Home, now: datetime
) -> None:
    """Consent to members' use does not carry an external release, and carries a members' one."""
    with site.records.transaction() as session:
        limited = add_participant(session, site.study_pk, "SRC009", now, level=Level.MEMBERS)
        inside = add_release(
            session, site, now=now, level=Level.MEMBERS, participants=[limited], family="in"
        )
        outside = add_release(session, site, now=now, participants=[limited], family="out")

    with site.records.transaction() as session:
        withdrawal.enforce(session, home, now=now)

    assert state_of(site, inside) is STATE.PUBLISHED
    assert state_of(site, outside) is STATE.SUSPENDED


@pytest.mark.parametrize(
    ("version", "expected"), [("1.0.0", "2.0.0"), ("0.3.7", "1.0.0"), ("12.5.9", "13.0.0")]
)
def test_version_without_the_participant_is_the_next_major_one(version: str, expected: str) -> None:
    """Removing a participant raises the first number (release rules)."""
    assert withdrawal.next_version(version) == expected


def test_date_of_the_withdrawal_may_lie_before_today_and_not_after(
    site: Site, home: Home, now: datetime
) -> None:
    """A letter may be older than its record; a letter of tomorrow cannot be."""
    with site.records.transaction() as session:
        actor: Actor = site.acting(Role.STUDY_TEAM)
        withdrawal.withdraw(
            session,
            home,
            actor,
            site.participants[0],
            ConsentEvent.NO_FURTHER_SHARING,
            given_on=date(2026, 4, 1),
            now=now,
        )
    with site.records.transaction() as session:
        row = session.scalars(
            sa.select(ConsentRecord).order_by(ConsentRecord.consent_pk.desc())
        ).first()
        assert row is not None
        assert row.given_on == date(2026, 4, 1)
