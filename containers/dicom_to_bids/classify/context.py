"""What an image is in view of the others of its session.

A header alone does not tell a single-band reference from a cut series, or which gradient echoes
are a field map. Not here: an image by itself (``engine``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from containers.dicom_to_bids.classify.decision import Confidence, Decision
from containers.dicom_to_bids.classify.facts import Component, SeriesFacts, number
from containers.dicom_to_bids.classify.physics import field_map_part
from containers.dicom_to_bids.classify.technique import is_echo_planar

_FIELD_MAP_ECHOES = 2
_LATEST_FIELD_MAP_ECHO_S = 0.015
_GEOMETRY_DIGITS = 3
_FEW_VOLUMES, _TIMES_MORE = 10, 10
"""A task has more volumes; the reversed image beside one has few, and the task many times more."""
REVERSED_DWI = "written-reversed-dwi"
"""The rule for unweighted diffusion series of which a name says that they are diffusion."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One image with what is known and decided about it so far."""

    sidecar: Mapping[str, Any]
    shape: tuple[int, ...]
    facts: SeriesFacts
    decision: Decision

    @property
    def acquisition(self) -> tuple[str, int]:
        """Return a key that echoes and components of one measurement share.

        New Siemens exports number the series of one measurement 9001, 9002, ...
        """
        series = int(number(self.sidecar.get("SeriesNumber")) or 0)
        is_split = "MFSPLIT" in self.facts.image_type
        return (str(self.sidecar.get("ProtocolName")), series // 1000 if is_split else series)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """Return matrix, slices and orientation."""
        orientation = self.sidecar.get("ImageOrientationPatientDICOM") or ()
        numbers = orientation if isinstance(orientation, list) else ()
        rounded = (round(number(each) or 0.0, _GEOMETRY_DIGITS) + 0.0 for each in numbers)
        return (*self.shape[:3], *rounded)

    @property
    def direction(self) -> str:
        """Return the direction of phase encoding, such as ``j-``; empty if unknown."""
        return str(self.sidecar.get("PhaseEncodingDirection") or "")

    def is_reversed_to(self, other: Candidate) -> bool:
        """Tell whether two images differ in the sign of phase encoding along one axis."""
        mine, theirs = self.direction, other.direction
        return bool(mine and theirs and mine != theirs and mine[0] == theirs[0])


def in_context(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the images, in the same order of acquisition, with decisions that fit together."""
    found = _whole_echo_trains(_dual_echo_field_maps(list(candidates)))
    found = [_single_volume(place, found) for place in range(len(found))]
    return _direct_field_magnitudes(found)


def _is_settled(candidate: Candidate) -> bool:
    return candidate.decision.confidence is Confidence.GIVEN


def _dual_echo_field_maps(candidates: list[Candidate]) -> list[Candidate]:
    """Make two-echo gradient echoes with phase images a field map, in all their parts."""
    groups: dict[tuple[str, int], list[int]] = {}
    for place, candidate in enumerate(candidates):
        if _may_map_field(candidate):
            groups.setdefault(candidate.acquisition, []).append(place)
    for places in groups.values():
        members = [candidates[place] for place in places]
        echoes = {member.facts.echo_time for member in members}
        has_phase = any(member.facts.component is Component.PHASE for member in members)
        if len(echoes) != _FIELD_MAP_ECHOES or not has_phase:
            continue
        first = min(echo for echo in echoes if echo is not None)
        for place in places:
            facts = candidates[place].facts
            order = 1 if facts.echo_time == first else 2
            decision = field_map_part(replace(facts, echo_number=order), Confidence.MEASURED)
            candidates[place] = replace(candidates[place], decision=decision)
    return candidates


def _whole_echo_trains(candidates: list[Candidate]) -> list[Candidate]:
    """Give the first two echoes of a spin echo with more the name of the others."""
    trains = {each.acquisition: each.decision for each in candidates if _is_train(each)}
    return [
        replace(each, decision=trains[each.acquisition])
        if each.acquisition in trains and each.decision.kind in {"anat/PDw", "anat/T2w"}
        else each
        for each in candidates
    ]


def _is_train(candidate: Candidate) -> bool:
    return candidate.decision.suffix == "MESE" and not _is_settled(candidate)


def _may_map_field(candidate: Candidate) -> bool:
    facts = candidate.facts
    is_kind = candidate.decision.kind in {"anat/MEGRE", "anat/T1w", "anat/PDw", "exclude"}
    is_kind = is_kind and candidate.decision.rule not in {"localiser", "derived", "contradiction"}
    is_early = facts.echo_time is not None and facts.echo_time < _LATEST_FIELD_MAP_ECHO_S
    is_pair = facts.component in {Component.MAGNITUDE, Component.PHASE}
    is_gradient = "SE" not in facts.scanning and not is_echo_planar(facts)
    return is_kind and is_early and is_pair and is_gradient and not _is_settled(candidate)


def _single_volume(place: int, candidates: Sequence[Candidate]) -> Candidate:
    """Tell a reference, or the reversed image of a pair, from a series that was cut short."""
    candidate = candidates[place]
    kind = candidate.decision.kind
    if candidate.facts.is_weighted or _is_settled(candidate):
        return _named_reverse(candidate, candidates)
    if _is_reverse_of_longer(candidate, candidates):
        return _as_reversed(candidate)
    if kind not in {"func/bold", "dwi/dwi"} or not candidate.facts.is_single_volume:
        return candidate
    data_type = candidate.decision.data_type
    followers = [
        other
        for other in candidates[place + 1 :]
        if other.decision.kind == kind
        and other.geometry == candidate.geometry
        and other.direction == candidate.direction
        and other.facts.echo_time == candidate.facts.echo_time
        and (other.facts.volume_count or 1) > 1
    ]
    if followers and followers[0].facts.is_multiband and not candidate.facts.is_multiband:
        reason = "One volume without several bands before a multi-band series of its geometry."
        decision = Decision(
            data_type, "sbref", Confidence.MEASURED, "single-band-reference", reason
        )
        return replace(candidate, decision=decision)
    planar = (other for other in candidates if other.decision.data_type in {"func", "dwi", "fmap"})
    if any(
        other.is_reversed_to(candidate) and other.shape[:3] == candidate.shape[:3]
        for other in planar
    ):
        return _as_reversed(candidate)
    return candidate


def _is_reverse_of_weighted(candidate: Candidate, candidates: Sequence[Candidate]) -> bool:
    """Tell whether a diffusion series without weighting is the reversed one of a weighted."""
    return candidate.facts.b_values is not None and any(
        other.facts.is_weighted
        and other.is_reversed_to(candidate)
        and other.shape[:3] == candidate.shape[:3]
        for other in candidates
    )


def _named_reverse(candidate: Candidate, candidates: Sequence[Candidate]) -> Candidate:
    """Keep what a name says is diffusion, although unweighted, as the reverse of a weighted one.

    ReproIn has no other name for it than that of its partner with another direction.
    """
    decision = candidate.decision
    is_unweighted = decision.kind == "dwi/dwi" and not candidate.facts.is_weighted
    if not is_unweighted or not _is_reverse_of_weighted(candidate, candidates):
        return candidate
    return replace(candidate, decision=replace(decision, rule=REVERSED_DWI))


def _is_reverse_of_longer(candidate: Candidate, candidates: Sequence[Candidate]) -> bool:
    """Tell whether a series is the unweighted or short reverse of a weighted or long one."""
    kind, volumes = candidate.decision.kind, candidate.facts.volume_count
    if kind == "dwi/dwi":
        return _is_reverse_of_weighted(candidate, candidates)
    return (
        kind == "func/bold"
        and volumes is not None
        and any(
            volumes <= _FEW_VOLUMES
            and volumes * _TIMES_MORE <= (other.facts.volume_count or 0)
            and other.decision.kind == "func/bold"
            and other.is_reversed_to(candidate)
            and other.shape[:3] == candidate.shape[:3]
            and other.facts.echo_time == candidate.facts.echo_time
            for other in candidates
        )
    )


def _as_reversed(candidate: Candidate) -> Candidate:
    reason = "Unweighted, with phase encoding opposite to another echo-planar series."
    decision = Decision("fmap", "epi", Confidence.MEASURED, "reversed-epi", reason)
    return replace(candidate, decision=decision)


def _direct_field_magnitudes(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Call the magnitude beside a measured field ``magnitude``, as BIDS wants it."""
    direct = {each.acquisition for each in candidates if each.decision.suffix == "fieldmap"}
    phases = {"phasediff", "phase1", "phase2"}
    both = {each.acquisition for each in candidates if each.decision.suffix in phases}
    found = []
    for candidate in candidates:
        decision = candidate.decision
        is_beside = candidate.acquisition in direct - both
        is_magnitude = decision.suffix == "magnitude1" or (
            decision.data_type == "anat" and candidate.facts.component is Component.MAGNITUDE
        )
        if is_beside and is_magnitude:
            reason = "The magnitude beside a field map in units of the field."
            named = Decision("fmap", "magnitude", decision.confidence, "field-magnitude", reason)
            found.append(replace(candidate, decision=named))
        else:
            found.append(candidate)
    return found
