"""Every sequence of events to depth eight, on the machine of releases and a small world around it.

The world is written here, simply and apart from the code: two participants who may withdraw, two
versions of a release of which one is under embargo, four people, a service, files that change,
criteria that are renewed, days that pass. What must hold at each step is asked of the world, not
of the machine. The same machine runs on real records in ``test_stateful``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from xnat_client.errors import NotAllowedError
from xnat_client.sharing import approvals
from xnat_client.sharing.approvals import RESUMERS, Vote
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.finding import Finding, procedure
from xnat_client.sharing.machines.release_machine import ReleaseEvent, machine
from xnat_client.sharing.vocabulary import Level, ReleaseState, Role

DEPTH = 8
DEPTH_AFTER = 7
ZERO = datetime(2026, 5, 4, tzinfo=UTC)
READABLE = (ReleaseState.PUBLISHED, ReleaseState.SUPERSEDED)
REQUESTER, LEAD, STEWARD, OFFICER, SERVICE = "requester", "lead", "steward", "officer", "service"
ACTORS = (
    (REQUESTER, Role.STUDY_TEAM),
    (LEAD, Role.LEAD),
    (STEWARD, Role.STEWARD),
    (OFFICER, Role.OFFICER),
    (SERVICE, Role.SERVICE),
)
EMBARGO_ENDS = (0, 20)
"""Day from which each version may be published."""


@dataclass(frozen=True)
class Version:
    """One version of the release, as the world knows it."""

    state: ReleaseState = ReleaseState.DRAFT
    members: frozenset[int] = frozenset({0, 1})
    files_are_whole: bool = True
    criteria: int = 0
    checked_on: int | None = None
    requested_by: str = REQUESTER
    approved: tuple[tuple[str, Role, int], ...] = ()
    resumed: tuple[tuple[str, Role, int], ...] = ()
    before: ReleaseState | None = None


@dataclass(frozen=True)
class Around:
    """What a version sees of the world around it."""

    day: int = 0
    withdrawn: frozenset[int] = frozenset()
    criteria: int = 0
    newer: bool = False


def _plain(one: Version) -> Version:
    """Return a version without what nothing can depend on any more, so that worlds meet."""
    if one.state is ReleaseState.WITHDRAWN:
        return Version(state=ReleaseState.WITHDRAWN)
    if one.before is not None and one.before not in READABLE:
        return replace(one, before=ReleaseState.DRAFT, approved=(), checked_on=None)
    return one


@dataclass(frozen=True)
class Case:
    """What the machine asks, answered from the world; hashable, so that answers are kept."""

    now: datetime
    level: Level
    checked_at: datetime | None
    fresh: bool
    requested_by: str
    approvals: tuple[Vote, ...]
    resumes: tuple[Vote, ...]
    own: Vote | None
    resuming: bool
    embargo_over: bool
    readable_before: bool
    newer: bool

    def prerequisites(self) -> tuple[Finding, ...]:
        """Answer as the protocol asks."""
        return () if self.fresh else (procedure("stale", "something changed"),)

    def decision_objections(self) -> tuple[Finding, ...]:
        """Answer as the protocol asks."""
        assert self.own is not None
        if self.resuming:
            said = approvals.same_person(self.own, self.resumes[:-1])
        else:
            others = self.approvals[:-1]
            said = approvals.objections_to(self.level, self.requested_by, self.own, others)
        return tuple(procedure("decision", what) for what in said)

    def approval_findings(self) -> tuple[Finding, ...]:
        """Answer as the protocol asks."""
        return approvals.set_findings(self.level, self.requested_by, self.approvals)

    def approvals_age(self) -> timedelta:
        """Answer as the protocol asks."""
        return max((self.now - vote.decided_at for vote in self.approvals), default=timedelta.max)

    def resume_is_complete(self) -> bool:
        """Answer as the protocol asks."""
        return not approvals.missing_roles(RESUMERS, self.resumes)

    def embargo_is_over(self) -> bool:
        """Answer as the protocol asks."""
        return self.embargo_over

    def was_readable(self) -> bool:
        """Answer as the protocol asks."""
        return self.readable_before

    def newer_is_published(self) -> bool:
        """Answer as the protocol asks."""
        return self.newer


_MACHINE = machine()


def complete_and_fresh(around: Around, number: int, one: Version) -> bool:
    """The rule itself: may this version have readers now? Written apart from the machine."""
    return (
        _is_fresh(around, one)
        and {(who, role) for who, role, _ in one.approved}
        >= {(LEAD, Role.LEAD), (STEWARD, Role.STEWARD)}
        and one.requested_by not in {LEAD, STEWARD}
        and around.day >= EMBARGO_ENDS[number]
    )


def _is_fresh(around: Around, one: Version) -> bool:
    return (
        bool(one.members)
        and not one.members & around.withdrawn
        and one.files_are_whole
        and one.criteria == around.criteria
    )


def _day(number: int) -> datetime:
    return ZERO + timedelta(days=number)


def _case(around: Around, number: int, one: Version, actor: tuple[str, Role] | None) -> Case:
    own = None if actor is None else Vote(*actor, _day(around.day))
    resuming = one.state is ReleaseState.SUSPENDED
    given = tuple(Vote(who, role, _day(on)) for who, role, on in one.approved)
    young = (each for each in one.resumed if around.day - each[2] < 30)
    resumed = tuple(Vote(who, role, _day(on)) for who, role, on in young)
    return Case(
        now=_day(around.day),
        level=Level.EXTERNAL,
        checked_at=None if one.checked_on is None else _day(one.checked_on),
        fresh=_is_fresh(around, one),
        requested_by=one.requested_by,
        approvals=(*given, own) if own and not resuming else given,
        resumes=(*resumed, own) if own and resuming else resumed,
        own=own,
        resuming=resuming,
        embargo_over=around.day >= EMBARGO_ENDS[number],
        readable_before=one.before in READABLE,
        newer=around.newer,
    )


def fire(
    around: Around, number: int, one: Version, event: ReleaseEvent, actor: tuple[str, Role]
) -> Version | None:
    """Return the version after an event; None if it was refused."""
    decides = event in {ReleaseEvent.APPROVE, ReleaseEvent.RESUME}
    case = _case(around, number, one, actor if decides else None)
    try:
        target = _MACHINE.target(event, one.state, case, actor[1])
    except (RefusedByPolicyError, NotAllowedError):
        return None
    return _plain(_after(around, one, event, target, (*actor, around.day)))


def _after(
    around: Around,
    one: Version,
    event: ReleaseEvent,
    target: ReleaseState,
    vote: tuple[str, Role, int],
) -> Version:
    after = replace(one, state=target)
    if event is ReleaseEvent.BUILD:
        members = frozenset({0, 1}) - around.withdrawn
        return replace(after, members=members, files_are_whole=True, criteria=around.criteria)
    if event is ReleaseEvent.CHECK:
        after = replace(after, checked_on=around.day)
    if event is ReleaseEvent.PROPOSE:
        after = replace(after, requested_by=vote[0])
    if event is ReleaseEvent.APPROVE:
        after = replace(after, approved=(*one.approved, vote))
    if event is ReleaseEvent.RESUME:
        waiting = target is ReleaseState.SUSPENDED
        after = replace(after, resumed=(*one.resumed, vote) if waiting else ())
        after = after if waiting else replace(after, before=None)
    if event is ReleaseEvent.SUSPEND and one.state is not target:
        after = replace(after, before=one.state)
    if target is ReleaseState.DRAFT:
        after = replace(after, approved=(), checked_on=None)
    return after


@dataclass(frozen=True)
class Move:
    """An event that changed a version, and whether it gave it readers."""

    after: Version
    opened: bool
    event: ReleaseEvent


@cache
def moves(around: Around, number: int, one: Version) -> tuple[Move, ...]:
    """Return all events that change a version, with what must hold of each asserted.

    What is asserted depends on the version and what it sees only, so it is asked once for each
    such pair, however many sequences lead there.
    """
    found = []
    # What the table has no rule for is refused whoever asks, as test_release_machine shows.
    for event in (each for each in ReleaseEvent if _MACHINE.accepts(each, one.state)):
        for actor in ACTORS:
            after = fire(around, number, one, event, actor)
            if event is ReleaseEvent.SUSPEND and actor[0] != REQUESTER:
                assert after is not None
                assert after.state not in READABLE
            if event is ReleaseEvent.WITHDRAW and actor[0] == OFFICER:
                assert after is not None
                assert after.state is ReleaseState.WITHDRAWN
            if after is None or after == one:
                continue
            again = fire(around, number, after, event, actor)
            assert again in {None, after}, "a repeated event changed something"
            opened = after.state in READABLE and one.state not in READABLE
            if opened:
                assert complete_and_fresh(around, number, after), (around, one, event)
            if event is ReleaseEvent.APPLY and one.state is ReleaseState.APPROVED:
                assert all(around.day - on < 30 for _, _, on in one.approved)
            found.append(Move(after, opened, event))
    return tuple(found)


World = tuple[int, frozenset[int], int, Version, Version]
"""Day, who withdrew, criteria in force, the two versions."""

DAYS = (0, 8, 21, 60)
"""Days that make a difference: checks grow old, the embargo ends, approvals grow old."""


def _happenings(world: World) -> Iterator[World]:
    """Yield the worlds after something that nobody asked permission for."""
    day, withdrawn, criteria, *versions = world
    for person in {0, 1} - withdrawn:
        yield (day, withdrawn | {person}, criteria, versions[0], versions[1])
    if not criteria:
        yield (day, withdrawn, 1, versions[0], versions[1])
    if day != DAYS[-1]:
        yield (DAYS[DAYS.index(day) + 1], withdrawn, criteria, versions[0], versions[1])
    for number, one in enumerate(versions):
        if one.files_are_whole and one.state is not ReleaseState.WITHDRAWN:
            yield _with(world, number, replace(one, files_are_whole=False))


def _with(world: World, number: int, one: Version) -> World:
    day, withdrawn, criteria, first, second = world
    if number == 0:
        return (day, withdrawn, criteria, one, second)
    if one.state is ReleaseState.PUBLISHED and first.state is ReleaseState.PUBLISHED:
        first = replace(first, state=ReleaseState.SUPERSEDED)
    return (day, withdrawn, criteria, first, one)


def _explore(start: World, depth: int) -> dict[str, int]:
    """Explore every world within so many steps; return how many, and what happened there."""
    seen, edge = {start}, [start]
    counts = {"opened": 0, "reopened": 0}
    for _ in range(depth):
        found: set[World] = set()
        for world in edge:
            found.update(_happenings(world))
            day, withdrawn, criteria, *versions = world
            for number, one in enumerate(versions):
                newer = number == 0 and versions[1].state in READABLE
                around = Around(day, withdrawn, criteria, newer)
                for move in moves(around, number, one):
                    found.add(_with(world, number, move.after))
                    counts["opened"] += move.opened
                    counts["reopened"] += move.opened and move.event is ReleaseEvent.RESUME
        found -= seen
        seen |= found
        edge = list(found)
    return {**counts, "worlds": len(seen)}


def test_no_sequence_of_eight_events_opens_without_complete_fresh_guards() -> None:
    """From two drafts, within eight events, whatever opens is complete and fresh."""
    counts = _explore((0, frozenset(), 0, Version(), Version()), DEPTH)

    assert counts["opened"] > 100
    assert counts["worlds"] > 10_000


def test_no_sequence_reopens_what_was_suspended_without_complete_fresh_guards() -> None:
    """From one published version and one draft, within seven events, the same holds."""
    approved = ((LEAD, Role.LEAD, 0), (STEWARD, Role.STEWARD, 0))
    published = Version(state=ReleaseState.PUBLISHED, checked_on=0, approved=approved)

    counts = _explore((0, frozenset(), 0, published, Version()), DEPTH_AFTER)

    assert counts["reopened"] > 10
