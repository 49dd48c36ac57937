"""Rules from vendors' names of sequences and from the physics of the measurement.

Each rule returns a decision or None; `MEASURED_RULES` has them in order, the first that answers
counts. A value in seconds, degrees or millimetres stands beside what it follows from. Not here:
free texts that people typed (``wording``), what BIDS has no place for (``unplaced``).

References
----------
Bernstein MA, King KF, Zhou XJ. Handbook of MRI Pulse Sequences. Elsevier 2004: chapters 11.3
(time-of-flight), 14.1 (gradient echo, Ernst angle), 14.2 (inversion recovery), 16.1 (EPI).
Marques JP et al. NeuroImage 2010;49:1271-1281: MP2RAGE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from containers.dicom_to_bids.classify.decision import Confidence, Decision, left_out
from containers.dicom_to_bids.classify.facts import Component, SeriesFacts, Vendor
from containers.dicom_to_bids.classify.technique import (
    ernst_ratio,
    has_inversion,
    is_diffusion,
    is_echo_planar,
    is_spin_echo,
    is_spin_echo_epi,
    is_too_early_for_bold,
    says_spin_echo,
)
from containers.dicom_to_bids.classify.unplaced import (
    is_coarse,
    is_for_preparation,
    localiser,
    unnamed_technique,
)

_FIELD_MAP = r" fm[23]d|field_?map|b0_?map|b0rf|fieldmap"
_INVERSION_GRADIENT = r"tfl|mp_?rage|bravo|tfe|efgre3d_?ir|_mpr|gre_fsp"
_SUSCEPTIBILITY = r"swi|swan|venobold|fsbb"

_EARLY_FLAIR_TI_S, _FLAIR_TI_S, _LATEST_FLAIR_TI_S = 1.2, 1.5, 2.9
"""Liquor, T1 about 4 s, is nulled at TI of 1.7 to 2.8 s, in trains of late echoes before that.
A later inversion alone cannot null it: two inversions can."""
_FAT_TI_S = 0.3
"""Fat, T1 about 0.25 to 0.35 s, is nulled below this."""
_MP2RAGE_TR_S = 3.5
"""MPRAGE repeats after 1.5 to 3 s; MP2RAGE, with two trains, after 4 to 8 s."""
_SECOND_INVERSION_TI_S = 1.6
_CONTRAST_TE_S = 0.022
_T2_TE_S, _PD_TE_S, _LATE_TE_S = 0.045, 0.035, 0.06
_LONG_TR_S = 1.3
_SUSCEPTIBLE_TE_S = 0.012
_T1_FLASH_TE_S = 0.010
_T1_PLANES_TR_S = 0.4
"""Slice by slice, T1 is weighted with less; field maps and T2* are measured with more."""
_LONGEST_FIELD_MAP = 10
"""Volumes; longer spin-echo EPI is diffusion whose weighting is no longer in the headers."""
_VESSEL_MATRIX = 384


def measured(facts: SeriesFacts) -> Decision | None:
    """Return what the first fitting rule says."""
    for rule in MEASURED_RULES:
        decision = rule(facts)
        if decision is not None:
            return decision
    return None


def _perfusion(facts: SeriesFacts) -> Decision | None:
    if facts.is_type("ASL") or facts.runs(r"asl(?!co)|tgse"):
        if facts.runs(r"m0"):
            return _named("perf", "m0scan", "m0", "Its sequence is an ASL reference.")
        return _named("perf", "asl", "asl", "Its sequence labels arterial spins.")
    # The standard's word for both; a bolus is followed at the T2* of tissue, labels earlier.
    if facts.is_type("PERFUSION") and 0 < (facts.echo_time or 1) < _CONTRAST_TE_S:
        reason = "Marked as perfusion, with an echo too early for a contrast agent."
        return Decision("perf", "asl", Confidence.MEASURED, "early-perfusion", reason)
    if facts.is_type("PERFUSION") or facts.runs(r"ep2d_perf|_perf\b"):
        return left_out("contrast-perfusion", "Perfusion by contrast agent has no name in BIDS.")
    return None


def _echo_planar(facts: SeriesFacts) -> Decision | None:
    if not is_echo_planar(facts) and not facts.is_weighted:
        return None
    if is_diffusion(facts):
        if facts.is_single_volume and _is_diffusion_reference(facts):
            return _named("dwi", "sbref", "dwi-reference", "One volume without several bands.")
        reason = "Its sequence or its b-values are those of diffusion weighting."
        return _named("dwi", "dwi", "diffusion", reason)
    return _undiffused_epi(facts)


def _undiffused_epi(facts: SeriesFacts) -> Decision | None:
    if facts.guess is not None and facts.guess[1].endswith("_noRF"):
        # dcm2niix splits volumes without excitation from their series by the vendor's headers.
        return _named("func", "noRF", "no-excitation", "Volumes measured without excitation.")
    if is_spin_echo_epi(facts):
        if (facts.volume_count or 1) > _LONGEST_FIELD_MAP and says_spin_echo(facts):
            return Decision(
                *("dwi", "dwi", Confidence.MEASURED, "long-spin-echo-epi"),
                "A spin-echo EPI of many volumes, as for diffusion.",
            )
        reason = "A spin-echo EPI without diffusion gradients: it maps the distortion."
        return Decision("fmap", "epi", Confidence.MEASURED, "spin-echo-epi", reason)
    if facts.volume_count is None and _is_too_fast_for_one_band(facts):
        reason = "Too few slices fit into its repetition time: a reference of a multi-band series."
        return Decision("func", "sbref", Confidence.MEASURED, "single-band-reference", reason)
    if is_too_early_for_bold(facts):
        return None
    return Decision(
        "func", "bold", Confidence.MEASURED, "gradient-echo-epi", "A gradient-echo EPI."
    )


def _is_diffusion_reference(facts: SeriesFacts) -> bool:
    is_multiband_sequence = facts.vendor is Vendor.SIEMENS and facts.runs("mbep")
    return is_multiband_sequence and not facts.is_multiband and facts.b_values is None


def _is_too_fast_for_one_band(facts: SeriesFacts) -> bool:
    """Tell whether a head (100 mm) cannot be covered slice by slice within the repetition time.

    A slice takes the echo time and half the readout at least.
    """
    times = (facts.repetition_time, facts.echo_time, facts.thickness)
    if facts.is_multiband or facts.is_3d or not facts.runs("mbep") or not all(times):
        return False
    repetition, echo, thickness = (value or 0.0 for value in times)
    slice_s = echo + (facts.readout_time or 0.0) / 2
    return repetition / slice_s * thickness < 100.0  # noqa: PLR2004 - explained above


def _field_map(facts: SeriesFacts) -> Decision | None:
    if facts.is_type("FIELDMAPHZ") or facts.has_field_units:
        return _named("fmap", "fieldmap", "field-in-hertz", "Its values are a field.")
    if facts.is_type("B0", "B0 MAP") and facts.vendor is Vendor.PHILIPS:
        return _named("fmap", "fieldmap", "philips-b0", "Its values are a field.")
    is_dual = facts.has_two_echo_times and facts.component is Component.PHASE
    if not facts.runs(_FIELD_MAP) and not is_dual:
        return None
    return field_map_part(facts, Confidence.NAMED)


def field_map_part(facts: SeriesFacts, confidence: Confidence) -> Decision:
    """Return which part of a gradient-echo field map the image is."""
    second = (facts.echo_number or 1) > 1
    if facts.component is Component.PHASE:
        # Siemens subtracts the two phases; the difference is filed with the second echo.
        is_difference = facts.has_two_echo_times or facts.vendor is Vendor.SIEMENS
        suffix = "phasediff" if is_difference else ("phase2" if second else "phase1")
        return Decision("fmap", suffix, confidence, "field-map-phase", "A field map's phase.")
    suffix = "magnitude2" if second else "magnitude1"
    if facts.runs(r"b0rf|b0_?map") and facts.echo_number is None:
        suffix = "magnitude"
    return Decision("fmap", suffix, confidence, "field-map-magnitude", "A field map's magnitude.")


def _mp2rage(facts: SeriesFacts) -> Decision | None:
    if facts.is_type("UNI", "UNI-DEN", "UNI_DEN"):
        return _named("anat", "UNIT1", "mp2rage-uniform", "MP2RAGE's uniform image.")
    is_slow = (facts.repetition_time or 0) >= _MP2RAGE_TR_S and not is_spin_echo(facts)
    is_train = is_slow and facts.is_3d and has_inversion(facts) and not is_for_preparation(facts)
    if not is_train and not facts.runs(r"mp2rage"):
        return None
    second = (facts.inversion_time or 0) >= _SECOND_INVERSION_TI_S
    reason = "An inversion image of MP2RAGE."
    entities = {"inv": "2" if second else "1"}
    return Decision("anat", "MP2RAGE", Confidence.MEASURED, "mp2rage-inversion", reason, entities)


def _inversion_gradient_echo(facts: SeriesFacts) -> Decision | None:
    if is_spin_echo(facts):
        return None
    names_it = facts.runs(_INVERSION_GRADIENT)
    is_prepared = has_inversion(facts) and facts.is_3d is not False
    if not names_it and not is_prepared:
        return None
    if facts.component is Component.PHASE or is_for_preparation(facts):
        return None
    reason = "An inversion- or saturation-prepared gradient echo."
    return Decision("anat", "T1w", Confidence.MEASURED, "prepared-gradient-echo", reason)


def _spin_echo(facts: SeriesFacts) -> Decision | None:
    if not is_spin_echo(facts):
        return None
    echo, inversion = facts.echo_time, facts.inversion_time or 0
    if inversion > _LATEST_FLAIR_TI_S:
        return None
    is_late = (echo or 0) >= _LATE_TE_S
    if inversion >= (_EARLY_FLAIR_TI_S if is_late else _FLAIR_TI_S):
        return _anat("FLAIR", "spin-echo-inversion", "A spin echo with liquor nulled.")
    if inversion > _FAT_TI_S and (echo or 1) < _T2_TE_S:
        return _anat("T1w", "spin-echo-inversion", "A spin echo with inversion, echo early.")
    if (facts.echo_number or 1) > 2 or facts.runs(r"se_mc|mese"):  # noqa: PLR2004 - PD and T2
        return _anat("MESE", "multi-echo-spin-echo", "A spin echo with more than two echoes.")
    return _plain_spin_echo(echo, facts.repetition_time)


def _plain_spin_echo(echo: float | None, repetition: float | None) -> Decision | None:
    """Return the weighting of a spin echo by its times in seconds."""
    if echo is None or repetition is None:
        return None
    if echo >= _T2_TE_S and repetition >= _LONG_TR_S:
        return _anat("T2w", "late-spin-echo", "A spin echo, repetition long, echo late.")
    if echo <= _PD_TE_S:
        suffix = "T1w" if repetition < _LONG_TR_S else "PDw"
        return _anat(suffix, "early-spin-echo", "A spin echo, weighted by its repetition time.")
    return None


def _angiography(facts: SeriesFacts) -> Decision | None:
    if facts.runs(r"tof|angio| fi3d") or facts.is_type("TOF") or "VASCTOF_GEMS" in facts.options:
        return _anat("angio", "time-of-flight", "A time-of-flight sequence.")
    times = (facts.repetition_time or 0, facts.echo_time or 0)
    is_short = 0.015 <= times[0] <= 0.045 and 0.0025 <= times[1] <= 0.008  # noqa: PLR2004 - seconds
    refocuses_flow = bool(facts.options & {"FC"}) or facts.runs(r"fl3d\d?r_t")
    if facts.is_3d and is_short and refocuses_flow and (ernst_ratio(facts) or 0) > 1:
        return _anat("angio", "flow-compensated", "A flow-compensated, saturating 3D echo.")
    return None


def _gradient_echo(facts: SeriesFacts) -> Decision | None:
    is_gradient = facts.scanning & {"GR", "RM"} or facts.is_type("FFE")
    if not is_gradient and not facts.runs(r"gre|fl[23]d|ffe"):
        return None
    if facts.runs(_SUSCEPTIBILITY):
        reason = "A susceptibility-weighted gradient echo before its processing."
        suffix = "MEGRE" if facts.echo_number else "T2starw"
        return _anat(suffix, "susceptibility", reason)
    if facts.echo_number and facts.echo_time is not None:
        return _anat("MEGRE", "multi-echo-gradient-echo", "A gradient echo with several echoes.")
    if (facts.echo_time or 0) >= _SUSCEPTIBLE_TE_S:
        return _anat("T2starw", "late-gradient-echo", "A gradient echo, echo late.")
    return _early_gradient_echo(facts)


def _early_gradient_echo(facts: SeriesFacts) -> Decision | None:
    """Return the weighting of a spoiled gradient echo by its flip angle."""
    ratio = ernst_ratio(facts)
    is_early = 0 < (facts.echo_time or 0) <= _T1_FLASH_TE_S
    if ratio is None or not is_early or facts.component is not Component.MAGNITUDE:
        return None
    is_open = facts.has_transfer or is_coarse(facts) or _may_be_vessels(facts)
    if (
        is_for_preparation(facts)
        or is_open
        or (facts.is_3d is False and (facts.repetition_time or 0) > _T1_PLANES_TR_S)
    ):
        return None
    if ratio > 1:
        return _anat("T1w", "saturating-gradient-echo", "A gradient echo above the Ernst angle.")
    if ratio < 0.6:  # noqa: PLR2004 - well below, where T1 hardly counts
        return _anat("PDw", "gentle-gradient-echo", "A gradient echo far below the Ernst angle.")
    return None


def _may_be_vessels(facts: SeriesFacts) -> bool:
    """Tell whether a 3D echo is as fine and as timed as time of flight is, which T1 rarely is."""
    times = (facts.repetition_time or 0, facts.echo_time or 0)
    is_timed = 0.015 <= times[0] <= 0.045 and 0.0025 <= times[1] <= 0.008  # noqa: PLR2004 - seconds
    return bool(facts.is_3d and is_timed and (facts.matrix or 0) >= _VESSEL_MATRIX)


def _named(data_type: str, suffix: str, rule: str, reason: str) -> Decision:
    return Decision(data_type, suffix, Confidence.NAMED, rule, reason)


def _anat(suffix: str, rule: str, reason: str) -> Decision:
    return Decision("anat", suffix, Confidence.MEASURED, rule, reason)


MEASURED_RULES: Sequence[Callable[[SeriesFacts], Decision | None]] = (
    _field_map,
    _perfusion,
    localiser,
    _echo_planar,
    unnamed_technique,
    _mp2rage,
    _angiography,
    _inversion_gradient_echo,
    _spin_echo,
    _gradient_echo,
)
