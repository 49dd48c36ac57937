"""Images that are no pictures of the brain for a data set, by how they were measured.

Scans for planning and calibration, and techniques for which BIDS has no name. Each rule returns
the decision to leave the image out, or None. Not here: what a scanner computed (``derived``).
"""

from __future__ import annotations

from containers.dicom_to_bids.classify.decision import Confidence, Decision, left_out
from containers.dicom_to_bids.classify.facts import SeriesFacts
from containers.dicom_to_bids.classify.technique import has_inversion, is_echo_planar, is_spin_echo

_LOCALISER = r"scout|locali[sz]er|survey|smartbrain| loc |3[ _-]?plane"
_TRANSMIT = r"b1_?map|rfmap|bloch|dream|afi| tfl2d"
"""A turbo gradient echo slice by slice is a measurement of the transmitter, or of a bolus."""
_STEADY_STATE = r"tru?fi|ciss|fiesta|bffe|b_?tfe|bssfp|\bdess| (?:tfi|ci3d|de3d|ps[23]d)"
_VELOCITY = r"fl_pc|pc3d|\bpc2d|phase_?contrast|fl2d_pc|fl[23]d\w*_v\d|inhance\w*vel"
_QUICK_TR_S = 0.05
_THICK_MM, _COARSE_MATRIX = 5.0, 96
_BRAIN_3D_TR_S, _BRAIN_3D_MM, _SHORTEST_TE_S = 0.004, 4.0, 0.0005


def localiser(facts: SeriesFacts) -> Decision | None:
    """Recognise planes for planning, by name or because they were measured in milliseconds."""
    if facts.runs(_LOCALISER) or facts.is_type("LOCALIZER"):
        return left_out("localiser", "It is a localiser; BIDS has no place for it.")
    if is_echo_planar(facts) or is_spin_echo(facts):
        return None
    # Slices one after another within 50 ms each, and thick: planes for planning.
    is_quick = 0 < (facts.repetition_time or 1) < _QUICK_TR_S
    is_thick = (facts.thickness or 0) >= _THICK_MM
    if is_quick and is_thick and facts.is_3d is False:
        reason = "Thick single slices measured in milliseconds: a localiser."
        return left_out("localiser-by-timing", reason, Confidence.MEASURED)
    return None


def unnamed_technique(facts: SeriesFacts) -> Decision | None:
    """Recognise techniques that show something else than BIDS's suffixes."""
    if facts.runs(_TRANSMIT):
        reason = "A map of the transmitter's field; the project's map has to say of which kind."
        return left_out("transmit-field", reason)
    if facts.runs(_STEADY_STATE):
        return left_out("steady-state", "Balanced steady-state images have no name in BIDS.")
    if facts.runs(_VELOCITY) or facts.is_type("PCA", "VELOCITY", "VELOCITY MAP"):
        return left_out("phase-contrast", "Velocities by phase contrast have no name in BIDS.")
    return None


def is_for_preparation(facts: SeriesFacts) -> bool:
    """Tell whether a gradient echo is too quick or too thick for a picture of the brain.

    Scouts in 3D, maps of coils and shims: repetition below 4 ms without preparation, echo below
    0.5 ms, or partitions of 4 mm.
    """
    repetition, echo = facts.repetition_time, facts.echo_time
    if echo is not None and echo < _SHORTEST_TE_S:
        return True
    is_thick = (facts.thickness or 0) >= _BRAIN_3D_MM
    is_quick = not has_inversion(facts) and 0 < (repetition or 1) < _BRAIN_3D_TR_S
    return bool(facts.is_3d) and (is_thick or is_quick)


def is_coarse(facts: SeriesFacts) -> bool:
    """Tell whether a slice has fewer pixels than a picture of the brain without preparation."""
    return facts.matrix is not None and facts.matrix < _COARSE_MATRIX
