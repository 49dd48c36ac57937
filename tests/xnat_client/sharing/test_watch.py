"""The loop on two servers: what people did by ordinary calls is undone."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import watched
from tests.builders.sharing import INSIDE, NOW, OUTSIDE, Site
from tests.builders.watched import Servers
from xnat_client.errors import ConflictError
from xnat_client.projects import Accessibility, create_project, get_accessibility
from xnat_client.session import XnatServer
from xnat_client.sharing.database.tables import (
    Account,
    Exposure,
    LoopRun,
    Server,
)
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.reconcile.exposures import sign_of_life
from xnat_client.sharing.reconcile.report import Done
from xnat_client.sharing.records import declarations
from xnat_client.sharing.server_side.access import add_reader, list_members, set_accessibility
from xnat_client.sharing.server_side.site import SharingSite, only_one
from xnat_client.sharing.vocabulary import (
    DriftClass,
    Level,
    ReleaseState,
    Role,
    Severity,
)
from xnat_client.transport import Transport


def test_a_site_as_declared_gives_nothing_but_notes(world: SharingSite, publish: watched.Publish):
    """Two careful servers, a source and a published release: nothing worse than low."""
    publish(level=Level.OPEN)

    report = run_cycle(world)

    assert {one.drift.severity for one in report.all_found} <= {Severity.LOW}
    assert report.is_complete


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


def open_source(servers: Servers, _project: str) -> None:
    site_open = {"securityAllowNonPrivateProjects": True}
    watched.site_settings(servers.service[INSIDE], **site_open)
    set_accessibility(servers.service[INSIDE], "SOURCE", Accessibility.PUBLIC)


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


@pytest.mark.parametrize(
    ("deed", "drift"),
    [
        (open_source, DriftClass.OVER_EXPOSED_LEVEL),
        (watched.add_to_source, DriftClass.OVER_EXPOSED_PEOPLE),
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

    assert (drift, Done.REPAIRED) in watched.critical(report)
    assert not [one for one in report.all_found if one.done is Done.FAILED]
    assert not servers.reads(INSIDE, "outsider", "SOURCE")
    assert not servers.reads(OUTSIDE, "outsider", project)
    assert watched.critical(run_cycle(world)) == []
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


@pytest.mark.parametrize("deed", [write_file, add_file, add_resource, add_session])
def test_whatever_nobody_approved_suspends_the_release_and_closes_it(
    world: SharingSite,
    servers: Servers,
    publish: watched.Publish,
    deed: Callable[[Servers, str], None],
):
    """A changed or foreign file, resource or session: suspended, private, evidence kept."""
    release_pk = publish(level=Level.OPEN)
    project = watched.project_of(world, release_pk)
    deed(servers, project)

    report = run_cycle(world)

    assert (DriftClass.FOREIGN_FILE, Done.REPAIRED) in watched.critical(report)
    assert watched.state_of(world, release_pk) == (ReleaseState.SUSPENDED, False)
    assert not servers.reads(OUTSIDE, "outsider", project)
    kept = list((world.home.folder / "findings").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert "MARKED-NAME" not in str([one.drift.what for one in report.all_found])
    assert watched.critical(run_cycle(world)) == []


def test_a_release_project_that_restored_records_do_not_know_is_closed(
    world: SharingSite, servers: Servers
) -> None:
    """The service alone owns it, it is public and has a reader: closed, and reported."""
    outside = servers.service[OUTSIDE]
    create_project(outside, "LOST_RELEASE")
    set_accessibility(outside, "LOST_RELEASE", Accessibility.PUBLIC)
    add_reader(outside, "LOST_RELEASE", "external1")

    report = run_cycle(world)

    assert sorted(watched.critical(report)) == [
        (DriftClass.OVER_EXPOSED_LEVEL, Done.REPAIRED),
        (DriftClass.OVER_EXPOSED_PEOPLE, Done.REPAIRED),
    ]
    assert get_accessibility(outside, "LOST_RELEASE") is Accessibility.PRIVATE
    assert not servers.reads(OUTSIDE, "external1", "LOST_RELEASE")


def test_an_account_is_never_taken_for_another_servers(
    world: SharingSite, site: Site, servers: Servers, publish: watched.Publish
):
    """Accounts belong to one server: a reader named on the inside one is not read outside."""
    with world.database.transaction() as session:
        session.delete(session.get_one(Account, (OUTSIDE, "external1")))
    release_pk = publish()
    watched.grant(world, site, release_pk, "p-external1")

    report = run_cycle(world)

    assert not servers.reads(OUTSIDE, "external1", watched.project_of(world, release_pk))
    assert any("no account on this server" in one.drift.what for one in report.all_found)


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
    world: SharingSite, servers: Servers, publish: watched.Publish
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
    world: SharingSite, site: Site, servers: Servers, publish: watched.Publish
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


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    world: SharingSite, servers: Servers, publish: watched.Publish
):
    """The project stays as it was found, and no run is recorded."""
    project = watched.project_of(world, publish())
    open_release(servers, project)

    report = run_cycle(world, dry_run=True)

    assert (DriftClass.OVER_EXPOSED_LEVEL, Done.PLANNED) in watched.critical(report)
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
