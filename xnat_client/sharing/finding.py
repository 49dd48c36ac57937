"""The answer to one prerequisite: what was found, who must act, what to do.

Not here: the prerequisites (``levels``), their evaluation (``check``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from xnat_client.sharing.levels import PREREQUISITES, Prerequisite
from xnat_client.sharing.vocabulary import Level, Need, Outcome

_BY_KEY = {prerequisite.key: prerequisite for prerequisite in PREREQUISITES}

CLOSED = Need.CHECKED
"""The need of a finding that no prerequisite asks for but that keeps a release closed."""


@dataclass(frozen=True)
class Finding:
    """The answer to one prerequisite at one level.

    Attributes
    ----------
    number, key : int, str
        Of the prerequisite (``levels.PREREQUISITES``); 0 for rules of the procedure itself, like
        who may approve.
    need : Need
        What the level asks of it.
    outcome : Outcome
        Met, not met, unknown, or not needed.
    what : str
        What was found. Participants are named by number, never by label.
    who : str
        The role that must act; empty where nobody must.
    todo : str
        What to do; empty where nothing must be done.
    """

    number: int
    key: str
    need: Need
    outcome: Outcome
    what: str
    who: str = ""
    todo: str = ""

    @property
    def blocks(self) -> bool:
        """Whether it keeps a release closed: required, and neither met nor without object."""
        required = self.need in {Need.CHECKED, Need.STATED}
        return required and self.outcome not in {Outcome.MET, Outcome.NOT_NEEDED}

    @property
    def sentence(self) -> str:
        """One line for people: what is the matter, and what to do about it."""
        return " ".join(part for part in (self.what, self.todo) if part)


@dataclass(frozen=True)
class Answer:
    """What an evaluation of one prerequisite says, before the level is asked what it needs."""

    outcome: Outcome
    what: str
    who: str = ""
    todo: str = ""


def met(what: str) -> Answer:
    """Return the answer ``met``."""
    return Answer(Outcome.MET, what)


def not_met(what: str, who: str, todo: str) -> Answer:
    """Return the answer ``not met``: who must do what."""
    return Answer(Outcome.NOT_MET, what, who, todo)


def unknown(what: str, who: str, todo: str) -> Answer:
    """Return the answer ``unknown``, which keeps a release as closed as ``not met``."""
    return Answer(Outcome.UNKNOWN, what, who, todo)


def not_needed(what: str) -> Answer:
    """Return the answer for a prerequisite without an object, like faces without images."""
    return Answer(Outcome.NOT_NEEDED, what)


def prerequisite(key: str) -> Prerequisite:
    """Return a prerequisite by its key."""
    return _BY_KEY[key]


def finding(key: str, level: Level, answer: Answer) -> Finding:
    """Return the finding on a prerequisite at a level."""
    asked = _BY_KEY[key]
    need = asked.need(level)
    result = Finding(asked.number, key, need, answer.outcome, answer.what, answer.who, answer.todo)
    if need is Need.NONE:
        return replace(result, outcome=Outcome.NOT_NEEDED, who="", todo="")
    return result


def procedure(key: str, what: str, who: str = "", todo: str = "") -> Finding:
    """Return a finding that keeps a release closed by a rule of the procedure itself."""
    return Finding(0, key, CLOSED, Outcome.NOT_MET, what, who, todo)


def blocking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return those findings that keep a release closed."""
    return tuple(one for one in findings if one.blocks)
