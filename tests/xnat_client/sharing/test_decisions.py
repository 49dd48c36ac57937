"""Decisions on releases on real records: what opens, what refuses, what closes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.builders import decided
from tests.builders.decided import Signers
from tests.builders.sharing import Site
from xnat_client.errors import NotAllowedError, RefusedByPolicyError, UsageError
from xnat_client.sharing import approvals, decisions, evidence, grants, link_file, standing
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.check import freshness
from xnat_client.sharing.check.folder import observe
from xnat_client.sharing.database.tables import Approval, AuditEntry, Person, Release
from xnat_client.sharing.evidence import CheckId
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import consent, people
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    Level,
    Outcome,
    ReleaseState,
    Role,
    WithdrawalReason,
)

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _keys_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(link_file.KEYS_VARIABLE, str(tmp_path / "link-keys"))


@pytest.fixture
def session(site: Site) -> Iterator[Session]:
    """One transaction over the small site's records."""
    with site.records.transaction() as opened:
        yield opened


@pytest.fixture
def signers() -> Signers:
    """The keys of those who decide."""
    return Signers()


def _proposed(
    session: Session, home: Home, site: Site, now: datetime, level: Level = Level.EXTERNAL
) -> Release:
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now, level=level)
    team = site.acting(Role.STUDY_TEAM)
    release = decisions.fire(session, home, team, release, ReleaseEvent.CHECK, now=now)
    return decisions.fire(session, home, team, release, ReleaseEvent.PROPOSE, now=now)


def _withdraw_consent(session: Session, site: Site, participant: int, now: datetime) -> None:
    line = ConsentLine(ConsentEvent.NO_FURTHER_SHARING, now.date())
    consent.record(session, site.acting(Role.STUDY_TEAM), participant, line, now=now)


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
    release = _proposed(session, home, site, now)
    people.give_role(
        session, site.acting(Role.LEAD), site.steward, Role.STUDY_TEAM, site.study_pk, now=now
    )

    with pytest.raises(RefusedByPolicyError, match="own team"):
        decided.approve_all(session, home, site, release, signers, now=now)


def test_two_records_of_one_person_count_as_one(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """Lead and steward with one e-mail address are one person, so the set is not complete."""
    release = _proposed(session, home, site, now)
    addresses = {session.get_one(Person, one) for one in (site.lead, site.steward)}
    for person in addresses:
        person.email = "Same@People.test" if person.person_id == site.lead else "same@people.test "

    with pytest.raises(RefusedByPolicyError, match="count as one"):
        decided.approve_all(session, home, site, release, signers, now=now)


def test_signature_of_another_person_is_refused(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """The steward's signature does not make the lead's decision."""
    release = _proposed(session, home, site, now)
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
    release = _proposed(session, home, site, now)

    with pytest.raises(UsageError, match="signature"):
        decisions.fire(
            session, home, site.acting(Role.LEAD), release, ReleaseEvent.APPROVE, now=now
        )


def test_key_that_the_log_does_not_know_signs_nothing(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """A public key that was put into the table by hand makes no approval valid."""
    release = _proposed(session, home, site, now)
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
    release = _proposed(session, home, site, now)
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
    release = _proposed(session, home, site, now)
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


def _change_a_file(session: Session, home: Home, release: Release, _now: datetime) -> None:
    del session
    folder = evidence.release_folder(home, release)
    (folder / "participants.tsv").write_text("participant_id\nsub-002\n")


def _add_a_file(session: Session, home: Home, release: Release, _now: datetime) -> None:
    del session
    (evidence.release_folder(home, release) / "sub-001" / "notes.txt").write_text("extra")


def _link_a_file(session: Session, home: Home, release: Release, _now: datetime) -> None:
    del session
    path = evidence.release_folder(home, release) / "participants.tsv"
    content = path.read_bytes()
    path.unlink()
    other = home.folder / "elsewhere.tsv"
    other.write_bytes(content)
    path.symlink_to(other)


def _adopt_criteria(session: Session, _home: Home, _release: Release, now: datetime) -> None:
    officer = Actor("p-officer", Role.OFFICER, "better criteria")
    file = decided.CriteriaFile("2.0", "c2" * 32)
    decided.criteria.adopt(session, officer, file, now=now + timedelta(seconds=1))


def _find_a_face(session: Session, _home: Home, release: Release, now: datetime) -> None:
    decided.add_evidence(session, release, now=now, outcomes={CheckId.FACES: Outcome.NOT_MET})


def _use_an_older_tool(session: Session, _home: Home, release: Release, now: datetime) -> None:
    decided.add_evidence(session, release, now=now, version="0.0.1 older")


def _end_the_stewards_role(session: Session, _home: Home, release: Release, now: datetime) -> None:
    del release
    officer = Actor("p-officer", Role.OFFICER, "left")
    people.end_role(session, officer, "p-steward", Role.STEWARD, None, now=now)


def _forget_a_participant(session: Session, _home: Home, release: Release, _now: datetime) -> None:
    row = session.scalars(
        sa.select(decided.ReleaseParticipant).where(
            decided.ReleaseParticipant.release_pk == release.release_pk
        )
    ).first()
    session.delete(row)


def _revoke_the_statement(session: Session, _home: Home, release: Release, now: datetime) -> None:
    del release
    row = session.scalars(
        sa.select(decided.statements.Statement).where(
            decided.statements.Statement.prerequisite == 18
        )
    ).one()
    officer = Actor("p-officer", Role.OFFICER, "not so sure")
    decided.statements.revoke(session, officer, row.statement_pk, now=now)


@pytest.mark.parametrize(
    "change",
    [
        _change_a_file,
        _add_a_file,
        _link_a_file,
        _adopt_criteria,
        _find_a_face,
        _use_an_older_tool,
        _end_the_stewards_role,
        _forget_a_participant,
        _revoke_the_statement,
    ],
)
def test_whatever_changes_between_approval_and_application_is_found(  # noqa: PLR0913, PLR0917  # fixtures and a case
    session: Session, home: Home, site: Site, now: datetime, signers: Signers, change: object
) -> None:
    """All guards are evaluated again when a release is applied."""
    release = _proposed(session, home, site, now)
    release = decided.approve_all(session, home, site, release, signers, now=now)
    seen = observe(evidence.release_folder(home, release))

    change(session, home, release, now)  # type: ignore[operator]  # one of the functions above

    with pytest.raises(RefusedByPolicyError) as caught:
        decisions.fire(
            session, home, service("apply"), release, ReleaseEvent.APPLY, now=now, folder=seen
        )
    assert caught.value.findings
    assert caught.value.exit_code == 4


def test_withdrawn_consent_keeps_an_approved_release_closed_and_empties_a_published_one(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """Consent is asked at the application, and again each time that readers are named."""
    first = decided.published(session, home, site, now=now, signers=signers)
    decided.granted(session, site, site.externals[0], first, now=now)
    second = decided.draft(session, home, site, now=now, version="1.1.0")
    team = site.acting(Role.STUDY_TEAM)
    for event in (ReleaseEvent.CHECK, ReleaseEvent.PROPOSE):
        second = decisions.fire(session, home, team, second, event, now=now)
    second = decided.approve_all(session, home, site, second, signers, now=now)
    assert grants.readers_of(session, first, now) == {site.externals[0]}

    _withdraw_consent(session, site, site.participants[0], now)

    assert grants.readers_of(session, first, now) == set()
    with pytest.raises(RefusedByPolicyError, match=f"participant {site.participants[0]}"):
        decisions.fire(session, home, service("apply"), second, ReleaseEvent.APPLY, now=now)


def test_approvals_older_than_thirty_days_are_not_applied(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """An approval waits thirty days at most."""
    release = _proposed(session, home, site, now)
    release = decided.approve_all(session, home, site, release, signers, now=now)

    with pytest.raises(RefusedByPolicyError, match="30 days"):
        decisions.fire(
            session, home, service("late"), release, ReleaseEvent.APPLY, now=now + 30 * DAY
        )


def test_clock_turned_back_makes_no_approval_young_and_ends_no_embargo(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """A time earlier than the records have seen is not believed."""
    release = _proposed(session, home, site, now)
    release = decided.approve_all(session, home, site, release, signers, now=now)
    decisions.fire(session, home, service("look"), release, ReleaseEvent.STALE, now=now + 40 * DAY)
    team = site.acting(Role.STUDY_TEAM)

    checked = decisions.fire(session, home, team, release, ReleaseEvent.CHECK, now=now)

    assert checked.checked_at == now + 40 * DAY


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


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE release SET state = 'published'",
        "UPDATE release SET state = 'published', published_at = created_at, level = 'OPEN'",
    ],
)
def test_state_written_into_the_table_opens_nothing(
    session: Session, home: Home, site: Site, now: datetime, statement: str
) -> None:
    """A row that another program edited has no readers, and nothing lets it open."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now)
    session.execute(sa.text(statement))

    assert grants.readers_of(session, release, now) == set()
    assert standing.objections(session, release, now)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consent_record SET highest_level = 'OPEN'",
        "DELETE FROM consent_record WHERE event = 'no-further-sharing'",
        "UPDATE evidence SET outcome = 'met'",
        "UPDATE statement SET revoked_at = NULL",
        "UPDATE consent_form SET accepted_by = 'p-lead'",
        "UPDATE criteria_version SET sha256 = 'c2'",
    ],
)
def test_records_edited_by_another_program_open_nothing(  # noqa: PLR0913, PLR0917  # fixtures and a case
    session: Session, home: Home, site: Site, now: datetime, statement: str, signers: Signers
) -> None:
    """Such an edit does not fit the log, so nothing opens, whatever it would make true."""
    release = _proposed(session, home, site, now)
    release = decided.approve_all(session, home, site, release, signers, now=now)
    _withdraw_consent(session, site, site.participants[0], now)
    decided.add_evidence(session, release, now=now, outcomes={CheckId.FACES: Outcome.NOT_MET})
    _revoke_the_statement(session, home, release, now)
    session.execute(sa.text(statement))

    with pytest.raises(RefusedByPolicyError) as caught:
        decisions.fire(session, home, service("apply"), release, ReleaseEvent.APPLY, now=now)

    assert "records" in {one.key for one in caught.value.findings}


def test_observation_before_the_transaction_spares_reading_untouched_files(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """A file that was touched since is read again; what it holds now is what counts."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now)
    folder = evidence.release_folder(home, release)
    seen = observe(folder)

    (folder / "participants.tsv").write_text("participant_id\nsub-00X\n")
    again = freshness.look(session, home, release, seen)

    assert again.file_reasons == ("File participants.tsv was changed.",)


def test_stale_releases_are_sent_back_by_the_sweep(
    home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """A changed file turns what was approved into a draft, drops its approvals, and only once."""
    with site.records.transaction() as session:
        release = _proposed(session, home, site, now)
        release = decided.approve_all(session, home, site, release, signers, now=now)
    assert decisions.sweep(home, site.records, lambda _: now) == []
    _change_a_file(session, home, release, now)

    first = decisions.sweep(home, site.records, lambda _: now)
    second = decisions.sweep(home, site.records, lambda _: now)

    with site.records.transaction() as session:
        row = session.get_one(Release, release.release_pk)
        counting = approvals.votes(session, row, Decision.APPROVE)
    assert (first, second) == ([release.release_pk], [])
    assert row.state is ReleaseState.DRAFT
    assert counting == ()


def test_withdrawal_and_publication_at_the_same_time_never_end_in_readers(
    site: Site, home: Home, now: datetime, signers: Signers
) -> None:
    """Two transactions race; in either order nobody reads what a participant withdrew from."""
    with site.records.transaction() as session:
        decided.prepare(session, site, now=now)
        release = decided.draft(session, home, site, now=now, level=Level.OPEN)
        team = site.acting(Role.STUDY_TEAM)
        for event in (ReleaseEvent.CHECK, ReleaseEvent.PROPOSE):
            release = decisions.fire(session, home, team, release, event, now=now)
        decided.approve_all(session, home, site, release, signers, now=now)
    start = threading.Barrier(2)

    def withdraw() -> None:
        start.wait()
        with site.records.transaction() as own:
            _withdraw_consent(own, site, site.participants[0], now)

    def publish() -> None:
        start.wait()
        try:
            with site.records.transaction() as own:
                decisions.fire(own, home, service("apply"), release, ReleaseEvent.APPLY, now=now)
        except RefusedByPolicyError:
            return

    racers = [threading.Thread(target=one) for one in (withdraw, publish)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    with site.records.transaction() as session:
        assert grants.readers_of(session, release, now) == set()
