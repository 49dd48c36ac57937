"""Recognises what a scanner computed from other images, and what is no picture in space.

Not here: images as they were measured (``physics``).
"""

from __future__ import annotations

from containers.dicom_to_bids.classify.decision import Confidence, Decision, left_out
from containers.dicom_to_bids.classify.facts import SeriesFacts, Vendor

_DIFFUSION = frozenset(
    {
        *("ADC", "FA", "TRACEW", "TRACE", "COLFA", "TENSOR", "TENSOR_B0", "CALC_BVALUE", "EADC"),
        *("EXP", "ISOTROPIC", "AVDC", "FAMAP", "COLOUR_FA", "DIFFUSION_ANISO", "MD"),
    }
)
_PERFUSION = frozenset({"SUB", "TTEST", "RELCBF", "CBF", "CBV", "RELCBV", "MTT", "TTP", "TMAX"})
_REFORMATTED = frozenset(
    {
        *("MPR", "MIP", "MNIP", "MINIP", "CSA MPR", "REFORMATTED", "PROJECTION IMAGE", "CPR"),
        *("MIN IP", "MAX IP", "MIN_IP", "MAX_IP", "VOLREN", "PROJECTION"),
    }
)
_PICTURES = frozenset(
    {"SCREEN SAVE", "CSA REPORT", "CSA RESULT", "SCREENSHOT", "COLOR", "SPECTROSCOPY"}
)
_PROCESSED = frozenset(
    {
        *("SWI", "T2 MAP", "T2MAP", "T2STAR MAP", "GLM", "TMAP", "FMRI", "T-MAP"),
        *("T2_STAR", "T2 STAR", "R2", "R2_STAR", "R2STAR", "R2 MAP", "R2STAR MAP"),
    }
)
_WATER_OR_FAT = frozenset(
    {
        *("W", "F", "IP", "OP", "WATER", "FAT", "DIXON", "FAT_FRACTION", "WATER_FRACTION"),
        *("IN_PHASE", "OPP_PHASE", "OUT_PHASE", "IN PHASE", "OUT PHASE", "OPPOSED_PHASE"),
    }
)
_T1_MAP = frozenset({"T1 MAP", "T1MAP"})
_GROUPS = (
    (_PICTURES, "no-picture", "It is not a picture in space as it was measured."),
    (_DIFFUSION, "diffusion-map", "It was computed by the scanner from diffusion images."),
    (_PERFUSION, "perfusion-map", "It was computed by the scanner from perfusion images."),
    (_REFORMATTED, "reformatted", "It was computed from another image: resliced or projected."),
    (_WATER_OR_FAT, "dixon", "It shows water or fat, or both in or out of phase."),
    (_PROCESSED, "processed", "It was computed by the scanner from other images."),
)
_FIELD = frozenset({"B0", "B0 MAP"})
_STILL_RAW = frozenset({"UNI", "UNI-DEN", "FIELDMAPHZ"})
"""Computed, but BIDS counts them among what a scanner gives."""

_FEW_VOLUMES = 3
"""Maps come one by one, or as a tensor's trace, averages and b = 0."""


def derived(facts: SeriesFacts) -> Decision | None:
    """Return the decision to leave a computed image out, or None for others."""
    # A diffusion tensor's b = 0 image is marked B0, too, which elsewhere is the field.
    is_field = facts.is_type(*_FIELD) and facts.vendor is Vendor.PHILIPS
    if is_field or facts.is_type(*_STILL_RAW) or facts.has_field_units:
        return None
    if facts.is_type(*_T1_MAP):
        reason = "The scanner's map of the relaxation time T1."
        return Decision("anat", "T1map", Confidence.NAMED, "t1-map", reason)
    for words, rule, reason in _GROUPS:
        found = facts.image_type & words
        # Siemens keeps FMRI for maps of activation, but other makers for raw series.
        if found == {"FMRI"} and "ORIGINAL" in facts.image_type:
            continue
        if found and not _is_measured_after_all(facts):
            return left_out(rule, reason)
    if facts.is_type("DERIVED"):
        return left_out("derived", "It was computed by the scanner from other images.")
    return None


def _is_measured_after_all(facts: SeriesFacts) -> bool:
    """Tell whether the words stand for something else: the image has volumes of its own weighting.

    Some vendors mark a series with the averages that they append to it.
    """
    is_series = facts.is_weighted and (facts.volume_count or 1) > _FEW_VOLUMES
    return is_series and "ORIGINAL" in facts.image_type and facts.vendor is not Vendor.SIEMENS
