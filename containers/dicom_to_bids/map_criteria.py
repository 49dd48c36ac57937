"""Conditions of a rule on the facts of a series: equality, ranges, parts and patterns.

Not here: reading them from a file (``map_check``), and what a rule answers (``project_map``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from containers.contract import BadInputError

MAX_SECONDS = 1.0
"""For one expression on one text; an honest one takes microseconds."""
MAX_TEXT = 1000
"""Characters of a header text that an expression looks at; DICOM allows 64 (PS3.5, LO)."""
_RELATIVE_TOLERANCE = 1e-4
"""Converters and headers round numbers differently in the fifth digit."""

_REFERENCE = re.compile(r"\\(?:([0-9]+)|g<(\w+)>)")


class Expression:
    """A regular expression of Python's, with a limit of time for each look.

    Raises
    ------
    ValueError
        The text is no regular expression; the message says why.
    """

    def __init__(self, code: str) -> None:
        try:
            self._pattern = regex.compile(code)
        except (regex.error, RecursionError, OverflowError, MemoryError) as error:
            raise ValueError(str(error) or "too large") from error

    def reason_against(self, template: str) -> str | None:
        """Return why a template cannot be filled from the expression; None if it can."""
        groups = {str(number) for number in range(self._pattern.groups + 1)}
        groups |= set(self._pattern.groupindex)
        for number, name in _REFERENCE.findall(template):
            if (number or name) not in groups:
                return f"the pattern has no group {number or name}"
        try:
            regex.sub("", _REFERENCE.sub("", template), "x")
        except regex.error as error:
            return str(error)
        return None

    def search(self, text: str, where: str) -> regex.Match[str] | None:
        """Look for the expression anywhere in a text.

        Parameters
        ----------
        where : str
            The rule, for the message.

        Raises
        ------
        BadInputError
            It takes longer than ``MAX_SECONDS``.
        """
        try:
            return self._pattern.search(text[:MAX_TEXT], timeout=MAX_SECONDS)
        except (TimeoutError, MemoryError, RecursionError) as error:
            raise BadInputError(
                f"The pattern of {where} of the map takes more than {MAX_SECONDS:g} s, or too "
                "much memory, on one text; write it without repetitions inside repetitions."
            ) from error


@dataclass(frozen=True, slots=True)
class Criterion:
    """Everything that one fact must fulfil."""

    fact: str
    condition: Mapping[str, Any]
    expression: Expression | None = None

    def holds(self, facts: Mapping[str, object], where: str) -> bool:
        """Tell whether the facts fulfil it; an absent fact fulfils only ``present: false``."""
        value = facts.get(self.fact)
        is_present = value is not None and value != ""
        if not is_present:
            return dict(self.condition) == {"present": False}
        return all(self._part_holds(key, wanted, value, where) for key, wanted in self._parts())

    def _parts(self) -> Sequence[tuple[str, Any]]:
        return list(self.condition.items())

    def _part_holds(self, key: str, wanted: Any, value: Any, where: str) -> bool:
        if key == "equals":
            return is_equal(wanted, value)
        if key == "one_of":
            return any(is_equal(each, value) for each in wanted)
        if key in {"contains", "lacks"}:
            words = value if isinstance(value, list | tuple) else [value]
            found = {str(word).strip().casefold() for word in words}
            asked = {word.strip().casefold() for word in wanted}
            return asked <= found if key == "contains" else not asked & found
        if key in {"min", "max"}:
            return _is_within(key, wanted, value)
        if key == "present":
            return bool(wanted)
        return self._matches(value, where)

    def _matches(self, value: Any, where: str) -> bool:
        if self.expression is None or isinstance(value, Mapping):
            return False
        words = value if isinstance(value, list | tuple) else [value]
        return self.expression.search("\\".join(map(str, words)), where) is not None


def _is_within(key: str, limit: float, value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    if math.isclose(value, limit, rel_tol=_RELATIVE_TOLERANCE):
        return True
    return bool(value > limit if key == "min" else value < limit)


def is_equal(wanted: Any, value: Any) -> bool:
    """Compare as people mean it: texts without regard to case, numbers to four digits."""
    if isinstance(wanted, list | tuple) and isinstance(value, list | tuple):
        pairs = zip(wanted, value, strict=False)
        return len(wanted) == len(value) and all(is_equal(*pair) for pair in pairs)
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    if isinstance(wanted, int | float) and isinstance(value, int | float):
        return math.isclose(wanted, value, rel_tol=_RELATIVE_TOLERANCE)
    if isinstance(wanted, str) and isinstance(value, str):
        return folded(wanted) == folded(value)
    return False


def folded(text: str) -> str:
    """Return a text as it is compared: lower case, as XNAT's own converter does it."""
    return text.strip().casefold()


def as_sidecar_text(text: str) -> str:
    """Return a text as dcm2niix writes it, with an underscore for what is no plain character."""
    return re.sub(r"[^a-z0-9.+-]+", "_", folded(text)).strip("_")
