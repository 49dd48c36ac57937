"""People who change a watched site at random, through xnatpy, and a stranger who tries to read.

The site is two sandboxes, a source project and three releases. The loop runs beside in a thread of
its own, one cycle every few seconds. What counts is what the stranger's own requests were
answered, not what the loop says of itself.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import xnat

from tests.builders import sharing, watched
from tests.builders.decided import Signers
from tests.builders.sharing import INSIDE, OUTSIDE, Site
from tests.builders.watched import PASSWORD, SERVICE_ACCOUNT, Servers
from xnat_client.errors import XnatClientError
from xnat_client.sharing import decisions
from xnat_client.sharing.actors import service
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.clock import system_time
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.reconcile.report import CycleReport
from xnat_client.sharing.server_side.publish import apply_release
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import Level, ReleaseState, Role, Severity

STRANGER = "outsider"
_RELEASES = (("closed", Level.EXTERNAL), ("inner", Level.MEMBERS), ("free", Level.OPEN))


@dataclass
class Window:
    """How long the stranger could read something they should not."""

    what: str
    opened_s: float
    closed_s: float | None = None

    @property
    def seconds(self) -> float:
        """Length, in seconds; endless while it is open."""
        return float("inf") if self.closed_s is None else self.closed_s - self.opened_s


@dataclass
class Outcome:
    """What happened."""

    deeds: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    windows: list[Window] = field(default_factory=list)
    cycles: list[CycleReport] = field(default_factory=list)
    repaired_critical: int = 0
    still_wrong: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """The site that is to be disturbed."""

    site: SharingSite
    people: Site
    servers: Servers
    releases: dict[str, tuple[int, str, str]]
    """Family to its number, server and project."""
    signers: Signers


@contextmanager
def stage_set(folder: Path, servers: Servers) -> Iterator[Stage]:
    """Make records, a source project with three sessions, and three published releases."""
    with sharing.fresh_records(folder) as database:
        yield _set_the_stage(folder, servers, database)
        watched.site_settings(servers.service[INSIDE], securityAllowNonPrivateProjects=False)


def _set_the_stage(folder: Path, servers: Servers, database: Database) -> Stage:
    people = sharing.make_site(database)
    home_dir = folder / "home"
    home_dir.mkdir(mode=0o700)
    site = SharingSite(
        Home(home_dir, str(database.engine.url)), database, servers.log_in, system_time
    )
    inside = servers.service[INSIDE]
    if "SOURCE" not in watched.project_ids(inside):
        watched.add_source(inside, "SOURCE", subjects=2)
    watched.put(inside, "/data/projects/SOURCE/users/Owners/lead")
    # The wall's own setting is left open on purpose: the loop alone must close.
    watched.site_settings(inside, securityAllowNonPrivateProjects=True)
    signers = Signers()
    releases = {}
    for family, level in _RELEASES:
        release_pk = watched.approved(site, people, level=level, family=family, signers=signers)
        apply_release(site, release_pk, service("the stage is set"))
        place = OUTSIDE if level >= Level.EXTERNAL else INSIDE
        releases[family] = (release_pk, place, watched.project_of(site, release_pk))
    return Stage(site, people, servers, releases, signers)


class Chaos:
    """Disturbs a stage for some time.

    Parameters
    ----------
    every_s : float
        Seconds from the beginning of one cycle of the loop to the next.
    storm : bool
        Whether people do not wait for one deed on a project to be undone before the next: then
        windows run into each other and say little about the loop.
    """

    def __init__(self, stage: Stage, *, seed: int, every_s: float, storm: bool = False) -> None:
        self.stage = stage
        self.outcome = Outcome()
        self._random = random.Random(seed)  # noqa: S311  # chooses deeds, protects nothing
        self._every_s = every_s
        self._storm = storm
        self._cycles_begun = 0
        self._quiet_from: dict[str, int] = {}
        """Project to the number of the cycle after which it may be disturbed again."""
        self._is_open: dict[str, Window] = {}
        self._over = threading.Event()
        self._at_rest = threading.Event()
        self._connections = {
            alias: xnat.connect(one.url, user=SERVICE_ACCOUNT, password=PASSWORD)
            for alias, one in stage.servers.sandboxes.items()
        }
        self._number = 0

    def run(self, seconds: float) -> Outcome:
        """Disturb, watch and try to read for some seconds; then let the loop come to rest."""
        loop = threading.Thread(target=self._loop)
        stranger = threading.Thread(target=self._try_to_read)
        loop.start()
        stranger.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            deeds = self._deeds()
            if deeds:
                self._do(*self._random.choice(deeds))
            self._resume_what_was_suspended()
            time.sleep(self._random.uniform(0.05, 0.4))
        self._over.set()
        loop.join()
        for _ in range(3):  # what is resumed at the end takes a cycle to be published
            last = run_cycle(self.stage.site)
        self.outcome.still_wrong = [
            one.drift.what for one in last.all_found if one.drift.severity is Severity.CRITICAL
        ]
        self._at_rest.set()
        stranger.join()
        for connection in self._connections.values():
            connection.disconnect()
        return self.outcome

    # What people do ---------------------------------------------------------------------------

    def _deeds(self) -> list[tuple[str, Callable[[], None]]]:
        """Return what can be done now, each with the project that it opens."""
        source = (
            self._open_source, self._add_to_source, self._share_session, self._read_everything,
        )  # fmt: skip
        deeds: list[tuple[str, Callable[[], None]]] = [("", self._make_token)]
        deeds += [("SOURCE", deed) for deed in source]
        deeds += [
            (project, partial(deed, alias, project))
            for _, alias, project in self.stage.releases.values()
            for deed in (self._open_release, self._add_to_release, self._edit_file)
        ]
        return [one for one in deeds if self._storm or self._is_quiet(one[0])]

    def _is_quiet(self, project: str) -> bool:
        return not self._is_open and self._cycles_begun >= self._quiet_from.get(project, 0)

    def _do(self, project: str, deed: Callable[[], None]) -> None:
        name = getattr(deed, "func", deed).__name__.strip("_").replace("_", " ")
        # The cycle that runs now may have read the server already; the next one has not.
        self._quiet_from[project] = self._cycles_begun + 2 if project else 0
        try:
            deed()
        except Exception:  # noqa: BLE001  # a refusal of the server is an answer here
            self.outcome.refused += 1
        else:
            self.outcome.deeds[name] = self.outcome.deeds.get(name, 0) + 1

    def _put(self, alias: str, path: str) -> None:
        self._connections[alias].put(path, accepted_status=[200, 201])

    def _open_source(self) -> None:
        word = self._random.choice(["public", "protected"])
        self._put(INSIDE, f"/data/projects/SOURCE/accessibility/{word}")

    def _add_to_source(self) -> None:
        group = self._random.choice(["Owners", "Members", "Collaborators"])
        self._put(INSIDE, f"/data/projects/SOURCE/users/{group}/{STRANGER}")

    def _share_session(self) -> None:
        """The stranger's own project gets a session of the source."""
        self._number += 1
        project = f"OWN{self._number}"
        self._put(INSIDE, f"/data/projects/{project}?accessibility=private")
        self._put(INSIDE, f"/data/projects/{project}/users/Owners/{STRANGER}")
        connection = self._connections[INSIDE]
        session = connection.projects["SOURCE"].experiments["SOURCE_002_MR1"]
        session.share(project)

    def _open_release(self, alias: str, project: str) -> None:
        self._put(alias, f"/data/projects/{project}/accessibility/public")

    def _add_to_release(self, alias: str, project: str) -> None:
        self._put(alias, f"/data/projects/{project}/users/Collaborators/{STRANGER}")

    def _edit_file(self, alias: str, project: str) -> None:
        resource = self._connections[alias].projects[project].resources["RELEASE_1_0_0"]
        name = self._random.choice(["participants.tsv", "notes.txt"])
        resource.upload_data(f"changed {self._random.random()}", name, overwrite=True)

    def _make_token(self) -> None:
        connection = self._connections[self._random.choice([INSIDE, OUTSIDE])]
        connection.services.issue_token(user=STRANGER)

    def _read_everything(self) -> None:
        self._put(INSIDE, f"/xapi/users/{STRANGER}/groups/ALL_DATA_ACCESS")

    def _resume_what_was_suspended(self) -> None:
        """Steward and officer look, and open again what the loop suspended."""
        stage = self.stage
        for release_pk, _, _ in stage.releases.values():
            with stage.site.database.transaction() as session:
                release = session.get_one(Release, release_pk)
                if release.state is not ReleaseState.SUSPENDED:
                    continue
                for role in (Role.STEWARD, Role.OFFICER):
                    now = stage.site.now(session)
                    actor = stage.people.acting(role)
                    signature = stage.signers.sign(
                        session, release, Decision.RESUME, actor.person_id, role, now=now
                    )
                    release = decisions.fire(
                        session, stage.site.home, actor, release, ReleaseEvent.RESUME, now=now,
                        signature=signature,
                    )  # fmt: skip

    # The loop, and the stranger -----------------------------------------------------------------

    def _loop(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            self._cycles_begun += 1
            report = run_cycle(self.stage.site)
            self.outcome.cycles.append(report)
            self.outcome.repaired_critical += report.count(Severity.CRITICAL)
            self._over.wait(max(0.0, self._every_s - (time.monotonic() - began)))

    def _try_to_read(self) -> None:
        """Note from when to when something secret was readable, as the stranger."""
        secret = [
            (INSIDE, "the source project", "/data/projects/SOURCE/experiments"),
            (INSIDE, "a session of the source", self._session_path()),
            *(
                (alias, f"the release {family}", f"/data/projects/{project}/resources")
                for family, (_, alias, project) in self.stage.releases.items()
                if family != "free"
            ),
        ]
        readers = {
            alias: self.stage.servers.as_user(alias, STRANGER) for alias in (INSIDE, OUTSIDE)
        }
        is_open = self._is_open
        rounds_left = 2  # after the last cycle, to see what is still open
        while rounds_left:
            rounds_left -= self._at_rest.is_set()
            for alias, what, path in secret:
                now = time.monotonic()
                readable = _is_readable(readers[alias], path)
                if readable and what not in is_open:
                    is_open[what] = Window(what, now)
                    self.outcome.windows.append(is_open[what])
                elif not readable and what in is_open:
                    is_open.pop(what).closed_s = time.monotonic()
            time.sleep(0.05)
        for reader in readers.values():
            reader.close()

    def _session_path(self) -> str:
        rows: Any = self.stage.servers.service[INSIDE].get_json(
            "/data/projects/SOURCE/experiments",
            doing="find a session",
            query={"columns": "ID,label", "format": "json"},
        )
        (found,) = (
            row["ID"] for row in rows["ResultSet"]["Result"] if row["label"] == "SOURCE_002_MR1"
        )
        return f"/data/experiments/{found}"


def _is_readable(reader: Any, path: str) -> bool:
    try:
        reader.get_json(path, doing="read what is secret", query={"format": "json"})
    except XnatClientError:
        return False
    return True
