"""What may happen to a release: its states, events, guards, and who may do what.

The two events that close (``SUSPEND``, ``WITHDRAW``) are accepted in every state, from one person,
and ask nothing. Everything that leads towards readers asks everything again. Not here: the records
(``decisions``), how a prerequisite is evaluated (``check``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from xnat_client.sharing.finding import Finding, procedure
from xnat_client.sharing.levels import SUSPENDERS
from xnat_client.sharing.machines.rules import SAME, Rule, RuleMachine
from xnat_client.sharing.vocabulary import Level, ReleaseState, Role


class ReleaseEvent(StrEnum):
    """What can happen to a release after it was created."""

    BUILD = "build"
    CHECK = "check"
    STALE = "stale"
    PROPOSE = "propose"
    APPROVE = "approve"
    REJECT = "reject"
    APPLY = "apply"
    SUPERSEDE = "supersede"
    SUSPEND = "suspend"
    RESUME = "resume"
    WITHDRAW = "withdraw"


CLOSING_EVENTS = frozenset({ReleaseEvent.SUSPEND, ReleaseEvent.WITHDRAW})
"""Accepted in every state, from one person, without conditions."""

CHECKS_LAST = timedelta(days=7)
"""A release is proposed within this time after its checks."""

APPROVALS_LAST = timedelta(days=30)
"""A decision counts this long until it is acted on."""


class ReleaseCase(Protocol):
    """What the rules ask about one release; each answer is made when it is asked for."""

    now: datetime
    level: Level
    checked_at: datetime | None

    def prerequisites(self) -> tuple[Finding, ...]:
        """Return the findings on all prerequisites of the level but the approvals."""

    def decision_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against counting the acting person's own decision."""

    def approval_findings(self) -> tuple[Finding, ...]:
        """Return what the approvals lack, the acting person's own among them."""

    def approvals_age(self) -> timedelta:
        """Return the age of the oldest approval that counts."""

    def resume_is_complete(self) -> bool:
        """Tell whether all who must agree to open it again have, the acting person included."""

    def embargo_is_over(self) -> bool:
        """Tell whether the embargo has passed or was waived."""

    def was_readable(self) -> bool:
        """Tell whether it was readable before it was suspended."""

    def newer_is_published(self) -> bool:
        """Tell whether a newer version of the family is published at this level."""


def _beyond_the_team(case: ReleaseCase) -> tuple[Finding, ...]:
    if case.level > Level.PRIVATE:
        return ()
    return (procedure("level", "A private release has no readers beyond the study's team.",
                      "requester", "Build it for another level."),)  # fmt: skip


def _prerequisites(case: ReleaseCase) -> tuple[Finding, ...]:
    return case.prerequisites()


def _checked_lately(case: ReleaseCase) -> tuple[Finding, ...]:
    if case.checked_at is not None and case.now - case.checked_at < CHECKS_LAST:
        return ()
    return (procedure("checks-age", "The checks are older than seven days, or were never done.",
                      "requester", "Check it again."),)  # fmt: skip


def _own_decision(case: ReleaseCase) -> tuple[Finding, ...]:
    return case.decision_objections()


def _approvals(case: ReleaseCase) -> tuple[Finding, ...]:
    return case.approval_findings()


def _approvals_young(case: ReleaseCase) -> tuple[Finding, ...]:
    if case.approvals_age() < APPROVALS_LAST:
        return ()
    return (procedure("approvals-age", "An approval is older than 30 days.", "approvers",
                      "Have it rejected and proposed again."),)  # fmt: skip


def _embargo(case: ReleaseCase) -> tuple[Finding, ...]:
    if case.embargo_is_over():
        return ()
    return (procedure("embargo", "The embargo has not passed.", "requester",
                      "Wait, or ask an approver for a dated waiver."),)  # fmt: skip


def _newest(case: ReleaseCase) -> tuple[Finding, ...]:
    if not case.newer_is_published():
        return ()
    return (procedure("version", "A newer version of it is published already.", "requester",
                      "Build the next version instead."),)  # fmt: skip


def _supersedable(case: ReleaseCase) -> tuple[Finding, ...]:
    if case.newer_is_published():
        return ()
    return (procedure("version", "No newer version of it is published.", "service", ""),)


def _approvals_complete(case: ReleaseCase) -> bool:
    return not any(one.blocks for one in case.approval_findings())


def _approvals_incomplete(case: ReleaseCase) -> bool:
    return not _approvals_complete(case)


def _embargo_over(case: ReleaseCase) -> bool:
    return case.embargo_is_over()


def _embargo_ahead(case: ReleaseCase) -> bool:
    return not case.embargo_is_over()


def _resume_complete(case: ReleaseCase) -> bool:
    return case.resume_is_complete()


def _resume_incomplete(case: ReleaseCase) -> bool:
    return not case.resume_is_complete()


def _was_readable(case: ReleaseCase) -> bool:
    return case.was_readable()


def _never_readable(case: ReleaseCase) -> bool:
    return not case.was_readable()


def _is_newest(case: ReleaseCase) -> bool:
    return not case.newer_is_published()


def _is_older(case: ReleaseCase) -> bool:
    return case.newer_is_published()


_S, _E, _R = ReleaseState, ReleaseEvent, Role
_ALL = frozenset(ReleaseState)
_UNPUBLISHED = frozenset({_S.DRAFT, _S.CHECKED, _S.PROPOSED, _S.APPROVED, _S.EMBARGOED})
_REQUESTERS = frozenset({_R.STUDY_TEAM, _R.LEAD})
_CHECKERS = _REQUESTERS | {_R.SERVICE, _R.STEWARD}
_APPROVERS = frozenset({_R.LEAD, _R.STEWARD, _R.OFFICER})
_APPLIERS = frozenset({_R.SERVICE, _R.ADMINISTRATOR})
_RESUMERS = frozenset({_R.STEWARD, _R.OFFICER})
_SERVICE = frozenset({_R.SERVICE})
_OPENING = (_beyond_the_team, _prerequisites, _approvals)

_Rule = Rule[ReleaseState, ReleaseCase]

RULES: tuple[_Rule, ...] = (
    _Rule(_E.BUILD, frozenset({_S.DRAFT}), SAME, _CHECKERS),
    _Rule(_E.CHECK, frozenset({_S.DRAFT, _S.CHECKED}), _S.CHECKED, _CHECKERS,
          guards=(_beyond_the_team, _prerequisites)),
    _Rule(_E.STALE, _UNPUBLISHED, _S.DRAFT, _CHECKERS | {_R.OFFICER}),
    _Rule(_E.PROPOSE, frozenset({_S.CHECKED}), _S.PROPOSED, _REQUESTERS,
          guards=(_beyond_the_team, _checked_lately, _prerequisites)),
    _Rule(_E.APPROVE, frozenset({_S.PROPOSED}), _S.APPROVED, _APPROVERS,
          when=(_approvals_complete,), guards=(_own_decision, _prerequisites)),
    _Rule(_E.APPROVE, frozenset({_S.PROPOSED}), SAME, _APPROVERS,
          when=(_approvals_incomplete,), guards=(_own_decision, _prerequisites)),
    _Rule(_E.REJECT, frozenset({_S.PROPOSED, _S.APPROVED, _S.EMBARGOED}), _S.DRAFT, _APPROVERS),
    _Rule(_E.APPLY, frozenset({_S.APPROVED}), _S.EMBARGOED, _APPLIERS,
          when=(_embargo_ahead,), guards=(*_OPENING, _approvals_young, _newest)),
    _Rule(_E.APPLY, frozenset({_S.APPROVED}), _S.PUBLISHED, _APPLIERS,
          when=(_embargo_over,), guards=(*_OPENING, _approvals_young, _embargo, _newest)),
    # Approvals wait for the embargo's end with the release; everything else is asked again.
    _Rule(_E.APPLY, frozenset({_S.EMBARGOED}), _S.PUBLISHED, _APPLIERS,
          guards=(*_OPENING, _embargo, _newest)),
    _Rule(_E.SUPERSEDE, frozenset({_S.PUBLISHED}), _S.SUPERSEDED, _SERVICE,
          guards=(_supersedable,)),
    _Rule(_E.RESUME, frozenset({_S.SUSPENDED}), SAME, _RESUMERS,
          when=(_resume_incomplete,), guards=(_own_decision,)),
    _Rule(_E.RESUME, frozenset({_S.SUSPENDED}), _S.PUBLISHED, _RESUMERS,
          when=(_resume_complete, _was_readable, _is_newest),
          guards=(_own_decision, *_OPENING, _embargo)),
    _Rule(_E.RESUME, frozenset({_S.SUSPENDED}), _S.SUPERSEDED, _RESUMERS,
          when=(_resume_complete, _was_readable, _is_older),
          guards=(_own_decision, *_OPENING, _embargo)),
    # What was never published starts again; what was approved then is not approved now.
    _Rule(_E.RESUME, frozenset({_S.SUSPENDED}), _S.DRAFT, _RESUMERS,
          when=(_resume_complete, _never_readable), guards=(_own_decision,)),
    _Rule(_E.SUSPEND, _ALL - {_S.WITHDRAWN}, _S.SUSPENDED, SUSPENDERS),
    _Rule(_E.SUSPEND, frozenset({_S.WITHDRAWN}), SAME, SUSPENDERS),
    _Rule(_E.WITHDRAW, _ALL, _S.WITHDRAWN, frozenset({_R.OFFICER, _R.SERVICE})),
)  # fmt: skip
"""The table of releases, line by line."""


def machine() -> RuleMachine[ReleaseState, ReleaseCase]:
    """Return the machine of releases."""
    return RuleMachine(ReleaseState, RULES, "release")
