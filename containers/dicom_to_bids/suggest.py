"""The map that reproduces the names of a session, as a start for editing.

One rule for each series description; where images of one description have different names,
further facts tell them apart. Not here: how a map is read (``project_map``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from containers.dicom_to_bids.convert import Converted
from containers.dicom_to_bids.explain import WITHHELD, Examined, results_by_image, shown_series
from containers.dicom_to_bids.map_check import MAP_VERSION
from containers.dicom_to_bids.map_criteria import is_equal
from containers.dicom_to_bids.names import LeftOut, Named

_AUTOMATIC = frozenset({"run", "echo", "part", "inv"})
"""Entities that tell the images of one series apart; the conversion sets them by itself."""
_TELLING_FACTS = (
    *("ImageType", "EchoNumber", "EchoTime", "InversionTime", "VolumeCount", "ProtocolName"),
    *("PhaseEncodingDirection", "RepetitionTime", "FlipAngle", "SequenceName"),
)
_MOST_FACTS = 3


@dataclass(frozen=True, slots=True)
class _Case:
    """One image with the facts that a rule may name and what the rule is to say."""

    facts: Mapping[str, Any]
    outcome: Mapping[str, Any]


def suggested_map(examined: Examined) -> dict[str, Any]:
    """Return a map, ready to be written as JSON.

    A series whose description holds an identity, or whose images no fact tells apart, has no
    rule: it stays with the classification, and a comment says so.
    """
    results = results_by_image(examined.naming)
    groups: dict[str, list[_Case]] = {}
    for image in examined.conversion.images:
        if id(image) in results:
            series = shown_series(examined, image)
            case = _Case(_facts(image), _outcome(results[id(image)]))
            groups.setdefault(series, []).append(case)
    rules: list[dict[str, Any]] = []
    skipped = 0
    for series, cases in groups.items():
        found = None if series in {"", WITHHELD} else _rules(series, cases)
        skipped += found is None
        rules += found or []
    document: dict[str, Any] = {"version": MAP_VERSION}
    if skipped:
        document["comment"] = (
            f"{skipped} series have no rule, because their descriptions are empty or hold an "
            "identity, or no fact tells their images apart; they are named without the map."
        )
    return document | {"unlisted": "classify", "mappings": rules}


def _facts(image: Converted) -> dict[str, Any]:
    return {**image.sidecar, "VolumeCount": image.volume_count}


def _outcome(result: Named | LeftOut) -> dict[str, Any]:
    if isinstance(result, LeftOut):
        return {"exclude": result.reason[:300]}
    entities = {key: value for key, value in result.entities.items() if key not in _AUTOMATIC}
    named = {"data_type": result.data_type, "suffix": result.suffix}
    return named | ({"entities": entities} if entities else {})


def _rules(series: str, cases: Sequence[_Case]) -> list[dict[str, Any]] | None:
    """Return rules for the images of one description; None where no facts part them."""
    rules: list[dict[str, Any]] = []
    for case in cases:
        if any(_fits(rule["match"], case.facts) for rule in rules):
            continue
        others = [each for each in cases if each.outcome != case.outcome]
        match = _match(series, case, others)
        if match is None:
            return None
        rules.append({"match": match, **case.outcome})
    return rules


def _match(series: str, case: _Case, others: Sequence[_Case]) -> dict[str, Any] | None:
    """Return the shortest conditions that hold for a case and for none of the others."""
    for match in _candidates(series, case):
        if not any(_fits(match, other.facts) for other in others):
            return match
    return None


def _candidates(series: str, case: _Case) -> Iterator[dict[str, Any]]:
    known = [fact for fact in _TELLING_FACTS if case.facts.get(fact) not in (None, "")]
    for count in range(_MOST_FACTS + 1):
        for facts in combinations(known, count):
            yield {"SeriesDescription": series, **{fact: case.facts[fact] for fact in facts}}


def _fits(match: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    return all(fact in facts and is_equal(value, facts[fact]) for fact, value in match.items())
