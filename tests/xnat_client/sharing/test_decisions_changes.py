"""What changes between a decision and what it opens is found, on real records."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.builders import decided
from tests.builders.decided import Signers
from tests.builders.sharing import Site
from xnat_client.sharing import approvals, decisions, evidence, grants, standing
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.check import freshness
from xnat_client.sharing.check.folder import observe
from xnat_client.sharing.database.tables import Release
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.evidence import CheckId
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import (
    Level,
    Outcome,
    ReleaseState,
    Role,
)

pytestmark = pytest.mark.usefixtures("link_keys")

DAY = timedelta(days=1)


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
    release = decided.proposed(session, home, site, now)
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

    decided.withdraw_consent(session, site, site.participants[0], now)

    assert grants.readers_of(session, first, now) == set()
    with pytest.raises(RefusedByPolicyError, match=f"participant {site.participants[0]}"):
        decisions.fire(session, home, service("apply"), second, ReleaseEvent.APPLY, now=now)


def test_approvals_older_than_thirty_days_are_not_applied(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """An approval waits thirty days at most."""
    release = decided.proposed(session, home, site, now)
    release = decided.approve_all(session, home, site, release, signers, now=now)

    with pytest.raises(RefusedByPolicyError, match="30 days"):
        decisions.fire(
            session, home, service("late"), release, ReleaseEvent.APPLY, now=now + 30 * DAY
        )


def test_clock_turned_back_makes_no_approval_young_and_ends_no_embargo(
    session: Session, home: Home, site: Site, now: datetime, signers: Signers
) -> None:
    """A time earlier than the records have seen is not believed."""
    release = decided.proposed(session, home, site, now)
    release = decided.approve_all(session, home, site, release, signers, now=now)
    decisions.fire(session, home, service("look"), release, ReleaseEvent.STALE, now=now + 40 * DAY)
    team = site.acting(Role.STUDY_TEAM)

    checked = decisions.fire(session, home, team, release, ReleaseEvent.CHECK, now=now)

    assert checked.checked_at == now + 40 * DAY


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
    release = decided.proposed(session, home, site, now)
    release = decided.approve_all(session, home, site, release, signers, now=now)
    decided.withdraw_consent(session, site, site.participants[0], now)
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
        release = decided.proposed(session, home, site, now)
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
            decided.withdraw_consent(own, site, site.participants[0], now)

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
