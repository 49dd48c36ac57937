"""The loop on two servers: what the records say, time passed or people did is carried out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import decided, watched
from tests.builders.sharing import INSIDE, NOW, OUTSIDE, Site
from tests.builders.watched import Servers
from xnat_client.sharing import decisions, evidence
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.database.tables import (
    Person,
    Release,
)
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.reconcile.waiting import last_act, wait
from xnat_client.sharing.records import consent, criteria, people
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.server_side import content
from xnat_client.sharing.server_side.publish import apply_release
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    Level,
    ReleaseState,
    Role,
)


def test_a_missing_reader_is_let_in_and_an_expired_one_taken_out(
    world: SharingSite, site: Site, servers: Servers, publish: watched.Publish
):
    """A grant opens with the next cycle and ends with the first one after its last day."""
    release_pk = publish()
    project = watched.project_of(world, release_pk)
    watched.grant(world, site, release_pk, "p-external1")

    run_cycle(world)
    before = servers.reads(OUTSIDE, "external1", project)
    run_cycle(replace(world, time=lambda: NOW + timedelta(days=400)))

    assert before
    assert not servers.reads(OUTSIDE, "external1", project)


def test_a_member_reads_from_accepting_the_policy_until_leaving_the_directory(
    world: SharingSite, site: Site, servers: Servers, publish: watched.Publish
):
    """Members are collaborators whom the directory and their acceptance name, cycle by cycle."""
    project = watched.project_of(world, publish(level=Level.MEMBERS))
    run_cycle(world)
    before = servers.reads(INSIDE, "member1", project)
    with world.database.transaction() as session:
        decided.accept(session, "p-member1", Role.MEMBER, now=NOW)
    run_cycle(world)
    accepted = [servers.reads(INSIDE, login, project) for login in ("member1", "member2")]
    with world.database.transaction() as session:
        people.set_active(session, site.acting(Role.OFFICER), "p-member1", active=False, now=NOW)
    run_cycle(world)

    assert (before, accepted) == (False, [True, False])
    assert not servers.reads(INSIDE, "member1", project)


def test_consent_that_falls_away_closes_the_versions_with_the_participant_only(
    world: SharingSite, site: Site, servers: Servers, publish: watched.Publish
):
    """A line in the consent history is enough: no event, no call; the older version stays read."""
    first = publish(participants=site.participants[:1])
    watched.grant(world, site, first, "p-external1")
    second = publish(version="1.1.0", participants=site.participants)
    line = ConsentLine(ConsentEvent.NO_FURTHER_SHARING, NOW.date())
    with world.database.transaction() as session:
        consent.record(session, site.acting(Role.STUDY_TEAM), site.participants[1], line, now=NOW)

    run_cycle(world)
    states = [watched.state_of(world, one) for one in (first, second)]
    for _ in range(2):
        last = run_cycle(world)

    project = watched.project_of(world, first)
    assert states[1] == (ReleaseState.SUSPENDED, False)
    assert content.list_labels(servers.service[OUTSIDE], project) == ("RELEASE_1_0_0",)
    assert servers.reads(OUTSIDE, "external1", project)
    assert watched.critical(last) == []


def test_a_backup_from_before_a_withdrawal_brings_nothing_back(
    world: SharingSite, site: Site, servers: Servers, publish: watched.Publish
):
    """The records of yesterday call it published; the list of withdrawals, and so the loop, not."""
    release_pk = publish(level=Level.OPEN)
    project = watched.project_of(world, release_pk)
    path = Path(world.database.engine.url.database or "")
    with sqlite3.connect(path) as source, sqlite3.connect(path.with_suffix(".backup")) as copy:
        source.backup(copy)
    with world.database.transaction() as session:
        decisions.fire(
            session, world.home, site.acting(Role.OFFICER),
            session.get_one(Release, release_pk), ReleaseEvent.WITHDRAW, now=NOW,
        )  # fmt: skip
    run_cycle(world)
    world.database.close()
    with sqlite3.connect(path.with_suffix(".backup")) as source, sqlite3.connect(path) as copy:
        source.backup(copy)

    restored = watched.state_of(world, release_pk)
    run_cycle(world)

    assert restored == (ReleaseState.PUBLISHED, True)
    assert watched.state_of(world, release_pk) == (ReleaseState.WITHDRAWN, False)
    assert not servers.reads(OUTSIDE, "outsider", project)


def test_a_clock_that_goes_back_opens_nothing(
    world: SharingSite, site: Site, servers: Servers, publish: watched.Publish
):
    """An expired grant does not live again when the system's clock is turned back."""
    release_pk = publish()
    project = watched.project_of(world, release_pk)
    watched.grant(world, site, release_pk, "p-external1")
    run_cycle(replace(world, time=lambda: NOW + timedelta(days=400)))

    run_cycle(replace(world, time=lambda: NOW + timedelta(days=1)))

    assert not servers.reads(OUTSIDE, "external1", project)


def test_a_person_who_left_the_directory_leaves_the_source(
    world: SharingSite, site: Site, servers: Servers
):
    """A member of the team who is not active any more is taken out of the source project."""
    watched.put(servers.service[INSIDE], "/data/projects/SOURCE/users/Members/requester")
    run_cycle(world)
    before = servers.reads(INSIDE, "requester", "SOURCE")
    with world.database.transaction() as session:
        session.get_one(Person, site.requester).active = False

    run_cycle(world)

    assert before
    assert not servers.reads(INSIDE, "requester", "SOURCE")


def test_a_release_is_published_when_its_embargo_has_passed(
    world: SharingSite, approve: watched.Publish, servers: Servers
):
    """The loop publishes it on the first day after, not before."""
    until = (NOW + timedelta(days=3)).date()
    release_pk = approve(level=Level.OPEN, embargo_until=until)
    apply_release(world, release_pk, service("a test"))

    early = run_cycle(replace(world, time=lambda: NOW + timedelta(days=3)))
    late = run_cycle(replace(world, time=lambda: NOW + timedelta(days=4)))

    assert (early.published, late.published) == ((), (release_pk,))
    assert servers.reads(OUTSIDE, "outsider", watched.project_of(world, release_pk))


def test_an_act_on_the_records_begins_the_next_cycle_at_once(world: SharingSite, site: Site):
    """What a person does is not waited for; what a cycle wrote itself is."""
    before = last_act(world.database)
    run_cycle(world)
    waited_out = not wait(world.database, 0, before)
    with world.database.transaction() as session:
        people.set_active(session, site.acting(Role.OFFICER), site.outsider, active=False, now=NOW)

    assert waited_out
    assert wait(world.database, 600, before)


def _touch_a_file(world: SharingSite, release: Release) -> None:
    path = evidence.release_folder(world.home, release) / "participants.tsv"
    path.write_text("participant_id\nsub-002\n")


def _adopt_criteria(world: SharingSite, _release: Release) -> None:
    officer = Actor("p-officer", Role.OFFICER, "a better list")
    with world.database.transaction() as session:
        newer = criteria.CriteriaFile("2.0", "c2" * 32)
        criteria.adopt(session, officer, newer, now=world.now(session))


def _older_checks(world: SharingSite, release: Release) -> None:
    with world.database.transaction() as session:
        decided.add_evidence(session, release, now=world.now(session), version="0.0.1")


@pytest.mark.parametrize("change", [_touch_a_file, _adopt_criteria, _older_checks])
def test_a_cycle_sends_back_what_waits_on_evidence_that_became_stale(
    world: SharingSite, approve: watched.Publish, change: Callable[[SharingSite, Release], None]
) -> None:
    """A changed file, new criteria, another version of the checks: a draft again, by itself."""
    release_pk = approve()
    run_cycle(world)
    before = watched.state_of(world, release_pk)
    with world.database.transaction() as session:
        release = session.get_one(Release, release_pk)
    change(world, release)

    run_cycle(world)

    assert before == (ReleaseState.APPROVED, False)
    assert watched.state_of(world, release_pk) == (ReleaseState.DRAFT, False)
