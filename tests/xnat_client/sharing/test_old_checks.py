"""Published releases that older criteria or checks checked: accepted until a day, or closed."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.builders import decided
from tests.builders.decided import Signers
from tests.builders.sharing import Site
from xnat_client.cli.main import run
from xnat_client.errors import NotAllowedError, UsageError
from xnat_client.sharing import decisions, evidence
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.check import old_evidence
from xnat_client.sharing.check.freshness import version_now
from xnat_client.sharing.database.tables import Release
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import criteria, old_checks
from xnat_client.sharing.vocabulary import Level, ReleaseState, Role

pytestmark = [
    pytest.mark.parametrize("records", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("link_keys"),
]
DAY = timedelta(days=1)


class World:
    """A published release, suspended after new criteria were adopted; all its people sign."""

    def __init__(self, site: Site, home: Home, now: datetime, level: Level) -> None:
        self.site, self.home, self.now, self.signers = site, home, now, Signers()
        with site.records.transaction() as session:
            release = decided.published(
                session, home, site, now=now, level=level, signers=self.signers
            )
            self.release_pk = release.release_pk

    def adopt(self, version: str) -> None:
        """Let the officer adopt a list of criteria."""
        with self.site.records.transaction() as session:
            officer = self.site.acting(Role.OFFICER)
            digest = version[0] * 64
            newer = criteria.CriteriaFile(version, digest)
            criteria.adopt(session, officer, newer, now=self.now)

    def release(self, session: Session) -> Release:
        """Return the release."""
        return session.get_one(Release, self.release_pk)

    def accept(self, until: date, now: datetime | None = None, role: Role = Role.OFFICER) -> None:
        """Accept that it was checked by older means."""
        at = now or self.now
        with self.site.records.transaction() as session:
            actor, row = self.site.acting(role), self.release(session)
            old_checks.accept(session, actor, row, until, version_now(), now=at)

    def close_and_reopen(self, now: datetime | None = None) -> ReleaseState:
        """Suspend it, and let steward and officer agree to open it again."""
        at = now or self.now
        with self.site.records.transaction() as session:
            lead, row = self.site.acting(Role.LEAD), self.release(session)
            decisions.fire(session, self.home, lead, row, ReleaseEvent.SUSPEND, now=at)
        for role in (Role.STEWARD, Role.OFFICER):
            with self.site.records.transaction() as session:
                actor, row = self.site.acting(role), self.release(session)
                signature = self.signers.sign(
                    session, row, Decision.RESUME, actor.person_id, role, now=at
                )
                row = decisions.fire(
                    session, self.home, actor, row, ReleaseEvent.RESUME, now=at,
                    signature=signature,
                )  # fmt: skip
        return row.state

    def status(self, now: datetime | None = None) -> str:
        """Return how its checks stand."""
        with self.site.records.transaction() as session:
            return old_evidence.status(session, self.release(session), now or self.now)


@pytest.fixture
def world(site: Site, home: Home, now: datetime) -> World:
    return World(site, home, now, Level.EXTERNAL)


def test_without_a_word_of_the_officer_it_is_not_opened_again(world: World) -> None:
    """New criteria leave a published release readable, but nobody resumes it under them."""
    assert world.status() == ""
    world.adopt("2.0")

    assert "the officer accepts that until a day" in world.status()
    with pytest.raises(RefusedByPolicyError) as caught:
        world.close_and_reopen()
    assert "criteria" in {one.key for one in caught.value.findings}


def test_accepted_until_a_day_it_is_opened_again_and_the_status_says_so(world: World) -> None:
    """The officer's dated word stands for the criteria and the checks; nothing else is waived."""
    world.adopt("2.0")
    with world.site.records.transaction() as session:
        decided.add_evidence(session, world.release(session), now=world.now, version="0.0.1")
    world.accept((world.now + 30 * DAY).date())

    assert world.status().endswith("accepted by the officer until 2026-06-03.")
    assert world.close_and_reopen() is ReleaseState.PUBLISHED


@pytest.mark.parametrize("ending", ["day passed", "criteria again", "revoked", "edited", "file"])
def test_the_word_ends_and_does_not_cover_more(world: World, ending: str) -> None:
    """After its day, newer criteria, a revocation, an edit by SQL, or with a changed file: no."""
    world.adopt("2.0")
    world.accept(world.now.date())
    at = world.now
    if ending == "day passed":
        at = world.now + DAY
    elif ending == "criteria again":
        world.adopt("3.0")
    elif ending == "revoked":
        with world.site.records.transaction() as session:
            officer = world.site.acting(Role.OFFICER)
            old_checks.revoke(session, officer, world.release(session), now=at)
    elif ending == "edited":
        with world.site.records.engine.begin() as connection:
            connection.execute(sa.text("UPDATE criteria_acceptance SET until = '2030-01-01'"))
    else:
        with world.site.records.transaction() as session:
            folder = evidence.release_folder(world.home, world.release(session))
        (folder / "participants.tsv").write_text("participant_id\nsub-009\n")

    with pytest.raises(RefusedByPolicyError):
        world.close_and_reopen(at)


def test_an_open_release_of_more_than_a_year_must_be_checked_again(
    site: Site, home: Home, now: datetime
) -> None:
    """No word covers that: it says so, and is not opened again."""
    world = World(site, home, now, Level.OPEN)
    later = now + 366 * DAY
    world.adopt("2.0")
    world.accept((later + 30 * DAY).date(), later)

    assert "must be checked again" in world.status(later)
    assert "accepted by the officer" in world.status(later - 2 * DAY)
    with site.records.transaction() as session:
        release = world.release(session)
        assert old_evidence.is_overdue(session, release, later)
        assert not old_evidence.is_overdue(session, release, now + 365 * DAY)


def test_who_may_accept_what(site: Site, home: Home, now: datetime) -> None:
    """The officer alone, of a published release, for a day within a year."""
    world = World(site, home, now, Level.EXTERNAL)
    with pytest.raises(NotAllowedError):
        world.accept(now.date(), role=Role.LEAD)
    for until in (now - DAY, now + 366 * DAY):
        with pytest.raises(UsageError, match="Name a day"):
            world.accept(until.date())
    with site.records.transaction() as session:
        draft = decided.draft(session, home, site, now=now, version="2.0.0")
        officer = Actor(site.officer, Role.OFFICER, "a test")
        with pytest.raises(UsageError, match="never published"):
            old_checks.accept(session, officer, draft, now.date(), version_now(), now=now)


def test_commands_list_accept_and_revoke(
    site: Site, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """`share criteria affected`, `accept`, `revoke-acceptance`, and `release show`."""
    with site.records.transaction() as session:
        now = decided.clock_now(session)
    world = World(site, home, now, Level.EXTERNAL)
    world.adopt("2.0")
    officer = ["--person", site.officer, "--role", "officer", "--reason", "no risk in it"]
    name = ["heads", "1.0.0"]
    day = (now + 5 * DAY).date().isoformat()

    assert run(["share", "criteria", "affected", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["releases"]
    assert run(["share", "criteria", "accept", *name, "--until", day, *officer]) == 0
    capsys.readouterr()
    assert run(["release", "show", *name, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert run(["share", "criteria", "revoke-acceptance", *name, *officer]) == 0

    assert [(one["family"], one["version"]) for one in listed] == [("heads", "1.0.0")]
    assert shown["checks"].endswith(f"until {day}.")
    assert all(one["outcome"] != "not met" for one in shown["findings"])
    assert "the officer accepts that" in world.status(now)
