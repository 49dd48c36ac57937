"""Random acts on records and random deeds on two servers: after the loop, who can fetch what.

Everybody's own HTTP requests are what counts, made without the client. They are held against two
things: what ``readers_of`` says of the real records, which must be exactly what can be fetched,
and an upper bound that is kept here from what was done, which must never be passed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.builders import decided, sharing, watched
from tests.builders.decided import Signers
from tests.builders.sharing import INSIDE, OUTSIDE
from tests.builders.watched import PASSWORD, SERVICE_ACCOUNT, Servers
from xnat_client.errors import XnatClientError
from xnat_client.projects import Accessibility
from xnat_client.sharing import decisions, evidence, grants, link_file, withdrawal
from xnat_client.sharing.actors import service
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.database.tables import Grant, Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.grant_machine import GrantEvent
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.reconcile.report import CycleReport, Done
from xnat_client.sharing.records import people
from xnat_client.sharing.server_side.access import list_members, remove_member, set_accessibility
from xnat_client.sharing.server_side.content import resource_label
from xnat_client.sharing.server_side.publish import apply_release
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import (
    READABLE_STATES,
    ConsentEvent,
    Level,
    Role,
    Severity,
)

ANONYMOUS, STRANGER, LEAD = "", "outsider", "lead"
EXTERNALS, MEMBERS = ("external1", "external2"), ("member1", "member2")
VISITORS = (ANONYMOUS, STRANGER, LEAD, *EXTERNALS, *MEMBERS)
CLOSED, INNER, FREE = "closed", "inner", "free"
PLACES = {
    CLOSED: (OUTSIDE, Level.EXTERNAL), INNER: (INSIDE, Level.MEMBERS), FREE: (OUTSIDE, Level.OPEN)
}  # fmt: skip
PROBED = "participants.tsv"
A_YEAR = timedelta(days=365)
"""Longest time that a grant or an acceptance counts, as the policy for sharing has it."""

_NUMBERS = count(1)
families = st.sampled_from(sorted(PLACES))


@dataclass(frozen=True)
class Version:
    """One release as a visitor knows it."""

    release_pk: int
    kind: str
    version: str
    project: str
    participants: frozenset[int]
    folder: Path

    @property
    def address(self) -> str:
        """Its resource on its server."""
        return f"/data/projects/{self.project}/resources/{resource_label(self.version)}"


class SharedSites(RuleBasedStateMachine):
    """A source and three families on two servers, everybody of the small site, and the loop."""

    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self.servers = servers
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(link_file.KEYS_VARIABLE, str(folder / "link-keys"))
        records = self.stack.enter_context(sharing.fresh_records(folder))
        self.people = sharing.quick_site(records)
        (folder / "home").mkdir(mode=0o700)
        self.now: datetime = sharing.NOW
        self.site = SharingSite(
            Home(folder / "home", ""), records, servers.log_in, lambda: self.now
        )
        self.signers = Signers()
        self.versions: list[Version] = []
        self.number = next(_NUMBERS)
        self.elsewhere = f"ELSEWHERE{self.number}"
        self.spoilt = False
        self.is_set = False
        # What was done, for the upper bound.
        self.withdrawn: set[int] = set()
        self.stopped: set[int] = set()
        self.until: dict[str, datetime] = {}
        self.away: set[str] = set()

    @initialize()
    def publish_three(self) -> None:
        """Clear both servers; one release for outsiders, one for members, one for everybody."""
        _clear(self.servers)
        for kind in PLACES:
            self._publish(kind, "1.0.0", self.people.participants[:1])
        self.become_reader("external1")
        self.become_reader("member1")
        self.is_set = True

    def teardown(self) -> None:
        """Let the loop run a last time, then remove what this sequence made."""
        with self.stack:
            if self.is_set and sys.exc_info()[0] is None:
                self.cycle()

    # Acts on the records ----------------------------------------------------------------------

    def _publish(self, kind: str, version: str, participants: list[int]) -> None:
        release_pk = watched.approved(
            self.site, self.people, level=PLACES[kind][1], family=f"{kind}{self.number}",
            version=version, participants=participants, signers=self.signers,
        )  # fmt: skip
        with self.site.database.transaction() as session:
            release = session.get_one(Release, release_pk)
            folder = evidence.release_folder(self.site.home, release)
            known = Version(
                release_pk, kind, version, release.project_id, frozenset(participants), folder
            )
        self.versions.append(known)
        apply_release(self.site, release_pk, service("a test"))

    @precondition(
        lambda self: len(self.versions) == len(PLACES) and self.now < sharing.NOW + A_YEAR
    )
    @rule(kind=families)
    def publish_next(self, kind: str) -> None:
        """A second version, with the second participant too, in the same project."""
        with suppress(XnatClientError):  # refused where a participant has withdrawn
            self._publish(kind, "1.1.0", self.people.participants)

    @rule(
        which=st.integers(0, len(PLACES)),
        event=st.sampled_from([ReleaseEvent.SUSPEND, ReleaseEvent.WITHDRAW]),
    )
    def close_a_release(self, which: int, event: ReleaseEvent) -> None:
        """The officer suspends a release or ends it."""
        release_pk = self.versions[which % len(self.versions)].release_pk
        with suppress(XnatClientError), self.site.database.transaction() as session:
            now = self.site.now(session)
            release = session.get_one(Release, release_pk)
            actor = self.people.acting(Role.OFFICER)
            decisions.fire(session, self.site.home, actor, release, event, now=now)
            self.stopped.add(release_pk)

    @precondition(lambda self: self.stopped or self.spoilt)
    @rule()
    def resume_all(self) -> None:
        """Steward and officer sign that whatever is suspended opens again."""
        for known in self.versions:
            with suppress(XnatClientError), self.site.database.transaction() as session:
                now = self.site.now(session)
                release = session.get_one(Release, known.release_pk)
                for role in (Role.STEWARD, Role.OFFICER):
                    actor = self.people.acting(role)
                    signature = self.signers.sign(
                        session, release, Decision.RESUME, actor.person_id, role, now=now
                    )
                    release = decisions.fire(
                        session, self.site.home, actor, release, ReleaseEvent.RESUME, now=now,
                        signature=signature,
                    )  # fmt: skip
                self.stopped.discard(known.release_pk)

    @precondition(lambda self: not self.withdrawn)
    @rule(which=st.integers(0, 1))
    def withdraw_consent(self, which: int) -> None:
        """A participant wants no further sharing."""
        number = self.people.participants[which]
        with self.site.database.transaction() as session:
            now = self.site.now(session)
            withdrawal.withdraw(
                session, self.site.home, self.people.acting(Role.STUDY_TEAM), number,
                ConsentEvent.NO_FURTHER_SHARING, given_on=now.date(), now=now,
            )  # fmt: skip
        self.withdrawn.add(number)

    @rule(login=st.sampled_from([*EXTERNALS, *MEMBERS]))
    def become_reader(self, login: str) -> None:
        """An outsider asks, signs and is let in; a member accepts the policy for members."""
        with suppress(XnatClientError):
            if login in EXTERNALS:
                release_pk = next(one.release_pk for one in self.versions if one.kind == CLOSED)
                watched.grant(self.site, self.people, release_pk, f"p-{login}")
            else:
                with self.site.database.transaction() as session:
                    now = self.site.now(session)
                    decided.accept(session, f"p-{login}", Role.MEMBER, now=now)
            self.until[login] = self.now + A_YEAR

    @precondition(lambda self: not self.until.keys().isdisjoint(EXTERNALS))
    @rule(login=st.sampled_from(EXTERNALS))
    def revoke(self, login: str) -> None:
        """The steward takes a grant back."""
        with self.site.database.transaction() as session:
            now = self.site.now(session)
            mine = sa.select(Grant).where(Grant.person_id == f"p-{login}")
            for one in session.scalars(mine).all():
                grants.fire(
                    session, self.people.acting(Role.STEWARD), one, GrantEvent.REVOKE, now=now
                )
        self.until.pop(login, None)

    @rule(login=st.sampled_from([*EXTERNALS, *MEMBERS]))
    def leave_or_come_back(self, login: str) -> None:
        """Somebody leaves the centre, or is taken up again by the officer."""
        comes = login in self.away
        with self.site.database.transaction() as session:
            now = self.site.now(session)
            officer = self.people.acting(Role.OFFICER)
            people.set_active(session, officer, f"p-{login}", active=comes, now=now)
        self.away ^= {login}

    @rule(days=st.sampled_from([1, 40, 366]))
    def wait(self, days: int) -> None:
        """Days pass, and the loop runs."""
        self.now += timedelta(days=days)
        self.cycle()

    # Deeds on the servers ---------------------------------------------------------------------

    def _where(self, kind: str) -> tuple[str, str]:
        if kind == "source":
            return INSIDE, "SOURCE"
        return PLACES[kind][0], next(one.project for one in self.versions if one.kind == kind)

    def _put(self, alias: str, path: str, **query: str) -> None:
        with suppress(XnatClientError):  # a refusal of the server is an answer too
            watched.put(self.servers.service[alias], path, **query)

    @rule(
        kind=st.sampled_from(["source", *sorted(PLACES)]),
        word=st.sampled_from(["public", "protected", "private"]),
    )
    def set_who_sees(self, kind: str, word: str) -> None:
        """Somebody sets who sees a project: too wide, or too narrow."""
        alias, project = self._where(kind)
        self._put(alias, f"/data/projects/{project}/accessibility/{word}")

    @rule(
        kind=st.sampled_from(["source", *sorted(PLACES)]),
        group=st.sampled_from(["Owners", "Members", "Collaborators"]),
        login=st.sampled_from([STRANGER, *EXTERNALS, *MEMBERS]),
    )
    def add_to_project(self, kind: str, group: str, login: str) -> None:
        """Somebody puts an account into a project."""
        alias, project = self._where(kind)
        self._put(alias, f"/data/projects/{project}/users/{group}/{login}")

    @rule(kind=families, login=st.sampled_from([*EXTERNALS, *MEMBERS]))
    def take_out(self, kind: str, login: str) -> None:
        """Somebody takes a reader out of a release project."""
        alias, project = self._where(kind)
        path = f"/data/projects/{project}/users/{project}_collaborator/{login}"
        with suppress(XnatClientError):
            watched.delete(self.servers.service[alias], path)

    @rule(kind=families, name=st.sampled_from([PROBED, "notes.txt"]))
    def write_file(self, kind: str, name: str) -> None:
        """Somebody writes a file into a release: another's name, or one of its own."""
        self.spoilt = True
        alias, project = self._where(kind)
        path = f"/data/projects/{project}/resources/RELEASE_1_0_0/files/{name}"
        query = {"inbody": "true", "overwrite": "true"}
        with suppress(XnatClientError):
            self.servers.service[alias].request(
                "PUT", path, doing="write", query=query, body=b"SECRET"
            )

    @rule()
    def share_a_session(self) -> None:
        """A project of the stranger gets a session of the source."""
        self._put(INSIDE, f"/data/projects/{self.elsewhere}", accessibility="private")
        self._put(INSIDE, f"/data/projects/{self.elsewhere}/users/Owners/{STRANGER}")
        subject = "/data/projects/SOURCE/subjects/SOURCE_001"
        self._put(INSIDE, f"{subject}/projects/{self.elsewhere}")
        self._put(INSIDE, f"{subject}/experiments/SOURCE_001_MR1/projects/{self.elsewhere}")

    @rule(alias=st.sampled_from([INSIDE, OUTSIDE]))
    def read_everything(self, alias: str) -> None:
        """The stranger is put into the site's group that reads all data."""
        self._put(alias, f"/xapi/users/{STRANGER}/groups/ALL_DATA_ACCESS")

    # The loop, and what must hold after it ----------------------------------------------------

    @rule(seconds=st.sampled_from([60, 300]))
    def loop(self, seconds: int) -> None:
        """It is time for the loop."""
        self.now += timedelta(seconds=seconds)
        self.cycle()

    def cycle(self) -> None:
        """The loop runs: nothing too much at once, all that is right after it, and then rest."""
        report = self._cycle()
        fetched = self._fetched()
        self._nothing_beyond(fetched)
        if _closed_something(report):  # what it found wrong, it opens in the next cycle only
            report = self._cycle()
            fetched = self._fetched()
            self._nothing_beyond(fetched)
        assert fetched == self._declared(report)
        again = self._cycle()
        assert [one for one in again.all_found if one.done is Done.REPAIRED] == []
        assert again.published == ()
        assert self._fetched() == fetched

    def _cycle(self) -> CycleReport:
        report = run_cycle(self.site)
        assert report.is_complete
        assert [one for one in report.all_found if one.done is Done.FAILED] == []
        return report

    def _declared(self, report: CycleReport) -> set[tuple[str, int]]:
        """Return who reads which release by the records, where it stands on its server."""
        expected: set[tuple[str, int]] = set()
        waiting = " ".join(report.waiting)
        with self.site.database.transaction() as session:
            for known in self.versions:
                release = session.get_one(Release, known.release_pk)
                if release.state in READABLE_STATES and not release.applied:
                    assert f"Release {known.release_pk}:" in waiting
                    continue
                persons = grants.readers_of(session, release, self.now)
                expected |= {
                    (login, known.release_pk)
                    for login in VISITORS
                    if persons is None or f"p-{login}" in persons
                }
        return expected

    def _may_read(self, login: str, known: Version) -> bool:
        """Tell from what was done here whether somebody could be a reader at all."""
        if known.release_pk in self.stopped or known.participants & self.withdrawn:
            return False
        of_kind = {CLOSED: EXTERNALS, INNER: MEMBERS, FREE: VISITORS}[known.kind]
        if known.kind == FREE:
            return True
        runs = login in self.until and self.now < self.until[login]
        return login in of_kind and runs and login not in self.away

    def _nothing_beyond(self, fetched: set[tuple[str, int]]) -> None:
        for known in self.versions:
            readers = {login for login, number in fetched if number == known.release_pk}
            assert {one for one in readers if not self._may_read(one, known)} == set()

    def _fetched(self) -> set[tuple[str, int]]:
        """Return who got which release just now; nobody gets the source, nor another byte."""
        found: set[tuple[str, int]] = set()
        for login in VISITORS:
            with requests.Session() as web:
                if login:
                    web.auth = (login, PASSWORD)
                get = partial(self._get, web)
                found |= {(login, one.release_pk) for one in self.versions if _fetches(get, one)}
                for path in ("projects/SOURCE/subjects", "projects/SOURCE/experiments"):
                    assert get(INSIDE, f"/data/{path}").ok == (login == LEAD), (login, path)
                shared = get(INSIDE, f"/data/projects/{self.elsewhere}/experiments")
                assert "MR1" not in shared.text, login
        return found

    def _get(self, web: requests.Session, alias: str, path: str) -> requests.Response:
        return web.get(f"{self.servers.sandboxes[alias].url}{path}", timeout=30)


def _fetches(get: partial[requests.Response], known: Version) -> bool:
    """Tell whether a visitor gets a release; whoever does gets what was approved, no file more."""
    alias = PLACES[known.kind][0]
    answer = get(alias, f"{known.address}/files/{PROBED}")
    listed = get(alias, f"{known.address}/files?format=json")
    if not answer.ok:
        assert not listed.ok or not listed.json()["ResultSet"]["Result"]
        return False
    assert answer.content == (known.folder / PROBED).read_bytes()
    rows = listed.json()["ResultSet"]["Result"]
    approved = {path.name for path in known.folder.rglob("*") if path.is_file()}
    assert {row["Name"].rpartition("/")[2] for row in rows} == approved
    return True


def _closed_something(report: CycleReport) -> bool:
    return any(
        one.done is Done.REPAIRED and one.drift.severity >= Severity.HIGH
        for one in report.all_found
    )


def _clear(servers: Servers) -> None:
    """Remove what an earlier sequence left: projects, members of the source, site-wide readers."""
    for transport in servers.service.values():
        for project in set(watched.project_ids(transport)) - {"SOURCE"}:
            watched.delete(transport, f"/data/projects/{project}")
        path = f"/xapi/users/{STRANGER}/groups/ALL_DATA_ACCESS"
        with suppress(XnatClientError):
            transport.request("DELETE", path, doing="clear away")
        # The walls' own settings are left open on purpose: the loop alone must close.
        watched.site_settings(transport, securityAllowNonPrivateProjects=True, requireLogin=False)
    inside = servers.service[INSIDE]
    set_accessibility(inside, "SOURCE", Accessibility.PRIVATE)
    for member in list_members(inside, "SOURCE"):
        if member.login != SERVICE_ACCOUNT:
            remove_member(inside, "SOURCE", member)
    watched.put(inside, f"/data/projects/SOURCE/users/Owners/{LEAD}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with watched.running_servers(tmp_path_factory.mktemp("servers")) as running:
        watched.add_source(running.service[INSIDE], "SOURCE")
        yield running


def test_after_the_loop_everybody_fetches_what_the_records_say_and_nothing_more(servers: Servers):
    """Whatever people did to records and servers in whatever order."""
    run_state_machine_as_test(
        lambda: SharedSites(servers),
        settings=settings(
            max_examples=10,
            stateful_step_count=8,
            deadline=None,
            phases=[Phase.generate],  # each try costs seconds, so none to make a failure shorter
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
