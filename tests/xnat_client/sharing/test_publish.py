"""Publishing and closing on two servers: what ordinary accounts can read is what counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from tests.builders import watched
from tests.builders.decided import Signers
from tests.builders.sharing import INSIDE, NOW, OUTSIDE, Site
from tests.builders.watched import Servers
from xnat_client.errors import NotFoundError
from xnat_client.projects import Accessibility, create_project, get_accessibility
from xnat_client.session import XnatServer
from xnat_client.sharing import decisions
from xnat_client.sharing.actors import service
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Release, ReleaseFile, Server
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import consent
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.server_side import content
from xnat_client.sharing.server_side.access import list_members, set_accessibility
from xnat_client.sharing.server_side.publish import apply_release, close_release
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    Level,
    ReleaseState,
    Role,
    ServerSide,
)
from xnat_client.transport import Transport

_FAMILIES = count(1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with watched.running_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture
def world(
    records: Database,
    home: Home,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> SharingSite:
    """The records of the small site and both servers."""
    monkeypatch.setenv("WINXNAT_LINK_KEYS", str(tmp_path_factory.mktemp("keys")))
    return watched.fresh_site(records, home, servers)


@pytest.fixture
def family() -> str:
    """A family of this test's own: the servers are shared by all tests of the module."""
    return f"pub{next(_FAMILIES)}"


Approve = Callable[..., int]


@pytest.fixture
def approve(world: SharingSite, site: Site, family: str) -> Approve:
    """Takes releases of this test's family to APPROVED; the same people sign with their keys."""
    signers = Signers()

    def take(**varied: object) -> int:
        named = {"family": family, "signers": signers, **varied}
        return watched.approved(world, site, **named)  # type: ignore[arg-type]

    return take


def state_of(world: SharingSite, release_pk: int) -> tuple[ReleaseState, bool]:
    with world.database.transaction() as session:
        release = session.get_one(Release, release_pk)
        return release.state, release.applied


def suspend(world: SharingSite, release_pk: int) -> None:
    with world.database.transaction() as session:
        release = session.get_one(Release, release_pk)
        decisions.fire(
            session, world.home, service("a test"), release, ReleaseEvent.SUSPEND,
            now=world.now(session),
        )  # fmt: skip


def test_an_external_release_is_read_by_its_grants_and_nobody_else(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """Published, then granted: the holder reads after the next publication, others do not."""
    first = approve()
    apply_release(world, first, site.acting(Role.ADMINISTRATOR))
    watched.grant(world, site, first, "p-external1")
    second = approve(version="1.1.0")

    applied = apply_release(world, second, site.acting(Role.ADMINISTRATOR))

    project = watched.project_of(world, second)
    assert (applied.readers, applied.accessibility) == (1, Accessibility.PRIVATE)
    assert servers.reads(OUTSIDE, "external1", project)
    assert not servers.reads(OUTSIDE, "external2", project)
    assert not servers.reads(OUTSIDE, "lead", project)


def test_the_server_holds_the_very_files_of_the_release(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """Every file of the records, the manifest among them, is there by MD5, and none besides."""
    release_pk = approve()

    applied = apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    project = watched.project_of(world, release_pk)
    held = content.list_release_files(
        servers.service[OUTSIDE], project, content.resource_label("1.0.0")
    )
    with world.database.transaction() as session:
        rows = session.query(ReleaseFile).filter(ReleaseFile.release_pk == release_pk)
        wanted = {row.path: row.md5 for row in rows}
    assert {file.path: file.md5 for file in held} == wanted
    assert "manifest.json" in wanted
    assert applied.files_sent == len(wanted)


def test_an_open_release_is_public_on_the_outside_server(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """Everybody who logs in reads it; its only member is the service account."""
    release_pk = approve(level=Level.OPEN)

    apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    project = watched.project_of(world, release_pk)
    assert get_accessibility(servers.service[OUTSIDE], project) is Accessibility.PUBLIC
    assert servers.reads(OUTSIDE, "outsider", project)
    members = list_members(servers.service[OUTSIDE], project)
    assert [(one.login, one.group) for one in members] == [("releaser", "owner")]


def test_applying_again_changes_nothing(world: SharingSite, site: Site, approve: Approve):
    """A replayed call sends no file and leaves the state."""
    release_pk = approve()
    apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    again = apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    assert (again.opened, again.files_sent) == (True, 0)
    assert state_of(world, release_pk) == (ReleaseState.PUBLISHED, True)


def test_a_dry_run_asks_the_guards_and_touches_nothing(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """Neither the records nor the server differ afterwards."""
    release_pk = approve()

    would = apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR), dry_run=True)

    assert (would.state, would.opened) == (ReleaseState.PUBLISHED, True)
    assert state_of(world, release_pk) == (ReleaseState.APPROVED, False)
    with pytest.raises(NotFoundError):
        get_accessibility(servers.service[OUTSIDE], watched.project_of(world, release_pk))


def test_what_is_not_approved_makes_no_project(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """A refused release leaves no trace on the server."""
    release_pk = approve()
    suspend(world, release_pk)

    with pytest.raises(RefusedByPolicyError):
        apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    with pytest.raises(NotFoundError):
        get_accessibility(servers.service[OUTSIDE], watched.project_of(world, release_pk))


def test_a_changed_file_of_the_folder_is_never_sent(
    world: SharingSite, site: Site, approve: Approve
):
    """One byte changed after approval refuses the publication."""
    release_pk = approve()
    (path,) = world.home.releases_dir.glob("*/1.0.0/participants.tsv")
    path.write_text("participant_id\nsub-009\n")

    with pytest.raises(RefusedByPolicyError):
        apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    assert state_of(world, release_pk) == (ReleaseState.APPROVED, False)


def test_a_release_for_outsiders_is_refused_on_the_inside_server(
    world: SharingSite, site: Site, approve: Approve
):
    """There is an outside server, so the inside one is the wrong side."""
    release_pk = approve()
    with world.database.transaction() as session:
        session.get_one(Release, release_pk).server = INSIDE

    with pytest.raises(RefusedByPolicyError, match="outside"):
        apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))


def test_where_there_is_one_server_only_a_release_for_outsiders_comes_with_a_warning(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """The degraded mode works and is said."""
    with world.database.transaction() as session:
        session.get_one(Server, OUTSIDE).side = ServerSide.INSIDE
    release_pk = approve(level=Level.OPEN)

    applied = apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    assert ["both inside and outside" in one for one in applied.warnings] == [True]
    assert servers.reads(OUTSIDE, "outsider", watched.project_of(world, release_pk))


def test_a_release_into_a_source_project_is_refused(
    world: SharingSite, site: Site, approve: Approve
):
    """The source project is never opened, whatever a record says."""
    release_pk = approve(level=Level.MEMBERS)
    with world.database.transaction() as session:
        session.get_one(Release, release_pk).project_id = "source"

    with pytest.raises(RefusedByPolicyError, match="source project"):
        apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))


def test_under_embargo_nothing_reaches_the_server(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """An approved release with a later date becomes EMBARGOED and has no project."""
    later = (NOW + timedelta(days=30)).date()
    release_pk = approve(embargo_until=later)

    applied = apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    assert (applied.state, applied.opened) == (ReleaseState.EMBARGOED, False)
    with pytest.raises(NotFoundError):
        get_accessibility(servers.service[OUTSIDE], watched.project_of(world, release_pk))


def test_a_project_that_somebody_prepared_is_closed_before_anything_is_sent(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """A public project of that name with members and files ends as the release alone."""
    release_pk = approve()
    project = watched.project_of(world, release_pk)
    outside = servers.service[OUTSIDE]
    create_project(outside, project)
    watched.put(outside, f"/data/projects/{project}/users/Owners/outsider")
    watched.put(outside, f"/data/projects/{project}/resources/NOTES")
    set_accessibility(outside, project, Accessibility.PUBLIC)

    apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    assert get_accessibility(outside, project) is Accessibility.PRIVATE
    assert [one.login for one in list_members(outside, project)] == ["releaser"]
    assert content.list_labels(outside, project) == ("RELEASE_1_0_0",)


def test_a_project_with_sessions_of_its_own_is_refused(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """A release project holds no subjects: whoever put them there must take them away."""
    release_pk = approve()
    project = watched.project_of(world, release_pk)
    watched.add_source(servers.service[OUTSIDE], project)

    with pytest.raises(RefusedByPolicyError):
        apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))

    assert state_of(world, release_pk) == (ReleaseState.APPROVED, False)


def test_consent_that_is_withdrawn_while_files_are_sent_keeps_the_release_closed(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """Every guard is asked again after the files are there, with the records locked."""
    release_pk = approve(level=Level.OPEN)

    def withdraw_then_log_in(server: Server) -> XnatServer:
        line = ConsentLine(ConsentEvent.NO_FURTHER_SHARING, NOW.date())
        with world.database.transaction() as session:
            team = site.acting(Role.STUDY_TEAM)
            consent.record(session, team, site.participants[0], line, now=NOW)
        return servers.log_in(server)

    with pytest.raises(RefusedByPolicyError):
        apply_release(
            replace(world, log_in=withdraw_then_log_in),
            release_pk,
            site.acting(Role.ADMINISTRATOR),
        )

    project = watched.project_of(world, release_pk)
    assert get_accessibility(servers.service[OUTSIDE], project) is Accessibility.PRIVATE
    assert not servers.reads(OUTSIDE, "outsider", project)
    assert state_of(world, release_pk)[1] is False


def test_files_that_somebody_adds_while_it_is_published_keep_it_closed(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """A file that appears after the sending is noticed before the first reader is let in."""
    release_pk = approve(level=Level.OPEN)
    project = watched.project_of(world, release_pk)

    class Meddled(Transport):
        def request(self, method: str, path: str, **named: Any) -> Any:
            """Add a file right after the archive of the release was stored."""
            answer = super().request(method, path, **named)
            if method == "GET" and path.endswith("/files") and self.sent:
                self.sent = False
                super().request(
                    "PUT", f"{path}/MARKED.txt", doing="meddle", query={"inbody": "true"}, body=b"x"
                )
            if method == "PUT" and path.endswith(".zip"):
                self.sent = True
            return answer

        sent = False

    def log_in(server: Server) -> XnatServer:
        credentials = servers.log_in(server).credentials
        url = servers.sandboxes[server.alias].url
        return XnatServer(Meddled(url, credentials, watched.QUICK), credentials)

    with pytest.raises(RefusedByPolicyError, match="changed while it was closed"):
        apply_release(replace(world, log_in=log_in), release_pk, site.acting(Role.ADMINISTRATOR))

    assert get_accessibility(servers.service[OUTSIDE], project) is Accessibility.PRIVATE
    assert state_of(world, release_pk) == (ReleaseState.APPROVED, False)


def test_closing_one_version_leaves_the_other_readable(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """The suspended version's files are gone from the project; the other one is read again."""
    first = approve()
    apply_release(world, first, site.acting(Role.ADMINISTRATOR))
    watched.grant(world, site, first, "p-external1")
    second = approve(version="1.1.0")
    apply_release(world, second, site.acting(Role.ADMINISTRATOR))
    suspend(world, second)

    close_release(world, second, service("suspended"))

    project = watched.project_of(world, first)
    assert content.list_labels(servers.service[OUTSIDE], project) == ("RELEASE_1_0_0",)
    assert servers.reads(OUTSIDE, "external1", project)
    assert state_of(world, first)[1]


def test_closing_takes_a_public_project_back_at_once(
    world: SharingSite, site: Site, servers: Servers, approve: Approve
):
    """After closing, an ordinary account reads nothing any more."""
    release_pk = approve(level=Level.OPEN)
    apply_release(world, release_pk, site.acting(Role.ADMINISTRATOR))
    suspend(world, release_pk)

    close_release(world, release_pk, service("suspended"))

    project = watched.project_of(world, release_pk)
    assert not servers.reads(OUTSIDE, "outsider", project)
    assert get_accessibility(servers.service[OUTSIDE], project) is Accessibility.PRIVATE
