"""A state machine as a table of rules, run by the ``transitions`` library.

A rule says: this event, in one of these states, by somebody in one of these roles, if all these
conditions choose it, leads there - unless a guard objects. Conditions choose between rules of one
event (is the set of approvals complete?); guards object and say why. Rules without guards are
those that close: they never ask anything. Not here: any rule, any record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from transitions import EventData, Machine, MachineError

from xnat_client.errors import NotAllowedError
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.finding import Finding
from xnat_client.sharing.vocabulary import Role

StateT = TypeVar("StateT", bound=StrEnum)
CaseT = TypeVar("CaseT")

SAME = None
"""Target of a rule that leaves the state as it is."""


@dataclass(frozen=True)
class Rule(Generic[StateT, CaseT]):
    """One line of a machine's table.

    Attributes
    ----------
    event : StrEnum
        What happens.
    sources : frozenset
        The states in which it may happen.
    target : state or None
        Where it leads; None leaves the state as it is.
    roles : frozenset of Role
        Who may do it; the caller has checked that the person has the role.
    when : tuple of callable
        All must be true for this rule to be the one; else the next rule of the event is tried.
    guards : tuple of callable
        Each returns findings; one that blocks refuses the event.
    """

    event: StrEnum
    sources: frozenset[StateT]
    target: StateT | None
    roles: frozenset[Role]
    when: tuple[Callable[[CaseT], bool], ...] = ()
    guards: tuple[Callable[[CaseT], Iterable[Finding]], ...] = ()


@dataclass
class _Model(Generic[StateT, CaseT]):
    """What the library moves from state to state."""

    state: StateT
    case: CaseT
    role: Role
    rule: Rule[StateT, CaseT] | None = None


class RuleMachine(Generic[StateT, CaseT]):
    """A table of rules that can be asked where an event leads.

    Parameters
    ----------
    states : type of StrEnum
        All states.
    rules : tuple of Rule
        The table; of rules with the same event and state the first whose conditions hold counts.
    noun : str
        What the machine is about, for messages.
    """

    def __init__(
        self, states: type[StateT], rules: tuple[Rule[StateT, CaseT], ...], noun: str
    ) -> None:
        self.rules = rules
        self._states = states
        self._noun = noun
        first = next(iter(states))
        self._machine = Machine(
            model=None,
            states=states,
            initial=first,
            auto_transitions=False,
            send_event=True,
        )
        for rule in rules:
            for source in sorted(rule.sources):
                self._machine.add_transition(
                    trigger=rule.event.value,
                    source=source,
                    dest=source if rule.target is None else rule.target,
                    conditions=[_chosen(rule)],
                    before=[_guarded(rule)],
                )

    def target(self, event: StrEnum, state: StateT, case: CaseT, role: Role) -> StateT:
        """Return where an event leads; nothing is changed.

        Raises
        ------
        NotAllowedError
            The event is not for this role.
        RefusedByPolicyError
            The event cannot happen in this state, or a guard objects; the findings say why.
        """
        if not any(role in rule.roles for rule in self.rules if rule.event is event):
            raise NotAllowedError(
                f"The role {role.value} may not {event.value} a {self._noun}; "
                f"it takes one of: {', '.join(sorted(self._roles(event)))}."
            )
        model = _Model(state, case, role)
        known: Mapping[str, Any] = self._machine.events
        try:
            done = bool(known[event.value].trigger(model))
        except MachineError:
            done = False
        if not done:
            raise RefusedByPolicyError(
                f"A {self._noun} that is {state.value} cannot {_passive(event)} by the role "
                f"{role.value}. Nothing was changed."
            )
        return model.state

    def accepts(self, event: StrEnum, state: StateT) -> bool:
        """Tell whether the table has a rule for an event in a state."""
        return any(rule.event is event and state in rule.sources for rule in self.rules)

    def _roles(self, event: StrEnum) -> set[str]:
        return {role.value for rule in self.rules if rule.event is event for role in rule.roles}


def _passive(event: StrEnum) -> str:
    return f"have the event '{event.value}'"


def _chosen(rule: Rule[StateT, CaseT]) -> Callable[[EventData], bool]:
    def holds(data: EventData) -> bool:
        model: Any = data.model
        return model.role in rule.roles and all(ask(model.case) for ask in rule.when)

    return holds


def _guarded(rule: Rule[StateT, CaseT]) -> Callable[[EventData], None]:
    def object_if_needed(data: EventData) -> None:
        model: Any = data.model
        findings = tuple(one for guard in rule.guards for one in guard(model.case))
        objections = tuple(one for one in findings if one.blocks)
        if objections:
            first = objections[0]
            more = f" (and {len(objections) - 1} more)" if len(objections) > 1 else ""
            raise RefusedByPolicyError(
                f"Refused to {rule.event.value}: {first.sentence}{more}", findings=objections
            )

    return object_if_needed
