"""The loop on two servers: what people did by ordinary calls is undone, killed work is finished."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.builders import chaos, decided, watched
from tests.builders.decided import Signers
from tests.builders.sharing import INSIDE, NOW, OUTSIDE, Site
from tests.builders.watched import Servers
from xnat_client.cli.main import run
from xnat_client.errors import ConflictError
from xnat_client.projects import Accessibility, create_project, get_accessibility
from xnat_client.session import XnatServer
from xnat_client.sharing import decisions, evidence
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.clock import system_time
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import (
    Account,
    Exposure,
    LoopRun,
    Person,
    Release,
    Server,
)
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.reconcile.exposures import sign_of_life
from xnat_client.sharing.reconcile.report import CycleReport, Done
from xnat_client.sharing.reconcile.waiting import last_act, wait
from xnat_client.sharing.records import consent, criteria, declarations, people
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.server_side import content
from xnat_client.sharing.server_side.access import add_reader, list_members, set_accessibility
from xnat_client.sharing.server_side.at_once import close_at_once
from xnat_client.sharing.server_side.publish import apply_release
from xnat_client.sharing.server_side.site import SharingSite, only_one
from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    DriftClass,
    Level,
    ReleaseState,
    Role,
    Severity,
)
from xnat_client.transport import Transport

_FAMILIES = count(1)
on_sqlite = pytest.mark.parametrize("records", ["sqlite"], indirect=True)
"""For tests whose subject is what the servers say: once is enough."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with watched.running_servers(tmp_path_factory.mktemp("servers")) as running:
        watched.add_source(running.service[INSIDE], "SOURCE", subjects=2)
        yield running


@pytest.fixture
def world(
    site: Site,
    home: Home,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> SharingSite:
    """The records of the small site, and both servers without what other tests left there."""
    monkeypatch.setenv("WINXNAT_LINK_KEYS", str(tmp_path_factory.mktemp("keys")))
    for alias, transport in servers.service.items():
        for project in watched.project_ids(transport):
            if (alias, project) != (INSIDE, "SOURCE"):
                watched.delete(transport, f"/data/projects/{project}")
    return watched.fresh_site(site.records, home, servers)


Publish = Callable[..., int]


@pytest.fixture
def approve(world: SharingSite, site: Site) -> Publish:
    """Takes releases of one family to APPROVED; the same people sign with their keys."""
    signers, family = Signers(), f"wat{next(_FAMILIES)}"

    def take(**varied: Any) -> int:
        named = {"family": family, "signers": signers, **varied}
        return watched.approved(world, site, **named)

    return take


@pytest.fixture
def publish(world: SharingSite, approve: Publish) -> Publish:
    """Publishes a release of one family."""

    def take(**varied: Any) -> int:
        release_pk = approve(**varied)
        apply_release(world, release_pk, service("a test"))
        return release_pk

    return take


@pytest.fixture
def granted(world: SharingSite, site: Site, publish: Publish) -> str:
    """The project of an external release that external1 reads."""
    release_pk = publish()
    watched.grant(world, site, release_pk, "p-external1")
    run_cycle(world)
    return watched.project_of(world, release_pk)


def critical(report: CycleReport) -> list[tuple[DriftClass, Done]]:
    return [
        (one.drift.drift, one.done)
        for one in report.all_found
        if one.drift.severity is Severity.CRITICAL
    ]


def state_of(world: SharingSite, release_pk: int) -> tuple[ReleaseState, bool]:
    with world.database.transaction() as session:
        release = session.get_one(Release, release_pk)
        return release.state, release.applied


def test_a_site_as_declared_gives_nothing_but_notes(world: SharingSite, publish: Publish):
    """Two careful servers, a source and a published release: nothing worse than low."""
    publish(level=Level.OPEN)

    report = run_cycle(world)

    assert {one.drift.severity for one in report.all_found} <= {Severity.LOW}
    assert report.is_complete


@on_sqlite
def test_the_requests_of_a_cycle_do_not_grow_with_sessions(world: SharingSite, servers: Servers):
    """The same number of requests with one more subject and session in the source."""
    before = run_cycle(world).servers[0].requests
    watched.put(servers.service[INSIDE], "/data/projects/SOURCE/subjects/MORE")
    watched.put(
        servers.service[INSIDE],
        "/data/projects/SOURCE/subjects/MORE/experiments/MORE_MR1",
        xsiType="xnat:mrSessionData",
    )

    after = run_cycle(world).servers[0].requests

    watched.delete(servers.service[INSIDE], "/data/projects/SOURCE/subjects/MORE")
    assert after == before


# What people do ---------------------------------------------------------------------------------


def open_source(servers: Servers, _project: str) -> None:
    site_open = {"securityAllowNonPrivateProjects": True}
    watched.site_settings(servers.service[INSIDE], **site_open)
    set_accessibility(servers.service[INSIDE], "SOURCE", Accessibility.PUBLIC)


def add_to_source(servers: Servers, _project: str) -> None:
    watched.put(servers.service[INSIDE], "/data/projects/SOURCE/users/Collaborators/outsider")


def share_out(servers: Servers, _project: str) -> None:
    inside = servers.service[INSIDE]
    create_project(inside, "ELSEWHERE")
    subject = "/data/projects/SOURCE/subjects/SOURCE_001"
    watched.put(inside, f"{subject}/projects/ELSEWHERE")
    watched.put(inside, f"{subject}/experiments/SOURCE_001_MR1/projects/ELSEWHERE")


def read_everything(servers: Servers, _project: str) -> None:
    watched.put(servers.service[INSIDE], "/xapi/users/outsider/groups/ALL_DATA_ACCESS")


def open_release(servers: Servers, project: str) -> None:
    set_accessibility(servers.service[OUTSIDE], project, Accessibility.PUBLIC)


def own_release(servers: Servers, project: str) -> None:
    watched.put(servers.service[OUTSIDE], f"/data/projects/{project}/users/Owners/outsider")


def promote_reader(servers: Servers, project: str) -> None:
    watched.put(servers.service[OUTSIDE], f"/data/projects/{project}/users/Owners/external1")


@on_sqlite
@pytest.mark.parametrize(
    ("deed", "drift"),
    [
        (open_source, DriftClass.OVER_EXPOSED_LEVEL),
        (add_to_source, DriftClass.OVER_EXPOSED_PEOPLE),
        (share_out, DriftClass.FOREIGN_SHARE),
        (read_everything, DriftClass.OVER_EXPOSED_PEOPLE),
        (open_release, DriftClass.OVER_EXPOSED_LEVEL),
        (own_release, DriftClass.OVER_EXPOSED_PEOPLE),
        (promote_reader, DriftClass.OVER_EXPOSED_PEOPLE),
    ],
)
def test_each_over_exposure_is_undone_in_one_cycle(
    world: SharingSite,
    servers: Servers,
    granted: str,
    deed: Callable[[Servers, str], None],
    drift: DriftClass,
):
    """Found as critical, repaired, and gone: the next cycle finds nothing critical."""
    project = granted
    deed(servers, project)

    report = run_cycle(world)
    watched.site_settings(servers.service[INSIDE], securityAllowNonPrivateProjects=False)

    assert (drift, Done.REPAIRED) in critical(report)
    assert not [one for one in report.all_found if one.done is Done.FAILED]
    assert not servers.reads(INSIDE, "outsider", "SOURCE")
    assert not servers.reads(OUTSIDE, "outsider", project)
    assert critical(run_cycle(world)) == []
    assert servers.reads(OUTSIDE, "external1", project)
    assert list_members(servers.service[OUTSIDE], project)[0].login == "external1"


def write_file(servers: Servers, project: str) -> None:
    path = f"/data/projects/{project}/resources/RELEASE_1_0_0/files/participants.tsv"
    servers.service[OUTSIDE].request(
        "PUT", path, doing="write", query={"inbody": "true", "overwrite": "true"}, body=b"MARKED"
    )


def add_file(servers: Servers, project: str) -> None:
    path = f"/data/projects/{project}/resources/RELEASE_1_0_0/files/MARKED-NAME.txt"
    servers.service[OUTSIDE].request(
        "PUT", path, doing="write", query={"inbody": "true"}, body=b"MARKED"
    )


def add_resource(servers: Servers, project: str) -> None:
    watched.put(servers.service[OUTSIDE], f"/data/projects/{project}/resources/NOTES")


def add_session(servers: Servers, project: str) -> None:
    subject = f"/data/projects/{project}/subjects/S1"
    watched.put(servers.service[OUTSIDE], subject)
    watched.put(servers.service[OUTSIDE], f"{subject}/experiments/E1", xsiType="xnat:mrSessionData")


@on_sqlite
@pytest.mark.parametrize("deed", [write_file, add_file, add_resource, add_session])
def test_whatever_nobody_approved_suspends_the_release_and_closes_it(
    world: SharingSite,
    servers: Servers,
    publish: Publish,
    deed: Callable[[Servers, str], None],
):
    """A changed or foreign file, resource or session: suspended, private, evidence kept."""
    release_pk = publish(level=Level.OPEN)
    project = watched.project_of(world, release_pk)
    deed(servers, project)

    report = run_cycle(world)

    assert (DriftClass.FOREIGN_FILE, Done.REPAIRED) in critical(report)
    assert state_of(world, release_pk) == (ReleaseState.SUSPENDED, False)
    assert not servers.reads(OUTSIDE, "outsider", project)
    kept = list((world.home.folder / "findings").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert "MARKED-NAME" not in str([one.drift.what for one in report.all_found])
    assert critical(run_cycle(world)) == []


def test_a_missing_reader_is_let_in_and_an_expired_one_taken_out(
    world: SharingSite, site: Site, servers: Servers, publish: Publish
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
    world: SharingSite, site: Site, servers: Servers, publish: Publish
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
    world: SharingSite, site: Site, servers: Servers, publish: Publish
):
    """A line in the consent history is enough: no event, no call; the older version stays read."""
    first = publish(participants=site.participants[:1])
    watched.grant(world, site, first, "p-external1")
    second = publish(version="1.1.0", participants=site.participants)
    line = ConsentLine(ConsentEvent.NO_FURTHER_SHARING, NOW.date())
    with world.database.transaction() as session:
        consent.record(session, site.acting(Role.STUDY_TEAM), site.participants[1], line, now=NOW)

    run_cycle(world)
    states = [state_of(world, one) for one in (first, second)]
    for _ in range(2):
        last = run_cycle(world)

    project = watched.project_of(world, first)
    assert states[1] == (ReleaseState.SUSPENDED, False)
    assert content.list_labels(servers.service[OUTSIDE], project) == ("RELEASE_1_0_0",)
    assert servers.reads(OUTSIDE, "external1", project)
    assert critical(last) == []


@on_sqlite
def test_a_backup_from_before_a_withdrawal_brings_nothing_back(
    world: SharingSite, site: Site, servers: Servers, publish: Publish
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

    restored = state_of(world, release_pk)
    run_cycle(world)

    assert restored == (ReleaseState.PUBLISHED, True)
    assert state_of(world, release_pk) == (ReleaseState.WITHDRAWN, False)
    assert not servers.reads(OUTSIDE, "outsider", project)


def test_a_clock_that_goes_back_opens_nothing(
    world: SharingSite, site: Site, servers: Servers, publish: Publish
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
    world: SharingSite, approve: Publish, servers: Servers
):
    """The loop publishes it on the first day after, not before."""
    until = (NOW + timedelta(days=3)).date()
    release_pk = approve(level=Level.OPEN, embargo_until=until)
    apply_release(world, release_pk, service("a test"))

    early = run_cycle(replace(world, time=lambda: NOW + timedelta(days=3)))
    late = run_cycle(replace(world, time=lambda: NOW + timedelta(days=4)))

    assert (early.published, late.published) == ((), (release_pk,))
    assert servers.reads(OUTSIDE, "outsider", watched.project_of(world, release_pk))


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    world: SharingSite, servers: Servers, publish: Publish
):
    """The project stays as it was found, and no run is recorded."""
    project = watched.project_of(world, publish())
    open_release(servers, project)

    report = run_cycle(world, dry_run=True)

    assert (DriftClass.OVER_EXPOSED_LEVEL, Done.PLANNED) in critical(report)
    assert get_accessibility(servers.service[OUTSIDE], project) is Accessibility.PUBLIC
    with world.database.transaction() as session:
        assert session.query(LoopRun).count() == 0


def test_a_second_loop_on_the_same_records_is_kept_out(world: SharingSite):
    """Two cycles never repair at the same time."""
    with (
        only_one(world.home.folder / "watch.lock", "The loop"),
        pytest.raises(ConflictError, match="runs already"),
    ):
        run_cycle(world)


def test_a_server_that_does_not_answer_is_never_all_good(world: SharingSite, servers: Servers):
    """An unreachable server is a difference of severity high and an incomplete run."""

    def log_in(server: Server) -> XnatServer:
        if server.alias == OUTSIDE:
            server = Server(alias=OUTSIDE, address="http://127.0.0.1:9")
            opened = servers.log_in(Server(alias=INSIDE))
            return XnatServer(
                Transport(server.address, opened.credentials, watched.QUICK), opened.credentials
            )
        return servers.log_in(server)

    report = run_cycle(replace(world, log_in=log_in))

    assert report.worst is Severity.HIGH
    assert not report.is_complete
    with world.database.transaction() as session:
        sign = sign_of_life(session, NOW, timedelta(minutes=15))
    assert (sign.is_alive, sign.was_complete) == (True, False)


def test_an_exposure_is_measured_from_the_last_good_cycle(
    world: SharingSite, servers: Servers, publish: Publish
):
    """Opened some time between 12:00 and 12:05, closed at 12:05: at most 300 seconds."""
    project = watched.project_of(world, publish())
    run_cycle(world)
    open_release(servers, project)

    report = run_cycle(replace(world, time=lambda: NOW + timedelta(minutes=5)))

    with world.database.transaction() as session:
        (row,) = session.query(Exposure).filter(Exposure.severity == Severity.CRITICAL)
    assert (row.last_good_at, row.closed_at) == (NOW, NOW + timedelta(minutes=5))
    assert report.exposures_closed == (300.0,)


def test_declarations_that_differ_from_their_files_open_nothing(
    world: SharingSite, site: Site, servers: Servers, publish: Publish
):
    """A text that was changed alone: reported, no reader is let in, closing goes on."""
    folder = world.home.folder / "declarations"
    with world.database.transaction() as session:
        declarations.declare(
            session, site.acting(Role.OFFICER), INSIDE, "THIRD", {"accessibility": "private"},
            now=NOW,
        )  # fmt: skip
        (path,) = declarations.write_files(session, folder)
    path.write_text(json.dumps({"accessibility": "public"}))
    release_pk = publish()
    project = watched.project_of(world, release_pk)
    watched.grant(world, site, release_pk, "p-external1")
    open_release(servers, project)

    report = run_cycle(world)

    assert report.worst is Severity.CRITICAL
    assert any("differs between" in one.drift.what for one in report.all_found)
    assert get_accessibility(servers.service[OUTSIDE], project) is Accessibility.PRIVATE
    assert not servers.reads(OUTSIDE, "external1", project)


def test_an_act_on_the_records_begins_the_next_cycle_at_once(world: SharingSite, site: Site):
    """What a person does is not waited for; what a cycle wrote itself is."""
    before = last_act(world.database)
    run_cycle(world)
    waited_out = not wait(world.database, 0, before)
    with world.database.transaction() as session:
        people.set_active(session, site.acting(Role.OFFICER), site.outsider, active=False, now=NOW)

    assert waited_out
    assert wait(world.database, 600, before)


# Killed at each step ------------------------------------------------------------------------------


class KilledTransport(Transport):
    """Ends its own process, as a power cut would, after so many requests that change something."""

    left = 0

    def request(self, method: str, path: str, **named: Any) -> Any:
        """Do it, then die if it was the last."""
        answer = super().request(method, path, **named)
        if method != "GET":
            type(self).left -= 1
            if type(self).left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return answer


def apply_in_a_process_that_dies(
    world: SharingSite, servers: Servers, release_pk: int, after: int
) -> bool:
    """Publish in a child that is killed after ``after`` changes; tell whether it was."""
    child = os.fork()
    if child == 0:
        KilledTransport.left = after

        def log_in(server: Server) -> XnatServer:
            credentials = servers.log_in(server).credentials
            url = servers.sandboxes[server.alias].url
            return XnatServer(KilledTransport(url, credentials, watched.QUICK), credentials)

        url = world.database.engine.url.render_as_string(hide_password=False)
        own = replace(world, database=Database(url), log_in=log_in)
        try:
            apply_release(own, release_pk, service("a test"))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("level", [Level.EXTERNAL, Level.OPEN])
def test_publishing_that_is_killed_at_any_step_is_repaired_by_the_loop(
    world: SharingSite, site: Site, servers: Servers, approve: Publish, level: Level
):
    """After each kill, one cycle: nobody reads what is not published, everybody what is."""
    first = approve(level=level)
    apply_release(world, first, service("a test"))
    if level is Level.EXTERNAL:
        watched.grant(world, site, first, "p-external1")
        run_cycle(world)
    second = approve(level=level, version="1.1.0")
    project = watched.project_of(world, first)
    kills = 0

    while apply_in_a_process_that_dies(world, servers, second, kills + 1):
        kills += 1
        run_cycle(world)
        reads_too_much = servers.reads(OUTSIDE, "external2", project) and level is Level.EXTERNAL
        # What was found open is closed by the first cycle and opened again by the second.
        report = run_cycle(world)

        assert not reads_too_much
        assert report.waiting == ()
        labels = content.list_labels(servers.service[OUTSIDE], project)
        is_published = state_of(world, second) == (ReleaseState.PUBLISHED, True)
        assert labels == ("RELEASE_1_0_0", "RELEASE_1_1_0")[: 1 + is_published]
        assert servers.reads(OUTSIDE, "external1", project)
        assert servers.reads(OUTSIDE, "external2", project) is (level is Level.OPEN)
        if is_published:
            break

    assert kills >= 4
    assert state_of(world, second) == (ReleaseState.PUBLISHED, True)
    assert critical(run_cycle(world)) == []


@on_sqlite
def test_a_few_seconds_of_chaos_leave_nothing_open(
    world: SharingSite, servers: Servers, tmp_path_factory: pytest.TempPathFactory
):
    """Random deeds through xnatpy: every window is closed, none stays."""
    assert world.home.folder.exists()  # the servers were cleared for this test
    with chaos.stage_set(tmp_path_factory.mktemp("chaos"), servers) as stage:
        outcome = chaos.Chaos(stage, seed=3, every_s=0.3, storm=True).run(5)

    assert sum(outcome.deeds.values()) >= 8
    assert outcome.repaired_critical >= 3
    assert outcome.still_wrong == []
    assert all(one.closed_s is not None for one in outcome.windows)


# The command line ---------------------------------------------------------------------------------


@pytest.fixture
def command_line(
    world: SharingSite, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> SharingSite:
    """The records name the running servers; the service account is in the environment."""
    with world.database.transaction() as session:
        for alias, sandbox in servers.sandboxes.items():
            session.get_one(Server, alias).address = sandbox.url
    monkeypatch.setenv("XNAT_USER", watched.SERVICE_ACCOUNT)
    monkeypatch.setenv("XNAT_PASS", watched.PASSWORD)
    return world


@on_sqlite
def test_watch_once_ends_by_severity(
    command_line: SharingSite, servers: Servers, capsys: pytest.CaptureFixture[str]
):
    """0 for a site as declared, 4 where something critical was found, though it was repaired."""
    well = run(["share", "watch", "--once"])
    line = capsys.readouterr().out.splitlines()[-1]
    add_to_source(servers, "")

    found = run(["share", "watch", "--once", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert (well, found) == (0, 4)
    assert "0 critical, 0 high" in line
    assert document["counts"]["critical"] == 1
    assert document["worst"] == "critical"
    assert command_line.home.folder.exists()


@on_sqlite
def test_a_cell_that_is_none_is_critical_and_ends_no_watch(
    command_line: SharingSite, publish: Publish, capsys: pytest.CaptureFixture[str]
):
    """An embargo with a time of day, written by another program: said, code 4, no traceback."""
    publish()
    with command_line.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE release SET embargo_until = '2030-01-01 00:00:00'")
    capsys.readouterr()

    code = run(["share", "watch", "--once"])

    assert code == 4
    assert "winxnat audit verify" in capsys.readouterr().err


@on_sqlite
def test_alive_fails_until_the_loop_has_run(
    command_line: SharingSite, capsys: pytest.CaptureFixture[str]
):
    """4 before the first cycle, 0 after it."""
    before = run(["share", "alive"])
    run(["share", "watch", "--once"])

    after = run(["share", "alive", "--json"])

    assert (before, after) == (4, 0)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["alive"] is True
    assert command_line.home.folder.exists()


@on_sqlite
def test_declare_ends_the_report_of_an_undeclared_project(
    command_line: SharingSite, servers: Servers, capsys: pytest.CaptureFixture[str]
):
    """An undeclared project is reported; after its declaration it is not."""
    create_project(servers.service[INSIDE], "THIRD")
    before = run(["share", "watch", "--once"])
    acting = ["--person", "p-officer", "--role", "officer", "--reason", "an ordinary project"]

    declared = run(["share", "declare", INSIDE, "THIRD", "--accessibility", "private", *acting])

    capsys.readouterr()
    assert (before, declared) == (4, 0)
    assert run(["share", "watch", "--once"]) == 0
    assert (command_line.home.folder / "declarations" / INSIDE / "THIRD.json").exists()


@on_sqlite
def test_apply_publishes_and_says_so(
    command_line: SharingSite,
    site: Site,
    servers: Servers,
    capsys: pytest.CaptureFixture[str],
):
    """The command line takes an approved release to its server."""
    # The command line goes by the machine's clock.
    today = replace(command_line, time=system_time)
    release_pk = watched.approved(today, site, family="byhand", level=Level.OPEN)
    acting = ["--person", "p-administrator", "--role", "administrator", "--reason", "it is due"]

    code = run(["release", "apply", "byhand", "1.0.0", *acting, "--json"])

    document = json.loads(capsys.readouterr().out)
    assert (code, document["opened"], document["accessibility"]) == (0, True, "public")
    assert servers.reads(OUTSIDE, "outsider", watched.project_of(command_line, release_pk))


@on_sqlite
def test_an_account_is_never_taken_for_another_servers(
    world: SharingSite, site: Site, servers: Servers, publish: Publish
):
    """Accounts belong to one server: a reader named on the inside one is not read outside."""
    with world.database.transaction() as session:
        session.delete(session.get_one(Account, (OUTSIDE, "external1")))
    release_pk = publish()
    watched.grant(world, site, release_pk, "p-external1")

    report = run_cycle(world)

    assert not servers.reads(OUTSIDE, "external1", watched.project_of(world, release_pk))
    assert any("no account on this server" in one.drift.what for one in report.all_found)


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


@on_sqlite
@pytest.mark.parametrize("change", [_touch_a_file, _adopt_criteria, _older_checks])
def test_a_cycle_sends_back_what_waits_on_evidence_that_became_stale(
    world: SharingSite, approve: Publish, change: Callable[[SharingSite, Release], None]
) -> None:
    """A changed file, new criteria, another version of the checks: a draft again, by itself."""
    release_pk = approve()
    run_cycle(world)
    before = state_of(world, release_pk)
    with world.database.transaction() as session:
        release = session.get_one(Release, release_pk)
    change(world, release)

    run_cycle(world)

    assert before == (ReleaseState.APPROVED, False)
    assert state_of(world, release_pk) == (ReleaseState.DRAFT, False)


@on_sqlite
def test_a_release_project_that_restored_records_do_not_know_is_closed(
    world: SharingSite, servers: Servers
) -> None:
    """The service alone owns it, it is public and has a reader: closed, and reported."""
    outside = servers.service[OUTSIDE]
    create_project(outside, "LOST_RELEASE")
    set_accessibility(outside, "LOST_RELEASE", Accessibility.PUBLIC)
    add_reader(outside, "LOST_RELEASE", "external1")

    report = run_cycle(world)

    assert sorted(critical(report)) == [
        (DriftClass.OVER_EXPOSED_LEVEL, Done.REPAIRED),
        (DriftClass.OVER_EXPOSED_PEOPLE, Done.REPAIRED),
    ]
    assert get_accessibility(outside, "LOST_RELEASE") is Accessibility.PRIVATE
    assert not servers.reads(OUTSIDE, "external1", "LOST_RELEASE")


@on_sqlite
def test_suspending_closes_on_the_server_in_the_same_moment(
    world: SharingSite, servers: Servers, publish: Publish, site: Site
) -> None:
    """With the service account at hand nobody reads it before the loop has run."""
    release_pk = publish(level=Level.OPEN)
    project = watched.project_of(world, release_pk)
    readable_before = servers.reads(OUTSIDE, "outsider", project)
    with world.database.transaction() as session:
        release = session.get_one(Release, release_pk)
        lead = site.acting(Role.LEAD)
        decisions.fire(
            session, world.home, lead, release, ReleaseEvent.SUSPEND, now=world.now(session)
        )

    done = close_at_once(
        world.home, world.database, [release_pk], "a test suspended it", world.log_in
    )

    assert (len(done.closed), done.waiting) == (1, ())
    assert readable_before
    assert not servers.reads(OUTSIDE, "outsider", project)


@on_sqlite
def test_closing_at_once_never_fails_the_act(
    world: SharingSite, publish: Publish, site: Site, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A password is at hand but the server is not there: suspended, and the loop is named."""
    release_pk = publish()
    with world.database.transaction() as session:
        release = session.get_one(Release, release_pk)
        session.get_one(Server, OUTSIDE).address = "http://127.0.0.1:9"
    monkeypatch.setenv("XNAT_USER", "releaser")
    monkeypatch.setenv("XNAT_PASS", watched.PASSWORD)
    lead = ["--person", site.lead, "--role", "lead", "--reason", "a test"]

    code = run(["release", "suspend", release.family, release.version, *lead])

    said = capsys.readouterr().out
    assert code == 0
    assert "is suspended." in said
    assert "the loop (winxnat share watch) does it" in said
    assert state_of(world, release_pk) == (ReleaseState.SUSPENDED, False)
