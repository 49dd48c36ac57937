"""What may happen to one person's permission to read one family of releases.

Ending it is accepted in every state, from one person, without conditions. Time is no event here:
whoever asks for readers compares the dates, so a grant ends on its day even if nobody marks it.
Not here: the records (``grants``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from xnat_client.sharing.finding import Finding, procedure
from xnat_client.sharing.machines.rules import SAME, Rule, RuleMachine
from xnat_client.sharing.vocabulary import GrantState, Role


class GrantEvent(StrEnum):
    """What can happen to a grant after it was requested."""

    ACCEPT = "accept"
    ENDORSE = "endorse"
    APPROVE = "approve"
    REFUSE = "refuse"
    WARN = "warn"
    EXPIRE = "expire"
    SUSPEND = "suspend"
    RENEW = "renew"
    REVOKE = "revoke"
    END = "end"


CLOSING_GRANT_EVENTS = frozenset({GrantEvent.REVOKE, GrantEvent.SUSPEND, GrantEvent.END})
"""Accepted in every state, from one person, without conditions."""


class GrantCase(Protocol):
    """What the rules ask about one grant."""

    def agreement_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against the acceptance that the grant rests on."""

    def person_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against the person."""

    def endorser_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against who agrees to the purpose."""

    def approver_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against who acts."""

    def release_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against granting at this level of this family."""

    def is_automatic(self) -> bool:
        """Tell whether accepting the agreement is enough."""

    def needs_agreement(self) -> bool:
        """Tell whether the release names an agreement."""

    def is_endorsed(self) -> bool:
        """Tell whether the lead agreed to the purpose, or need not."""

    def ends_soon(self) -> bool:
        """Tell whether the end date is near."""

    def is_past(self) -> bool:
        """Tell whether the end date has passed."""

    def is_suspended_by_time(self) -> bool:
        """Tell whether no person suspended it, only a newer agreement did."""

    def is_dated(self) -> bool:
        """Tell whether the approval brings an end date that lies ahead, within a year."""


def _agreement(case: GrantCase) -> tuple[Finding, ...]:
    return case.agreement_objections()


def _person(case: GrantCase) -> tuple[Finding, ...]:
    return case.person_objections()


def _approver(case: GrantCase) -> tuple[Finding, ...]:
    return case.approver_objections()


def _endorser(case: GrantCase) -> tuple[Finding, ...]:
    return case.endorser_objections()


def _release(case: GrantCase) -> tuple[Finding, ...]:
    return case.release_objections()


def _endorsed(case: GrantCase) -> tuple[Finding, ...]:
    if case.is_endorsed():
        return ()
    return (procedure("purpose", "A consent form demands that the lead looks at the purpose.",
                      "lead", "Endorse it (winxnat share grant endorse) or refuse."),)  # fmt: skip


def _without_agreement(case: GrantCase) -> tuple[Finding, ...]:
    if not case.needs_agreement():
        return ()
    return (procedure("agreement", "The agreement is not accepted yet.", "recipient",
                      "Accept it first."),)  # fmt: skip


def _dated(case: GrantCase) -> tuple[Finding, ...]:
    if case.is_dated():
        return ()
    return (procedure("end", "A grant ends after today and within a year.", "steward",
                      "Give such an end date."),)  # fmt: skip


def _by_time(case: GrantCase) -> tuple[Finding, ...]:
    if case.is_suspended_by_time():
        return ()
    return (procedure("suspension", "A person suspended it, not a newer agreement.", "steward",
                      "Have the steward, or at level named the lead, renew it."),)  # fmt: skip


def _near(case: GrantCase) -> tuple[Finding, ...]:
    if case.ends_soon():
        return ()
    return (procedure("end", "The grant does not end within 30 days.", "service", ""),)


def _past(case: GrantCase) -> tuple[Finding, ...]:
    if case.is_past():
        return ()
    return (procedure("end", "The grant has not ended yet.", "service", ""),)


def _automatic(case: GrantCase) -> bool:
    return case.is_automatic()


_S, _E, _R = GrantState, GrantEvent, Role
_RUNNING = frozenset({_S.ACTIVE, _S.EXPIRING})
_CLOSED = frozenset({_S.EXPIRED, _S.REVOKED, _S.REFUSED, _S.ENDED})
_OPEN = frozenset(GrantState) - _CLOSED
_RECIPIENT = frozenset({_R.EXTERNAL, _R.MEMBER, _R.STUDY_TEAM, _R.STEWARD, _R.SERVICE})
_APPROVERS = frozenset({_R.STEWARD, _R.LEAD})
_CLOSERS = frozenset(
    {
        _R.LEAD, _R.STEWARD, _R.OFFICER, _R.ADMINISTRATOR, _R.SERVICE, _R.EXTERNAL, _R.MEMBER,
        _R.STUDY_TEAM,
    }
)  # fmt: skip
_SERVICE = frozenset({_R.SERVICE})
_GRANTING = (_person, _release, _endorsed, _approver, _dated)

_Rule = Rule[GrantState, GrantCase]

RULES: tuple[_Rule, ...] = (
    _Rule(_E.ACCEPT, frozenset({_S.REQUESTED}), _S.ACTIVE, _RECIPIENT, when=(_automatic,),
          guards=(_agreement, _person, _release, _endorsed, _dated)),
    _Rule(_E.ACCEPT, frozenset({_S.REQUESTED}), _S.ACCEPTED, _RECIPIENT,
          guards=(_agreement, _person)),
    _Rule(_E.ENDORSE, frozenset({_S.REQUESTED, _S.ACCEPTED}), SAME, frozenset({_R.LEAD}),
          guards=(_endorser,)),
    _Rule(_E.APPROVE, frozenset({_S.ACCEPTED}), _S.ACTIVE, _APPROVERS,
          guards=(_agreement, *_GRANTING)),
    _Rule(_E.APPROVE, frozenset({_S.REQUESTED}), _S.ACTIVE, _APPROVERS,
          guards=(_without_agreement, *_GRANTING)),
    _Rule(_E.REFUSE, frozenset({_S.REQUESTED, _S.ACCEPTED}), _S.REFUSED,
          _APPROVERS | {_R.OFFICER}),
    _Rule(_E.WARN, frozenset({_S.ACTIVE}), _S.EXPIRING, _SERVICE, guards=(_near,)),
    _Rule(_E.EXPIRE, _RUNNING | {_S.SUSPENDED}, _S.EXPIRED, _SERVICE, guards=(_past,)),
    # After a major change of the agreement, accepting the new one opens again what ran before.
    _Rule(_E.RENEW, frozenset({_S.SUSPENDED}), _S.ACTIVE, _RECIPIENT - _APPROVERS,
          guards=(_agreement, _person, _release, _endorsed, _dated, _by_time)),
    _Rule(_E.RENEW, frozenset({_S.SUSPENDED}), _S.ACTIVE, _APPROVERS,
          guards=(_agreement, *_GRANTING)),
    _Rule(_E.SUSPEND, _RUNNING | {_S.SUSPENDED}, _S.SUSPENDED, _CLOSERS),
    _Rule(_E.SUSPEND, frozenset(GrantState) - _RUNNING - {_S.SUSPENDED}, SAME, _CLOSERS),
    _Rule(_E.REVOKE, _OPEN, _S.REVOKED, _CLOSERS),
    _Rule(_E.REVOKE, _CLOSED, SAME, _CLOSERS),
    _Rule(_E.END, _OPEN, _S.ENDED, _SERVICE | {_R.OFFICER}),
    _Rule(_E.END, _CLOSED, SAME, _SERVICE | {_R.OFFICER}),
)  # fmt: skip
"""The table of grants, line by line."""


def machine() -> RuleMachine[GrantState, GrantCase]:
    """Return the machine of grants."""
    return RuleMachine(GrantState, RULES, "grant")
