"""Conditions as people write them, ``date>=2026-01-01``, and whether values fulfil them.

Not here: which columns there are (``search``, ``jobs.selection``).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from xnat_client.errors import UsageError

SIGNS = "= != ~ !~ < <= > >="

_CONDITION = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9_]*(?:\.[^\s=!~<>]+)?)\s*(!=|!~|<=|>=|=|~|<|>)\s*(.*?)\s*\Z", re.DOTALL
)
_LONGEST_PATTERN = 500
_ORDER: dict[str, Callable[[float | str, float | str], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition such as ``date >= 2026-01-01``.

    ``=`` and ``!=`` compare without regard to case; ``~`` and ``!~`` look for a regular expression
    anywhere in the value; the others order numbers by size, and texts and dates (2026-01-31) as
    texts. An empty value is equal to an empty one and comes neither before nor after any other.
    """

    column: str
    sign: str
    value: str

    @property
    def is_negative(self) -> bool:
        """Return whether it holds where something is *not* so."""
        return self.sign.startswith("!")

    def holds(self, cells: Iterable[str]) -> bool:
        """Return whether the condition holds for any of the values; a negative one for all."""
        found = [cell.casefold() for cell in cells]
        wanted = self.value.casefold()
        if self.sign in _ORDER:
            return any(cell and _ORDER[self.sign](*_alike(cell, wanted)) for cell in found)
        if self.sign.endswith("~"):
            fits = any(re.search(self.value, cell, re.IGNORECASE) for cell in found)
        else:
            fits = wanted in found
        return fits != self.is_negative


def _alike(cell: str, wanted: str) -> tuple[float | str, float | str]:
    """Return both as numbers if both are; else as texts, a longer cell cut to compare days."""
    try:
        return float(cell), float(wanted)
    except ValueError:
        # A time stamp (2026-01-31 10:20:30.4) on the day itself is not after that day.
        return cell[: len(wanted)] if _is_day(wanted) else cell, wanted


def _is_day(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


def split_condition(text: str) -> Condition | None:
    """Read a condition; None if it is not of the form COLUMN SIGN VALUE.

    Raises
    ------
    UsageError
        What should be a regular expression is none.
    """
    found = _CONDITION.match(text)
    if found is None:
        return None
    condition = Condition(found[1], found[2], found[3])
    if condition.sign.endswith("~"):
        if len(condition.value) > _LONGEST_PATTERN:
            raise UsageError(
                f"The regular expression of the condition on {condition.column} is longer than "
                f"{_LONGEST_PATTERN} characters."
            )
        try:
            re.compile(condition.value)
        except re.error as error:
            raise UsageError(
                f"The condition on {condition.column} has no regular expression after its sign "
                f"({error.msg} at character {(error.pos or 0) + 1})."
            ) from error
    return condition
