"""What an image must have beside its kind before it is filed: volumes, b-values, facts.

Not here: what kind it is (``classify``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from containers.dicom_to_bids.classify.context import REVERSED_DWI
from containers.dicom_to_bids.classify.decision import Decision
from containers.dicom_to_bids.classify.facts import number
from containers.dicom_to_bids.classify.schema import required_fields, required_perfusion_fields
from containers.dicom_to_bids.convert import Converted

_SPATIAL_AXES = 3


def b_values(image: Converted) -> list[float]:
    """Return the image's b-values in s/mm2; empty where it has none, or unreadable ones."""
    text = image.bval_path.read_text("ascii", errors="replace") if image.bval_path else ""
    values = [number(word) for word in text.split()]
    return [] if None in values else [value for value in values if value is not None]


def missing_need(
    image: Converted, decision: Decision, sidecar: Mapping[str, Any], *, has_context: bool = False
) -> str:
    """Return a sentence about what the image lacks; empty where it may be filed.

    Parameters
    ----------
    sidecar : Mapping
        dcm2niix's, with the fields that the project's map adds.
    has_context : bool
        The kind of each volume of a perfusion series is known.
    """
    kinds = {decision.data_type, decision.suffix, decision.kind}
    for concerned, is_missing, reason in _NEEDS:
        if is_missing is _is_unweighted and decision.rule == REVERSED_DWI:
            continue
        if (not concerned or concerned & kinds) and is_missing(image):
            return reason
    fields = required_fields(decision.data_type, decision.suffix)
    if decision.kind == "perf/asl":
        fields = required_perfusion_fields(str(sidecar.get("ArterialSpinLabelingType")))
    missing = [name for name in fields if name not in sidecar]
    if decision.kind == "perf/asl" and not has_context:
        missing.append("aslcontext")
    if missing:
        return (
            f"The headers lack what BIDS requires beside it: {', '.join(missing)}. "
            "The project's map can state it."
        )
    return ""


def _lacks(*keys: str) -> Callable[[Converted], bool]:
    return lambda image: not all(image.sidecar.get(key) for key in keys)


def _is_unweighted(image: Converted) -> bool:
    return not any(b_values(image))


_NEEDS: Sequence[tuple[frozenset[str], Callable[[Converted], bool], str]] = (
    (
        frozenset(),
        lambda image: len(image.shape) < _SPATIAL_AXES,
        "It is a single slice, not a volume.",
    ),
    (
        frozenset(),
        lambda image: not image.is_even,
        "Its slices are not equally far apart: one may be missing.",
    ),
    (
        frozenset({"bold"}),
        lambda image: image.volume_count == 1,
        "It has one volume; a functional series needs several.",
    ),
    (
        frozenset({"bold", "noRF"}),
        _lacks("RepetitionTime"),
        "Its repetition time is not in the headers.",
    ),
    (
        frozenset({"dwi/dwi"}),
        lambda image: image.bval_path is None or image.bvec_path is None,
        "Its b-values and gradient directions are not in the headers.",
    ),
    (
        frozenset({"dwi/dwi"}),
        lambda image: len(b_values(image)) != image.volume_count,
        "It has another number of b-values than of volumes.",
    ),
    (
        # dcm2niix writes zeros when it knows a diffusion sequence but finds no b-values.
        frozenset({"dwi/dwi"}),
        _is_unweighted,
        "All its b-values are 0: it is unweighted, or its weighting is no longer in the headers.",
    ),
    (
        frozenset({"anat", "sbref", "magnitude", "magnitude1", "magnitude2", "phasediff"}),
        lambda image: image.volume_count > 1,
        "It has several volumes; an image of its kind has one.",
    ),
    (
        frozenset({"phasediff"}),
        _lacks("EchoTime1", "EchoTime2"),
        "Its two echo times are not in the headers.",
    ),
    (frozenset({"fieldmap"}), _lacks("Units"), "Its unit is not in the headers."),
    (
        frozenset({"phase1", "phase2"}),
        _lacks("EchoTime"),
        "Its echo time is not in the headers.",
    ),
    (
        frozenset({"epi"}),
        _lacks("PhaseEncodingDirection", "TotalReadoutTime"),
        "Its phase-encoding direction or readout time is not in the headers.",
    ),
)
"""For data types and suffixes (none: for all): when an image has no place, and why."""
