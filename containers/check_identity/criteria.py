"""The list of criteria as data (``data/criteria.json``).

Not here: the page of it (``criteria_page``), and how a criterion is checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any


class Severity(StrEnum):
    """What a criterion that is not met means for a release."""

    BLOCK = "block"
    REVIEW = "review"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One rule. ``needs`` says what a check of it takes that this program has not; else empty."""

    id: int
    rule: str
    severity: Severity
    source: str
    applies_to: str
    how: str
    needs: str

    @property
    def is_checked_here(self) -> bool:
        """Return whether files alone can show it."""
        return not self.needs


@cache
def _document() -> Any:
    path = resources.files("containers.check_identity") / "data" / "criteria.json"
    return json.loads(path.read_text(encoding="utf-8"))


def criteria_version() -> str:
    """Return the version of the list."""
    return str(_document()["version"])


@cache
def all_criteria() -> tuple[Criterion, ...]:
    """Return the list, by number."""
    return tuple(
        Criterion(**{**row, "severity": Severity(row["severity"])})
        for row in _document()["criteria"]
    )
