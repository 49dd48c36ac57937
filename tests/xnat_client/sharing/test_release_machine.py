"""The table of releases: what it accepts, from whom, and where it leads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from xnat_client.errors import NotAllowedError
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.finding import Finding
from xnat_client.sharing.levels import SUSPENDERS
from xnat_client.sharing.machines.release_machine import (
    CLOSING_EVENTS,
    RULES,
    ReleaseEvent,
    machine,
)
from xnat_client.sharing.vocabulary import READABLE_STATES, Level, ReleaseState, Role


class MustNotBeAsked:
    """A case that fails the test when it is asked anything at all."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"closing asked for {name}")


class Perfect:
    """A case in which nothing stands in the way."""

    now = datetime(2026, 5, 4, tzinfo=UTC)
    level = Level.EXTERNAL
    checked_at = now

    def prerequisites(self) -> tuple[Finding, ...]:
        """Answer as the protocol asks."""
        return ()

    decision_objections = approval_findings = prerequisites

    def approvals_age(self) -> timedelta:
        """Answer as the protocol asks."""
        return timedelta(0)

    def resume_is_complete(self) -> bool:
        """Answer as the protocol asks."""
        return True

    embargo_is_over = was_readable = resume_is_complete

    def newer_is_published(self) -> bool:
        """Answer as the protocol asks."""
        return False


@pytest.mark.parametrize("state", list(ReleaseState))
@pytest.mark.parametrize("role", sorted(SUSPENDERS))
def test_suspending_is_accepted_in_every_state_and_asks_nothing(
    state: ReleaseState, role: Role
) -> None:
    """One person of any named role closes a release, whatever state it is in."""
    case: object = MustNotBeAsked()

    target = machine().target(ReleaseEvent.SUSPEND, state, case, role)  # type: ignore[arg-type]  # it must not be asked

    withdrawn = state is ReleaseState.WITHDRAWN
    assert target is (ReleaseState.WITHDRAWN if withdrawn else ReleaseState.SUSPENDED)


@pytest.mark.parametrize("state", list(ReleaseState))
@pytest.mark.parametrize("role", [Role.OFFICER, Role.SERVICE])
def test_withdrawing_is_accepted_in_every_state_and_asks_nothing(
    state: ReleaseState, role: Role
) -> None:
    """The officer alone ends a release, whatever state it is in."""
    case: object = MustNotBeAsked()

    target = machine().target(ReleaseEvent.WITHDRAW, state, case, role)  # type: ignore[arg-type]  # it must not be asked

    assert target is ReleaseState.WITHDRAWN


def test_rules_of_closing_events_have_neither_conditions_nor_guards() -> None:
    """The table itself holds no condition on closing."""
    closing = [rule for rule in RULES if rule.event in CLOSING_EVENTS]

    assert closing
    assert not any(rule.when or rule.guards for rule in closing)


def test_only_applying_and_resuming_lead_to_readers() -> None:
    """A state with readers is entered by these two events; superseding keeps the readers."""
    opening = {
        rule.event
        for rule in RULES
        if rule.target in READABLE_STATES and not rule.sources <= READABLE_STATES
    }

    assert opening == {ReleaseEvent.APPLY, ReleaseEvent.RESUME}


def test_each_rule_that_leads_to_readers_asks_prerequisites_approvals_and_embargo() -> None:
    """No line of the table that opens has fewer guards than these."""
    for rule in RULES:
        if rule.target in READABLE_STATES and not rule.sources <= READABLE_STATES:
            names = {guard.__name__ for guard in rule.guards}
            assert {"_prerequisites", "_approvals", "_embargo"} <= names


# Section 4.5 of the policy: state, event, where it leads when nothing stands in the way.
_S, _E = ReleaseState, ReleaseEvent
_POLICY = {
    (_S.DRAFT, _E.BUILD): _S.DRAFT,
    (_S.DRAFT, _E.CHECK): _S.CHECKED,
    (_S.DRAFT, _E.STALE): _S.DRAFT,
    (_S.CHECKED, _E.CHECK): _S.CHECKED,
    (_S.CHECKED, _E.STALE): _S.DRAFT,
    (_S.CHECKED, _E.PROPOSE): _S.PROPOSED,
    (_S.PROPOSED, _E.STALE): _S.DRAFT,
    (_S.PROPOSED, _E.APPROVE): _S.APPROVED,
    (_S.PROPOSED, _E.REJECT): _S.DRAFT,
    (_S.APPROVED, _E.STALE): _S.DRAFT,
    (_S.APPROVED, _E.REJECT): _S.DRAFT,
    (_S.APPROVED, _E.APPLY): _S.PUBLISHED,
    (_S.EMBARGOED, _E.STALE): _S.DRAFT,
    (_S.EMBARGOED, _E.REJECT): _S.DRAFT,
    (_S.EMBARGOED, _E.APPLY): _S.PUBLISHED,
    (_S.SUSPENDED, _E.RESUME): _S.PUBLISHED,
}
_ROLE = {
    _E.BUILD: Role.SERVICE,
    _E.CHECK: Role.SERVICE,
    _E.STALE: Role.SERVICE,
    _E.PROPOSE: Role.STUDY_TEAM,
    _E.APPROVE: Role.STEWARD,
    _E.REJECT: Role.LEAD,
    _E.APPLY: Role.SERVICE,
    _E.SUPERSEDE: Role.SERVICE,
    _E.RESUME: Role.STEWARD,
}


@pytest.mark.parametrize("state", list(ReleaseState))
@pytest.mark.parametrize("event", sorted(set(ReleaseEvent) - CLOSING_EVENTS))
def test_every_cell_of_states_by_events_is_as_the_policy_says(
    state: ReleaseState, event: ReleaseEvent
) -> None:
    """An event leads where the policy says, and is refused in every other state."""
    expected = _POLICY.get((state, event))

    if expected is None:
        with pytest.raises(RefusedByPolicyError):
            machine().target(event, state, Perfect(), _ROLE[event])
    else:
        assert machine().target(event, state, Perfect(), _ROLE[event]) is expected


@pytest.mark.parametrize(
    ("event", "role"),
    [
        (ReleaseEvent.APPROVE, Role.ADMINISTRATOR),
        (ReleaseEvent.APPROVE, Role.STUDY_TEAM),
        (ReleaseEvent.APPROVE, Role.SERVICE),
        (ReleaseEvent.APPLY, Role.LEAD),
        (ReleaseEvent.APPLY, Role.STEWARD),
        (ReleaseEvent.RESUME, Role.LEAD),
        (ReleaseEvent.RESUME, Role.ADMINISTRATOR),
        (ReleaseEvent.PROPOSE, Role.STEWARD),
        (ReleaseEvent.WITHDRAW, Role.LEAD),
        (ReleaseEvent.SUSPEND, Role.EXTERNAL),
        (ReleaseEvent.SUSPEND, Role.MEMBER),
    ],
)
def test_roles_that_an_event_is_not_for_are_refused(event: ReleaseEvent, role: Role) -> None:
    """Who applies does not approve, who approves does not apply, outsiders do nothing."""
    for state in ReleaseState:
        with pytest.raises(NotAllowedError):
            machine().target(event, state, Perfect(), role)


def test_private_release_is_never_checked_for_publication() -> None:
    """Level private has no readers, so nothing leads there."""

    class Private(Perfect):
        level = Level.PRIVATE

    with pytest.raises(RefusedByPolicyError, match="no readers"):
        machine().target(ReleaseEvent.CHECK, ReleaseState.DRAFT, Private(), Role.SERVICE)


def test_embargo_ahead_leads_to_embargoed_and_no_further() -> None:
    """An approved release under embargo waits; applying it again before the day is refused."""

    class Early(Perfect):
        def embargo_is_over(self) -> bool:
            """Answer as the protocol asks."""
            return False

    waiting = machine().target(ReleaseEvent.APPLY, ReleaseState.APPROVED, Early(), Role.SERVICE)

    assert waiting is ReleaseState.EMBARGOED
    with pytest.raises(RefusedByPolicyError, match="embargo"):
        machine().target(ReleaseEvent.APPLY, ReleaseState.EMBARGOED, Early(), Role.SERVICE)


@pytest.mark.parametrize(("days", "is_refused"), [(6, False), (7, True), (8, True)])
def test_checks_older_than_seven_days_are_not_proposed(days: int, is_refused: bool) -> None:  # noqa: FBT001  # a table of cases
    """CHECKED to PROPOSED takes checks younger than seven days."""

    class Old(Perfect):
        checked_at = Perfect.now - timedelta(days=days)

    def propose() -> ReleaseState:
        return machine().target(ReleaseEvent.PROPOSE, ReleaseState.CHECKED, Old(), Role.STUDY_TEAM)

    if is_refused:
        with pytest.raises(RefusedByPolicyError, match="seven days"):
            propose()
    else:
        assert propose() is ReleaseState.PROPOSED


def test_resuming_what_was_never_published_leads_to_a_draft() -> None:
    """An approved release that was suspended starts again; its approvals are worth nothing."""

    class Never(Perfect):
        def was_readable(self) -> bool:
            """Answer as the protocol asks."""
            return False

    target = machine().target(ReleaseEvent.RESUME, ReleaseState.SUSPENDED, Never(), Role.OFFICER)

    assert target is ReleaseState.DRAFT
