"""The loop from the command line, and commands that close without waiting for it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.builders import watched
from tests.builders.sharing import INSIDE, OUTSIDE, Site
from tests.builders.watched import Servers
from xnat_client.cli.main import run
from xnat_client.projects import create_project
from xnat_client.sharing import decisions
from xnat_client.sharing.clock import system_time
from xnat_client.sharing.database.tables import (
    Release,
    Server,
)
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.server_side.at_once import close_at_once
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import (
    Level,
    ReleaseState,
    Role,
)


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


def test_watch_once_ends_by_severity(
    command_line: SharingSite, servers: Servers, capsys: pytest.CaptureFixture[str]
):
    """0 for a site as declared, 4 where something critical was found, though it was repaired."""
    well = run(["share", "watch", "--once"])
    line = capsys.readouterr().out.splitlines()[-1]
    watched.add_to_source(servers, "")

    found = run(["share", "watch", "--once", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert (well, found) == (0, 4)
    assert "0 critical, 0 high" in line
    assert document["counts"]["critical"] == 1
    assert document["worst"] == "critical"
    assert command_line.home.folder.exists()


def test_a_cell_that_is_none_is_critical_and_ends_no_watch(
    command_line: SharingSite, publish: watched.Publish, capsys: pytest.CaptureFixture[str]
):
    """An embargo with a time of day, written by another program: said, code 4, no traceback."""
    publish()
    with command_line.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE release SET embargo_until = '2030-01-01 00:00:00'")
    capsys.readouterr()

    code = run(["share", "watch", "--once"])

    assert code == 4
    assert "winxnat audit verify" in capsys.readouterr().err


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


def test_suspending_closes_on_the_server_in_the_same_moment(
    world: SharingSite, servers: Servers, publish: watched.Publish, site: Site
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


def test_closing_at_once_never_fails_the_act(
    world: SharingSite, publish: watched.Publish, site: Site, monkeypatch: pytest.MonkeyPatch,
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
    assert watched.state_of(world, release_pk) == (ReleaseState.SUSPENDED, False)
