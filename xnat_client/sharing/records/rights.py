"""The three questions on the rights in data, answered one by one.

Not here: recording the statement that holds the answers (``statements``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

_SHORTEST = 10
"""Characters; an answer is a sentence, not a tick."""


@dataclass(frozen=True)
class Rights:
    """What the lead answers.

    Attributes
    ----------
    intellectual_property : str
        Who owns the data and everything in them, and that they may be shared.
    third_party_data : str
        Which data, stimuli or software of others are in them, and under which terms; or none.
    export_control : str
        Whether export control or sanctions touch them, and how; or why not.
    """

    intellectual_property: str
    third_party_data: str
    export_control: str

    @property
    def text(self) -> str:
        """The answers as a statement keeps them: one line for each question."""
        lines = []
        for one in fields(self):
            answer = " ".join(str(getattr(self, one.name)).split())
            lines.append(f"{_question(one.name)}: {answer}")
        return "\n".join(lines)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the answers of a statement; None unless each question has one."""
        lines = text.splitlines()
        names = [one.name for one in fields(cls)]
        if len(lines) != len(names):
            return None
        answers = {}
        for name, line in zip(names, lines, strict=True):
            question, _, answer = line.partition(":")
            if question != _question(name) or len(answer.strip()) < _SHORTEST:
                return None
            answers[name] = answer.strip()
        return cls(**answers)


def _question(name: str) -> str:
    return name.replace("_", " ").capitalize()
