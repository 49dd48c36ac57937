"""A study of 1,000 participants with two sessions each: checking, and one cycle of the loop.

    python -m tests.benchmarks.bench_sharing [--participants 1000] [--sessions 2]

Printed: seconds on the wall and of this process, and the number of requests, for a study of a
tenth of the size too: requests must not grow with participants.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.builders import decided, sharing, watched
from tests.builders.decided import Signers
from tests.builders.sharing import INSIDE, OUTSIDE, Site
from tests.builders.watched import Servers
from xnat_client.projects import create_project
from xnat_client.sharing import decisions
from xnat_client.sharing.actors import service
from xnat_client.sharing.check import check_project, check_release
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Release, Study
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.server_side.publish import apply_release
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import Level, Role
from xnat_client.transport import Transport

_THREADS = 4


def main() -> None:
    """Run it for a tenth and for the whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=2)
    chosen = parser.parse_args()
    for participants in (chosen.participants // 10, chosen.participants):
        with tempfile.TemporaryDirectory() as name:
            _measure(Path(name), participants, chosen.sessions)


def _measure(folder: Path, participants: int, sessions: int) -> None:
    os.environ["WINXNAT_LINK_KEYS"] = str(folder / "keys")
    print(f"{participants} participants with {sessions} sessions each")
    with (
        watched.running_servers(folder / "servers") as servers,
        sharing.fresh_records(folder) as database,
    ):
        _fill_source(servers.service[INSIDE], participants, sessions)
        site, people = _records(folder, database, servers, participants)
        study, release_pk = people.study_pk, _approved(site, people)

        def check_study() -> None:
            with database.transaction() as session:
                found = session.get_one(Study, study)
                check_project(session, site.home, found, Level.EXTERNAL, now=site.now(session))

        def check_built() -> None:
            with database.transaction() as session:
                row = session.get_one(Release, release_pk)
                check_release(session, site.home, row, row.level, now=site.now(session))

        _timed("share check of the study", check_study)
        _timed("check of the built release", check_built)
        _timed("release apply", lambda: apply_release(site, release_pk, service("benchmark")))
        reports = []
        _timed("cycle of the loop", lambda: reports.append(run_cycle(site)))
        requests = [one.requests for one in reports[0].servers]
        print(f"  requests of the cycle: {requests[0]} inside, {requests[1]} outside; "
              f"worst found: {reports[0].worst.name.lower()}")  # fmt: skip


def _timed(what: str, act: Callable[[], object]) -> None:
    wall, processor = time.perf_counter(), time.process_time()
    act()
    print(f"  {what:28} {time.perf_counter() - wall:7.2f} s on the wall, "
          f"{time.process_time() - processor:6.2f} s of this process")  # fmt: skip


def _fill_source(transport: Transport, participants: int, sessions: int) -> None:
    create_project(transport, "SOURCE")

    def add(number: int) -> None:
        subject = f"/data/projects/SOURCE/subjects/S{number:05d}"
        watched.put(transport, subject)
        for visit in range(sessions):
            session = f"{subject}/experiments/S{number:05d}_MR{visit}"
            watched.put(transport, session, xsiType="xnat:mrSessionData")

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(add, range(participants)))


def _records(
    folder: Path, database: Database, servers: Servers, participants: int
) -> tuple[SharingSite, Site]:
    people = sharing.make_site(database)
    with database.transaction() as session:
        more = [
            sharing.add_participant(session, people.study_pk, f"S{number:05d}")
            for number in range(participants - len(people.participants))
        ]
    home_dir = folder / "home"
    home_dir.mkdir(mode=0o700)
    site = watched.fresh_site(database, Home(home_dir, str(database.engine.url)), servers)
    return site, replace(people, participants=[*people.participants, *more])


def _approved(site: SharingSite, people: Site) -> int:
    with site.database.transaction() as session:
        now = site.now(session)
        decided.prepare(session, people, now=now)
        row = decided.draft(session, site.home, people, now=now)
        team = people.acting(Role.STUDY_TEAM)
        for event in (ReleaseEvent.CHECK, ReleaseEvent.PROPOSE):
            row = decisions.fire(session, site.home, team, row, event, now=now)
        row = decided.approve_all(session, site.home, people, row, Signers(), now=now)
        assert row.server == OUTSIDE
        return row.release_pk


if __name__ == "__main__":
    main()
