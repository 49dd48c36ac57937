"""Random sequences of events on real records, with what must hold asked after each of them.

What may be read is worked out beside the records, from what the test itself did: who consented,
whose key signed what, which file was touched, which day it is. The code is asked only who reads.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy.orm import Session

from tests.builders import decided, sharing
from tests.builders.decided import Signers
from xnat_client.errors import NotAllowedError, UsageError
from xnat_client.sharing import decisions, evidence, grants, link_file
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.database.tables import Approval, Grant, Release
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.grant_machine import GrantEvent
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import consent, criteria
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.vocabulary import ConsentEvent, Level, ReleaseState, Role

REFUSALS = (NotAllowedError, RefusedByPolicyError, UsageError)
ROLES = (Role.STUDY_TEAM, Role.LEAD, Role.STEWARD, Role.OFFICER, Role.ADMINISTRATOR, Role.SERVICE)
VERSIONS = ("1.0.0", "1.1.0")
CLOSERS = (Role.LEAD, Role.STEWARD, Role.OFFICER, Role.ADMINISTRATOR)


class Releases(RuleBasedStateMachine):
    """Two versions, two participants, everybody of the small site, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(link_file.KEYS_VARIABLE, str(folder / "link-keys"))
        self.records = self.stack.enter_context(sharing.fresh_records(folder))
        self.site = sharing.quick_site(self.records)
        home_folder = folder / "home"
        home_folder.mkdir(mode=0o700)
        self.home = Home(home_folder, "")
        self.signers = Signers()
        self.now: datetime = sharing.NOW
        self.latest = self.now
        self.withdrawn: set[int] = set()
        self.touched: set[str] = set()
        self.criteria = 1
        self.grant_pk = 0
        self.grant_ends: datetime | None = None

    @initialize(published=st.sampled_from([2, 1, 0]))
    def draft_both(self, published: int) -> None:
        """Two complete drafts of an external release and one grant; some go the whole way."""
        with self.records.transaction() as session:
            decided.prepare(session, self.site, now=self.now)
            for version in VERSIONS:
                decided.draft(session, self.home, self.site, now=self.now, version=version)
            release = self._release(session, VERSIONS[0])
            grant = decided.granted(
                session, self.site, self.site.externals[0], release, now=self.now
            )
            self.grant_pk, self.grant_ends = grant.grant_pk, grant.ends_at
        for version in VERSIONS[:published]:
            self._go_the_whole_way(version)

    def _release(self, session: Session, version: str) -> Release:
        return session.scalars(sa.select(Release).where(Release.version == version)).one()

    def _fire(self, version: str, event: ReleaseEvent, role: Role, *, twice: bool) -> None:
        for _ in range(2 if twice else 1):
            with suppress(*REFUSALS), self.records.transaction() as session:
                release = self._release(session, version)
                actor = self.site.acting(role)
                signature = ""
                if event in {ReleaseEvent.APPROVE, ReleaseEvent.RESUME} and role in CLOSERS:
                    decision = Decision(event.value)
                    at = max(self.now, self.latest)
                    signature = self.signers.sign(
                        session, release, decision, actor.person_id, role, now=at
                    )
                decisions.fire(
                    session, self.home, actor, release, event, now=self.now, signature=signature
                )

    @rule(
        version=st.sampled_from(VERSIONS),
        event=st.sampled_from(list(ReleaseEvent)),
        role=st.sampled_from(ROLES),
        twice=st.booleans(),
    )
    def anything(self, version: str, event: ReleaseEvent, role: Role, *, twice: bool) -> None:
        """Anybody tries anything."""
        self._fire(version, event, role, twice=twice)

    @rule(version=st.sampled_from(VERSIONS))
    def whole_way(self, version: str) -> None:
        """Everybody does their part in order, as far as it goes."""
        self._go_the_whole_way(version)

    def _go_the_whole_way(self, version: str) -> None:
        for event, role in (
            (ReleaseEvent.CHECK, Role.STUDY_TEAM),
            (ReleaseEvent.PROPOSE, Role.STUDY_TEAM),
            (ReleaseEvent.APPROVE, Role.LEAD),
            (ReleaseEvent.APPROVE, Role.STEWARD),
            (ReleaseEvent.APPLY, Role.SERVICE),
        ):
            self._fire(version, event, role, twice=False)

    @rule(version=st.sampled_from(VERSIONS))
    def reopen(self, version: str) -> None:
        """Steward and officer try to open it again."""
        for role in (Role.STEWARD, Role.OFFICER):
            self._fire(version, ReleaseEvent.RESUME, role, twice=False)

    @rule(which=st.integers(0, 1))
    def withdraw_consent(self, which: int) -> None:
        """A participant wants no further sharing."""
        number = self.site.participants[which]
        with self.records.transaction() as session:
            at = grants.clock.now(session, lambda: self.now)
            line = ConsentLine(ConsentEvent.NO_FURTHER_SHARING, at.date())
            consent.record(session, self.site.acting(Role.STUDY_TEAM), number, line, now=at)
        self.withdrawn.add(number)

    @precondition(lambda self: len(self.touched) < len(VERSIONS))
    @rule(version=st.sampled_from(VERSIONS))
    def touch_a_file(self, version: str) -> None:
        """A file of a release is changed behind everybody's back."""
        with self.records.transaction() as session:
            folder = evidence.release_folder(self.home, self._release(session, version))
        (folder / "dataset_description.json").write_text('{"changed": true}\n')
        self.touched.add(version)

    @precondition(lambda self: self.criteria == 1)
    @rule()
    def adopt_criteria(self) -> None:
        """The officer adopts new criteria."""
        self.criteria = 2
        with self.records.transaction() as session:
            at = grants.clock.now(session, lambda: self.now) + timedelta(seconds=1)
            file = decided.CriteriaFile("2.0", "c2" * 32)
            criteria.adopt(session, self.site.acting(Role.OFFICER), file, now=at)

    @rule(days=st.sampled_from([-400, -31, -1, 1, 8, 31, 200]))
    def turn_the_clock(self, days: int) -> None:
        """Days pass, or the clock is turned back."""
        self.now += timedelta(days=days)
        with self.records.transaction() as session:
            self.latest = grants.clock.now(session, lambda: self.now)

    @rule(event=st.sampled_from(list(GrantEvent)), role=st.sampled_from([*ROLES, Role.EXTERNAL]))
    def anything_with_the_grant(self, event: GrantEvent, role: Role) -> None:
        """Anybody tries anything with the grant."""
        with suppress(*REFUSALS), self.records.transaction() as session:
            grant = session.get_one(Grant, self.grant_pk)
            grants.fire(session, self.site.acting(role), grant, event, now=self.now)

    @rule()
    def bring_old_decisions_back(self) -> None:
        """Somebody edits the table of approvals: what was dropped is there again."""
        with self.records.engine.begin() as connection:
            connection.execute(sa.update(Approval.__table__).values(dropped_at=None))

    @rule(version=st.sampled_from(VERSIONS), role=st.sampled_from(CLOSERS))
    def closing_is_always_accepted(self, version: str, role: Role) -> None:
        """One person closes, now, whatever the state."""
        with self.records.transaction() as session:
            release = self._release(session, version)
            actor = Actor(self.site.acting(role).person_id, role, "close it")
            closed = decisions.fire(
                session, self.home, actor, release, ReleaseEvent.SUSPEND, now=self.now
            )
            assert closed.state in {ReleaseState.SUSPENDED, ReleaseState.WITHDRAWN}
            assert grants.readers_of(session, closed, self.now) == set()

    @invariant()
    def nobody_reads_without_consent_or_time(self) -> None:
        """Readers only of what everybody in it consents to, and only until the grant's end."""
        with self.records.transaction() as session:
            for release in session.scalars(sa.select(Release)):
                found = grants.readers_of(session, release, self.now)
                assert found is not None, "nothing here is open to everybody"
                if not found:
                    continue
                assert not self.withdrawn
                assert release.level is Level.EXTERNAL
                assert found == {self.site.externals[0]}
                assert self.grant_ends is not None
                assert self.latest < self.grant_ends
                assert max(self.now, self.latest) < self.grant_ends

    def teardown(self) -> None:
        """Remove what this sequence made."""
        self.stack.close()


class WatchedReleases(Releases):
    """The same, and whatever becomes readable in a step is complete and fresh in that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.readable: set[str] = set()

    @invariant()
    def what_opened_was_complete_and_fresh(self) -> None:
        """A release enters a readable state only with whole files, criteria and consent."""
        with self.records.transaction() as session:
            states = {one.version: one.state for one in session.scalars(sa.select(Release))}
        readable = {
            version
            for version, state in states.items()
            if state in {ReleaseState.PUBLISHED, ReleaseState.SUPERSEDED}
        }
        for version in readable - self.readable:
            assert version not in self.touched
            assert self.criteria == 1
            assert not self.withdrawn
        self.readable = readable


TestReleases = WatchedReleases.TestCase
TestReleases.settings = settings(
    max_examples=10,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
