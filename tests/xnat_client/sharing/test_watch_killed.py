"""The loop on two servers: work that was killed is finished, and chaos leaves nothing open."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import chaos, watched
from tests.builders.sharing import OUTSIDE, Site
from tests.builders.watched import Servers
from xnat_client.session import XnatServer
from xnat_client.sharing.actors import service
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import (
    Server,
)
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.server_side import content
from xnat_client.sharing.server_side.publish import apply_release
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import (
    Level,
    ReleaseState,
)
from xnat_client.transport import Transport


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
    """watched.Publish in a child that is killed after ``after`` changes; tell whether it was."""
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
    world: SharingSite, site: Site, servers: Servers, approve: watched.Publish, level: Level
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
        is_published = watched.state_of(world, second) == (ReleaseState.PUBLISHED, True)
        assert labels == ("RELEASE_1_0_0", "RELEASE_1_1_0")[: 1 + is_published]
        assert servers.reads(OUTSIDE, "external1", project)
        assert servers.reads(OUTSIDE, "external2", project) is (level is Level.OPEN)
        if is_published:
            break

    assert kills >= 4
    assert watched.state_of(world, second) == (ReleaseState.PUBLISHED, True)
    assert watched.critical(run_cycle(world)) == []


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
