"""Brings the evidence about one image together and decides.

In this order: the project's map, what the scanner computed itself, names of BIDS's form, the
measurement with the words of free texts, dcm2niix's own guess. Where two of them exclude each
other, the image is left out. Not here: facts that only other images of the session tell
(``context``).
"""

from __future__ import annotations

from types import MappingProxyType

from containers.dicom_to_bids.classify import wording
from containers.dicom_to_bids.classify.decision import Confidence, Decision, left_out
from containers.dicom_to_bids.classify.derived import derived
from containers.dicom_to_bids.classify.facts import Component, SeriesFacts
from containers.dicom_to_bids.classify.physics import field_map_part, measured
from containers.dicom_to_bids.classify.schema import allowed_entities
from containers.dicom_to_bids.classify.technique import (
    has_inversion,
    is_diffusion,
    is_echo_planar,
    is_spin_echo,
    is_too_early_for_bold,
)
from containers.dicom_to_bids.classify.unplaced import is_for_preparation
from containers.dicom_to_bids.classify.wording import WrittenName, has_word, written_name

_UNKNOWN = left_out(
    "unknown",
    "Neither its headers nor its name tell what kind of measurement it is.",
    Confidence.GUESSED,
)
_SHORT_TE_S = 0.012
_SECOND_INVERSION_TI_S = 1.6
_UNUSABLE_GUESSES = frozenset({"discard", "derived"})
_WEIGHTINGS = frozenset({"T1w", "T2w", "PDw", "T2starw", "FLAIR", "PDT2"})


def classify(facts: SeriesFacts) -> Decision:
    """Return what one image is, by itself."""
    computed = derived(facts)
    if computed is not None:
        return computed
    found = measured(facts)
    if found is not None and found.is_left_out:
        return found
    written = written_name(facts.name)
    if written is not None:
        return _by_written_name(facts, written, found)
    worded = _computed_by_words(facts, found) or _by_words(facts, found)
    if worded is not None:
        return worded
    return found or _by_guess(facts)


def _by_written_name(facts: SeriesFacts, written: WrittenName, found: Decision | None) -> Decision:
    """Take what a name of BIDS's form says, unless the measurement excludes it."""
    if written.is_localiser:
        return left_out("named-localiser", "Its name says localiser.", Confidence.GIVEN)
    suffix = _suffix_within(facts, written, found)
    if not suffix:
        return left_out(
            "contradiction",
            f"Its name says {written.data_type}, but it was not measured as such.",
            Confidence.GIVEN,
        )
    if found is not None and found.suffix == suffix and found.data_type == written.data_type:
        entities = dict(found.entities) | dict(written.entities)
    else:
        entities = dict(written.entities)
    reason = "Its name says so, in the form of BIDS or ReproIn."
    return Decision(written.data_type, suffix, Confidence.GIVEN, "written-name", reason, entities)


def _suffix_within(facts: SeriesFacts, written: WrittenName, found: Decision | None) -> str:
    """Return the suffix for a written data type, empty where the measurement excludes it."""
    if _is_excluded(facts, written.data_type, found):
        return ""
    if found is not None and found.suffix == "noRF":
        return found.suffix
    said = _suffix_by_name(facts, written)
    for parts in (_MP2RAGE_PARTS, _FIELD_MAP_PARTS):
        # All parts of such a measurement have the protocol's name; the header tells them apart.
        if said in parts and found is not None and found.suffix in parts:
            return found.suffix
    if said:
        return said
    if found is not None and found.data_type == written.data_type:
        return found.suffix
    return _usual_suffix(facts, written.data_type)


def _usual_suffix(facts: SeriesFacts, data_type: str) -> str:
    """Return the suffix for a data type about which header and name say nothing closer."""
    if data_type == "fmap":
        is_planar = is_echo_planar(facts)
        return "epi" if is_planar else field_map_part(facts, Confidence.GIVEN).suffix
    if data_type == "anat":
        worded = _anatomical_word(facts)
        return worded if allowed_entities("anat", worded) else ""
    return _USUAL_SUFFIXES[data_type]


def _is_excluded(facts: SeriesFacts, data_type: str, found: Decision | None) -> bool:
    """Tell whether the measurement cannot be of a data type."""
    is_planar = is_echo_planar(facts)
    if data_type == "anat":
        return facts.is_weighted or (is_planar and not facts.is_3d)
    if data_type == "dwi":
        return not (is_planar or is_diffusion(facts) or is_spin_echo(facts))
    if data_type == "func":
        return facts.is_weighted or (found is not None and found.data_type == "anat")
    return False


def _suffix_by_name(facts: SeriesFacts, written: WrittenName) -> str:
    """Return the suffix of a written name, with what a scanner appends to it; or nothing."""
    is_reference = has_word(facts.name, wording.REFERENCE) and not facts.is_weighted
    if is_reference and written.data_type in {"func", "dwi"} and not (facts.volume_count or 1) > 1:
        return "sbref"
    if written.data_type == "perf" and has_word(facts.name, wording.CALIBRATION):
        return "m0scan"
    return written.suffix


_USUAL_SUFFIXES = MappingProxyType({"func": "bold", "dwi": "dwi", "perf": "asl"})
_MP2RAGE_PARTS = frozenset({"MP2RAGE", "UNIT1", "T1map", "T1w"})
_FIELD_MAP_PARTS = frozenset(
    {"phasediff", "phase1", "phase2", "magnitude", "magnitude1", "magnitude2", "fieldmap"}
)


def _computed_by_words(facts: SeriesFacts, found: Decision | None) -> Decision | None:
    """Leave out what a name says was computed, where the header keeps that to itself."""
    if (facts.volume_count or 1) > 1 or (found is not None and _is_sure(found)):
        return None
    in_space = "" if is_echo_planar(facts) else f"|{wording.COMPUTED_IN_SPACE}"
    if not has_word(facts.name, wording.COMPUTED + in_space):
        return None
    reason = "Its name says that it was computed from other images, or is no picture."
    return left_out("worded-computed", reason, Confidence.GUESSED)


def _is_sure(found: Decision) -> bool:
    """Tell whether the header alone says that the scanner measured exactly this."""
    is_named = found.confidence is Confidence.NAMED and found.data_type != "dwi"
    return is_named or found.suffix in _MP2RAGE_PARTS - {"T1w"}


def _by_words(facts: SeriesFacts, found: Decision | None) -> Decision | None:
    """Choose by the words of free texts among what the measurement leaves open."""
    if is_echo_planar(facts):
        return _planar_by_words(facts, found)
    if found is not None and found.data_type in {"fmap", "perf", "dwi"}:
        return None
    if has_word(facts.name, wording.PERFUSION):
        return _guessed("perf", _perfusion_suffix(facts), "its name says perfusion")
    return _spatial_by_words(facts, found)


def _planar_by_words(facts: SeriesFacts, found: Decision | None) -> Decision | None:
    if facts.is_weighted:
        return None
    name = facts.name
    is_reference = has_word(name, wording.REFERENCE) and not (facts.volume_count or 1) > 1
    if found is not None and found.data_type == "dwi":
        return _diffusion_by_words(name, found, is_reference=is_reference)
    if found is not None and found.rule == "spin-echo-epi" and _says_diffusion(facts):
        return _chosen("dwi", "dwi", "diffusion")
    is_perfusion = has_word(name, wording.PERFUSION) or (found and found.data_type == "perf")
    if has_word(name, wording.CONTRAST) and not is_perfusion:
        reason = "Its name says perfusion, but not that it labels spins."
        return left_out("worded-perfusion", reason, Confidence.GUESSED)
    is_calibration = has_word(name, wording.CALIBRATION)
    reference_type = "dwi" if has_word(name, wording.DIFFUSION) else "func"
    choices = (
        (is_calibration, "perf", "m0scan", "calibration"),
        (is_perfusion, "perf", "asl", "perfusion"),
        (has_word(name, wording.NO_EXCITATION), "func", "noRF", "no-excitation"),
        (has_word(name, wording.DISTORTION), "fmap", "epi", "distortion-epi"),
        (is_reference, reference_type, "sbref", "single-band-reference"),
        (_says_diffusion_only(facts, found), "dwi", "dwi", "diffusion"),
        (found is None and has_word(name, wording.FUNCTIONAL), "func", "bold", "functional"),
    )
    for is_meant, data_type, suffix, rule in choices:
        if is_meant:
            return _chosen(data_type, suffix, rule)
    return None


def _diffusion_by_words(name: str, found: Decision, *, is_reference: bool) -> Decision | None:
    """Choose among what was measured as diffusion is, or as functional spin echoes are."""
    if is_reference:
        return _chosen("dwi", "sbref", "single-band-reference")
    if found.rule == "long-spin-echo-epi" and has_word(name, wording.FUNCTIONAL):
        return _chosen("func", "bold", "spin-echo-functional")
    return None


def _says_diffusion_only(facts: SeriesFacts, found: Decision | None) -> bool:
    """Tell whether a name alone speaks of diffusion, and nothing is known that speaks against."""
    is_open = facts.b_values is None and facts.volume_count is None
    is_functional = found is not None and found.data_type == "func"
    return is_open and not is_functional and _says_diffusion(facts)


def _says_diffusion(facts: SeriesFacts) -> bool:
    """Tell whether a name speaks of diffusion, and neither of function nor of distortion."""
    others = f"{wording.FUNCTIONAL}|{wording.DISTORTION}"
    return has_word(facts.name, wording.DIFFUSION) and not has_word(facts.name, others)


def _perfusion_suffix(facts: SeriesFacts) -> str:
    return "m0scan" if has_word(facts.name, wording.CALIBRATION) else "asl"


def _spatial_by_words(facts: SeriesFacts, found: Decision | None) -> Decision | None:
    """Choose among anatomical images, gradient-echo field maps and localisers."""
    name = facts.name
    suffix = _anatomical_word(facts)
    if has_word(name, r"mp2 ?_?rage") and found is not None and found.suffix == "T1w":
        return _worded_mp2rage(facts)
    if _may_map_field(facts) and has_word(name, wording.FIELD_MAP) and suffix != "angio":
        return field_map_part(facts, Confidence.GUESSED)
    if has_word(name, wording.LOCALISER):
        return left_out("worded-localiser", "Its name says localiser.", Confidence.GUESSED)
    return _anatomical_by_words(facts, found, suffix)


def _worded_mp2rage(facts: SeriesFacts) -> Decision:
    is_late = (facts.inversion_time or 0) > _SECOND_INVERSION_TI_S
    second = is_late or has_word(facts.name, r"inv ?_?2")
    return Decision(
        *("anat", "MP2RAGE", Confidence.MEASURED, "worded-mp2rage"),
        "An inversion-prepared gradient echo whose name says MP2RAGE.",
        {"inv": "2" if second else "1"},
    )


def _may_map_field(facts: SeriesFacts) -> bool:
    """Tell whether the image is a gradient echo without preparation, measured early."""
    is_early = 0 < (facts.echo_time or 0) < _SHORT_TE_S
    return is_early and not is_spin_echo(facts) and not has_inversion(facts)


def _anatomical_by_words(
    facts: SeriesFacts, found: Decision | None, suffix: str
) -> Decision | None:
    """Let a word choose a weighting that the timing allows."""
    is_part = found is not None and found.suffix in _MP2RAGE_PARTS - {"T1w"}
    if not suffix or is_part or not _may_be(facts, suffix):
        return None
    if has_word(facts.name, wording.IN_PLANE) and suffix in {"T1w", "T2w"}:
        return _guessed("anat", f"inplane{suffix[:2]}", "its name says so")
    is_open = found is None or (found.suffix in _WEIGHTINGS and found.suffix != suffix)
    because = "its name says so and its timing allows it"
    return _guessed("anat", suffix, because) if is_open else None


def _may_be(facts: SeriesFacts, suffix: str) -> bool:
    """Tell whether the timing allows a weighting that a word names."""
    echo, inversion = facts.echo_time, facts.inversion_time or 0
    if echo is None:
        return True
    if is_spin_echo(facts):
        return {
            "T1w": echo < 0.06,  # noqa: PLR2004 - seconds; inversion recovery included
            "T2w": echo > 0.03 and inversion < 1.5,  # noqa: PLR2004 - seconds
            "FLAIR": echo > 0.05 and (inversion == 0 or inversion > 1.2),  # noqa: PLR2004 - seconds
            "PDw": echo < 0.05,  # noqa: PLR2004 - seconds
        }.get(suffix, False)
    return {
        "T1w": echo < _SHORT_TE_S,
        "PDw": echo < _SHORT_TE_S,
        "T2starw": echo > 0.003,  # noqa: PLR2004 - the first of several echoes is early
        "angio": echo < _SHORT_TE_S,
        "UNIT1": True,
        "T2w": not (facts.scanning & {"GR"}),
        "FLAIR": not (facts.scanning & {"GR"}),
    }.get(suffix, False)


def _anatomical_word(facts: SeriesFacts) -> str:
    for suffix, pattern in wording.ANATOMICAL:
        if has_word(facts.name, pattern):
            return suffix
    return ""


def _by_guess(facts: SeriesFacts) -> Decision:
    """Take dcm2niix's guess where nothing else answers."""
    if facts.guess is None or is_too_early_for_bold(facts):
        return _UNKNOWN
    data_type, name = facts.guess
    suffix = name.split("_")[-1]
    if data_type in _UNUSABLE_GUESSES or allowed_entities(data_type, suffix) is None:
        return _UNKNOWN
    is_poor = facts.component is not Component.MAGNITUDE or is_for_preparation(facts)
    if data_type == "anat" and is_poor:
        return _UNKNOWN
    reason = "dcm2niix takes it for this, and nothing in its headers speaks against it."
    return Decision(data_type, suffix, Confidence.GUESSED, "dcm2niix", reason)


def _chosen(data_type: str, suffix: str, rule: str) -> Decision:
    reason = "It was measured in a way that allows it, and its name says so."
    return Decision(data_type, suffix, Confidence.MEASURED, f"worded-{rule}", reason)


def _guessed(data_type: str, suffix: str, because: str) -> Decision:
    reason = f"Taken for this because {because}."
    return Decision(data_type, suffix, Confidence.GUESSED, "worded", reason)
