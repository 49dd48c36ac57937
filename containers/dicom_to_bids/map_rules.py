"""Rules of a map: when each fits, and in which order they are asked.

Not here: reading them from a file (``map_check``), and what a map answers (``project_map``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from containers.dicom_to_bids.map_criteria import Criterion, Expression, as_sidecar_text, folded

SERIES = "SeriesDescription"

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Fit(Enum):
    """How well a rule fits a series."""

    NOT = 0
    AS_CONVERTED = 1
    """The series description is the rule's text after dcm2niix has replaced characters."""
    FULLY = 2


@dataclass(frozen=True, slots=True)
class AslContext:
    """The kinds of an ASL series' volumes: those at the beginning, then a part that repeats.

    ``repeat`` is empty where ``first`` lists all of them.
    """

    first: tuple[str, ...]
    repeat: tuple[str, ...] = ()

    def volumes(self, count: int) -> tuple[str, ...] | None:
        """Return the kind of each of ``count`` volumes; None if they do not come out even."""
        rest = count - len(self.first)
        if not self.repeat:
            return self.first if rest == 0 else None
        if rest <= 0 or rest % len(self.repeat):
            return None
        return self.first + self.repeat * (rest // len(self.repeat))


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of a map, checked.

    ``exact`` is a series description; ``expression`` is looked for in it; ``criteria`` must all
    hold. A rule has one of the three. ``reason`` leaves the series out.
    """

    number: int
    line: int
    exact: str | None = None
    is_xnat_field: bool = False
    expression: Expression | None = None
    criteria: tuple[Criterion, ...] = ()
    data_type: str | None = None
    suffix: str | None = None
    entities: Mapping[str, str | None] = field(default_factory=lambda: _NOTHING)
    sidecar: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    aslcontext: AslContext | None = None
    reason: str = ""
    run_digits: int = 1

    @property
    def where(self) -> str:
        """Return the words that name the rule to people."""
        return f"rule {self.number} (line {self.line})"

    def fit(self, facts: Mapping[str, object]) -> Fit:
        """Tell how well the rule fits the facts of an image."""
        text = facts.get(SERIES)
        series = text if isinstance(text, str) else ""
        if self.exact is not None:
            if folded(self.exact) == folded(series):
                return Fit.FULLY
            cleaned = as_sidecar_text(self.exact)
            is_alike = bool(cleaned) and cleaned == as_sidecar_text(series)
            return Fit.AS_CONVERTED if is_alike and " " not in series else Fit.NOT
        if self.expression is not None:
            return Fit.FULLY if self.expression.search(series, self.where) else Fit.NOT
        holds = all(criterion.holds(facts, self.where) for criterion in self.criteria)
        return Fit.FULLY if holds else Fit.NOT


def first_fitting(rules: Sequence[Rule], facts: Mapping[str, object]) -> Rule | None:
    """Return the first rule that fits.

    Of rules with a series description that stand together, one with exactly this text goes
    before one that fits only as dcm2niix writes it.
    """
    alike: Rule | None = None
    for rule in rules:
        if alike is not None and rule.exact is None:
            return alike
        fit = rule.fit(facts)
        if fit is Fit.FULLY:
            return rule
        if fit is Fit.AS_CONVERTED and alike is None:
            alike = rule
    return alike


def in_order(rules: Sequence[Rule], document: Any) -> tuple[Rule, ...]:
    """Return the rules in the order in which they are asked.

    In version 2 the order of the file. In XNAT's own format a series description goes before
    all patterns, the last of two equal ones counts, and ``xnat_field`` entries, if there are
    any, replace ``series_description`` ones.
    """
    if not is_xnat_format(document):
        return tuple(rules)
    exact = [rule for rule in rules if rule.exact is not None]
    if any(rule.is_xnat_field for rule in exact):
        exact = [rule for rule in exact if rule.is_xnat_field]
    return (*reversed(exact), *(rule for rule in rules if rule.exact is None))


def is_xnat_format(document: Any) -> bool:
    """Tell whether a map is one of XNAT's own: a list, or an object of a version before 2."""
    if not isinstance(document, dict):
        return True
    version = document.get("version", "1")
    return isinstance(version, str) and version.startswith("1")
