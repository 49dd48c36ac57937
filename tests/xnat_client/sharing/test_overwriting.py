"""Writing over a row that another program edited: the edit is never sealed as if it were ours."""

from __future__ import annotations

from datetime import date, datetime

import pytest
import sqlalchemy as sa

from tests.builders import decided
from tests.builders.sharing import FORM, Site
from xnat_client.cli.main import run
from xnat_client.sharing import decisions, grants
from xnat_client.sharing.audit.verify import verify
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Person, Release
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import forms, people, statements, studies
from xnat_client.sharing.records.studies import StudyFacts
from xnat_client.sharing.vocabulary import ReleaseState, Role

pytestmark = pytest.mark.usefixtures("link_keys")

on_sqlite = pytest.mark.parametrize("records", ["sqlite"], indirect=True)
"""What is compared is read and written by the same statements on both databases."""


def edit(records: Database, statement: str) -> None:
    """Change the database as another program would."""
    with records.engine.begin() as connection:
        connection.execute(sa.text(statement))


def broken(records: Database) -> list[str]:
    with records.transaction() as session:
        return [one.place for one in verify(session).breaks]


def test_an_edited_study_is_not_written_over(site: Site, now: datetime) -> None:
    """A lead set by SQL does not become the recorded lead by an update of the ethics reference."""
    edit(site.records, "UPDATE study SET lead_id = 'p-outsider'")

    facts = StudyFacts(ethics_reference="R2")
    with (
        pytest.raises(RefusedByPolicyError, match="row 1 of study"),
        site.records.transaction() as session,
    ):
        studies.update(session, site.acting(Role.OFFICER), site.study_pk, facts, now=now)

    assert broken(site.records) == ["row 1 of study"]


@on_sqlite
def test_the_command_says_so_and_changes_nothing(
    site: Site, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """`share study update` over an edited row ends with code 4 and one sentence."""
    assert home
    edit(site.records, "UPDATE study SET lead_id = 'p-outsider'")
    officer = ["--person", site.officer, "--role", "officer", "--reason", "a test"]

    code = run(["share", "study", "update", "SOURCE", "--ethics", "R2", *officer])

    assert code == 4
    assert "another program edited it" in capsys.readouterr().err
    with site.records.engine.connect() as connection:
        kept = connection.execute(sa.text("SELECT ethics_reference FROM study")).scalar_one()
    assert kept == "R12345/RE001"


@on_sqlite
def test_a_key_is_not_put_on_an_edited_person(site: Site, now: datetime) -> None:
    """Flags that SQL gave a person are not sealed with the person's new key."""
    edit(site.records, "UPDATE person SET from_directory = true WHERE person_id = 'p-external1'")

    with pytest.raises(RefusedByPolicyError), site.records.transaction() as session:
        decided.Signers().key_of(session, "p-external1", Role.EXTERNAL, now)

    assert broken(site.records) == ["row p-external1 of person"]


@on_sqlite
def test_an_edited_person_can_be_made_inactive_and_stays_reported(
    site: Site, now: datetime
) -> None:
    """Ending somebody's standing goes through, and hides nothing."""
    edit(site.records, "UPDATE person SET from_directory = true WHERE person_id = 'p-external1'")

    with site.records.transaction() as session:
        officer = site.acting(Role.OFFICER)
        people.set_active(session, officer, "p-external1", active=False, now=now)

    with site.records.transaction() as session:
        assert not session.get_one(Person, "p-external1").active
    assert broken(site.records) == ["row p-external1 of person"]


@pytest.mark.parametrize("event", [ReleaseEvent.SUSPEND, ReleaseEvent.WITHDRAW])
def test_an_edited_release_is_closed_and_never_believed_again(
    site: Site, home: Home, now: datetime, event: ReleaseEvent
) -> None:
    """Closing asks nothing, not even that the row is whole; the edit stays found, none reads."""
    with site.records.transaction() as session:
        release_pk = decided.published(session, home, site, now=now).release_pk
    edit(site.records, "UPDATE release SET level = 'OPEN', requested_by = 'p-outsider'")

    with site.records.transaction() as session:
        release = session.get_one(Release, release_pk)
        officer = site.acting(Role.OFFICER)
        release = decisions.fire(session, home, officer, release, event, now=now)

    with site.records.transaction() as session:
        release = session.get_one(Release, release_pk)
        assert release.state in {ReleaseState.SUSPENDED, ReleaseState.WITHDRAWN}
        assert grants.readers_of(session, release, now) == set()
    assert broken(site.records) == [f"row {release_pk} of release"]


@on_sqlite
def test_edited_rows_that_close_by_a_date_or_a_word_are_still_closed(
    site: Site, now: datetime
) -> None:
    """A form is rejected, a statement revoked, a role taken, though each was edited before."""
    with site.records.transaction() as session:
        decided.prepare(session, site, now=now)
    edit(site.records, "UPDATE consent_form SET highest_level = 'OPEN', duo_codes = '[]'")
    edit(site.records, "UPDATE statement SET text = 'All is well, believe me.'")
    edit(site.records, "UPDATE role_assignment SET since = '2020-01-01 00:00:00'")
    before = set(broken(site.records))
    officer = site.acting(Role.OFFICER)

    with site.records.transaction() as session:
        forms.set_accepted(session, officer, *FORM, accepted=False, now=now)
        statements.revoke(session, officer, 1, now=now)
        people.end_role(session, officer, site.steward, Role.STEWARD, None, now=now)

    assert set(broken(site.records)) == before


@on_sqlite
def test_an_edited_form_is_not_accepted(site: Site, now: datetime) -> None:
    """Accepting opens: what the form allows by SQL is not sealed by the officer's word."""
    officer = site.acting(Role.OFFICER)
    with site.records.transaction() as session:
        forms.set_accepted(session, officer, *FORM, accepted=False, now=now)
    edit(site.records, "UPDATE consent_form SET purpose_review = true")

    with pytest.raises(RefusedByPolicyError), site.records.transaction() as session:
        forms.set_accepted(session, officer, *FORM, accepted=True, now=now)


@on_sqlite
def test_writing_back_what_the_log_knows_mends_the_row(site: Site, now: datetime) -> None:
    """Undoing the edit by an ordinary act is a mend, not a cover."""
    edit(site.records, "UPDATE study SET ethics_reference = 'X', retention_until = '2041-01-01'")

    with site.records.transaction() as session:
        facts = StudyFacts(ethics_reference="R12345/RE001", retention_until=date(2040, 1, 1))
        studies.update(session, site.acting(Role.OFFICER), site.study_pk, facts, now=now)

    assert broken(site.records) == []


@on_sqlite
def test_a_row_that_the_log_does_not_know_is_not_adopted(site: Site) -> None:
    """A person whom SQL added is not sealed by giving them a key."""
    edit(
        site.records,
        "INSERT INTO person SELECT 'p-ghost', name, email, institution, orcid, active, "
        "from_directory, public_key FROM person WHERE person_id = 'p-lead'",
    )

    with pytest.raises(RefusedByPolicyError), site.records.transaction() as session:
        session.get_one(Person, "p-ghost").public_key = "mine"

    assert broken(site.records) == ["row p-ghost of person"]
