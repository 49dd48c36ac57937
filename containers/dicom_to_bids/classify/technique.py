"""Which technique an image was measured with: echo-planar, spin echo, diffusion, inversion.

Not here: what kind of image follows from it (``physics``, ``unplaced``).

References
----------
Bernstein MA, King KF, Zhou XJ. Handbook of MRI Pulse Sequences. Elsevier 2004: chapters 14.1
(gradient echo, Ernst angle), 14.2 (inversion recovery), 16.1 (EPI), 16.4 (turbo spin echo).
Peters AM et al. Magn Reson Imaging 2007;25:748-753: T2* of grey matter at 1.5, 3 and 7 T.
"""

from __future__ import annotations

import math

from containers.dicom_to_bids.classify.facts import SeriesFacts, Vendor

_DIFFUSION = r"diff|dwi|dti|dmri|resolve|dsi|[ _]ep_b\d| ep_b\d| re_b\d"
_SPIN_ECHO_EPI = r"epse|ep2d_se|bep2d_se|seepi|se_?epi|epi_se|epi2 |ep_?se"
_GRADIENT_EPI = r"epfid|_bold|bold|feepi|fe_epi|epi_fid|fmri|epirt|grepi"
_EPI = rf"{_SPIN_ECHO_EPI}|{_GRADIENT_EPI}|ep[23]d|mbep|\bepi(?!nav)|_epi(?!nav)|dwise|[ _]ep_"
_TURBO_SPIN_ECHO = (
    r"tse|fse|\bspc|_spc|spcir|haste| h2d|vista|\bcube|\bse2d|\bse3d|\bse_|grase|\btir|fase"
)

_GREY_T1_S = 1.2
"""Between white matter's and grey matter's longitudinal relaxation time at 1.5 and 3 T."""
_SPIN_ECHO_EPI_TE_S = ((2.0, 0.080), (4.0, 0.055), (math.inf, 0.042))
"""Up to which field (T) an EPI echo later than this cannot be a gradient echo: T2* of grey
matter is about 84, 66 and 33 ms at 1.5, 3 and 7 T, and BOLD is measured at or below it."""
_LATEST_GRADIENT_TE_S = 0.06
"""Later than this little is left of a gradient echo: T2* of the brain ends before."""
_EARLIEST_BOLD_TE_S = 0.018
_SUSCEPTIBLE_TE_S = 0.012
_PLANAR_MATRIX, _PLANAR_TRAIN = 160, 25
"""Turbo spin echoes of the brain have finer matrices than EPI, and shorter trains of echoes."""


def is_echo_planar(facts: SeriesFacts) -> bool:
    """Tell whether a whole slice is read after one excitation."""
    if "EP" in facts.scanning or facts.is_type("EPI", "EP") or "EPI_GEMS" in facts.options:
        return True
    if facts.runs(_EPI):
        return True
    if _is_time_series(facts):
        return True
    # Older Philips headers do not say it: many echoes per excitation of a 2D gradient echo do.
    train = facts.echo_train or 0
    is_plane = facts.is_3d is not True and "FFE" in facts.image_type
    if is_plane and train > 12 and (facts.echo_time or 0) > _SUSCEPTIBLE_TE_S:  # noqa: PLR2004 - echoes; an echo-planar train is longer
        return True
    is_coarse = facts.matrix is not None and facts.matrix <= _PLANAR_MATRIX
    is_philips = facts.vendor is Vendor.PHILIPS and facts.is_3d is False
    return is_philips and is_coarse and train > _PLANAR_TRAIN


def _is_time_series(facts: SeriesFacts) -> bool:
    """Tell whether planes were measured again and again with a late echo: only EPI does that."""
    is_repeated = (facts.volume_count or 1) >= 5 and facts.is_3d is False  # noqa: PLR2004 - volumes
    return is_repeated and 0.012 <= (facts.echo_time or 0) <= 0.15  # noqa: PLR2004 - seconds


def is_diffusion(facts: SeriesFacts) -> bool:
    """Tell whether the sequence has diffusion gradients."""
    return (
        facts.is_weighted
        or facts.is_type("DIFFUSION")
        or facts.runs(_DIFFUSION)
        or facts.has_diffusion_scheme
    )


def is_spin_echo_epi(facts: SeriesFacts) -> bool:
    """Tell whether an echo-planar image is a spin echo."""
    if facts.runs(_GRADIENT_EPI.replace("|epirt", "").replace("|fmri", "")):
        return False
    if says_spin_echo(facts):
        return True
    if "GR" in facts.scanning or (facts.echo_number or 1) > 1:
        return False
    field = facts.field_strength or 3.0
    limit = next(te for tesla, te in _SPIN_ECHO_EPI_TE_S if field <= tesla)
    return (facts.echo_time or 0) > limit


def says_spin_echo(facts: SeriesFacts) -> bool:
    """Tell whether words of the header, not its times, call an echo-planar image a spin echo."""
    return facts.runs(_SPIN_ECHO_EPI) or "SE" in facts.scanning or "SE" in facts.image_type


def is_too_early_for_bold(facts: SeriesFacts) -> bool:
    """Tell whether the only echo comes long before T2* of grey matter.

    Perfusion and its calibration are measured so, and parts of multi-echo series, which have a
    number.
    """
    is_low_field = (facts.field_strength or 3.0) < 4.0  # noqa: PLR2004 - tesla
    is_early = 0 < (facts.echo_time or 1) < _EARLIEST_BOLD_TE_S
    return is_echo_planar(facts) and is_low_field and is_early and facts.echo_number is None


def is_spin_echo(facts: SeriesFacts) -> bool:
    """Tell whether a non-EPI image is a (turbo) spin echo."""
    if facts.runs(_TURBO_SPIN_ECHO):
        return True
    if "GR" in facts.scanning or is_echo_planar(facts):
        return False
    # Philips calls turbo spin echoes with inversion IR, and gradient echoes with one FFE.
    is_philips = facts.vendor is Vendor.PHILIPS
    is_prepared = is_philips and facts.is_type("IR") and not facts.is_type("FFE")
    is_late = (facts.echo_time or 0) > _LATEST_GRADIENT_TE_S
    return "SE" in facts.scanning or facts.is_type("SE", "TSE") or is_prepared or is_late


def has_inversion(facts: SeriesFacts) -> bool:
    """Tell whether an inversion pulse precedes the excitation."""
    return (
        "IR" in facts.scanning
        or bool(facts.options & {"IR", "IR_GEMS"})
        or facts.is_type("IR")
        or bool(facts.inversion_time)
    )


def ernst_ratio(facts: SeriesFacts) -> float | None:
    """Return flip angle over Ernst angle, ``arccos(exp(-TR / T1))``; above 1, T1 weights."""
    if not facts.flip_angle or not facts.repetition_time or facts.repetition_time <= 0:
        return None
    ernst = math.degrees(math.acos(math.exp(-facts.repetition_time / _GREY_T1_S)))
    return facts.flip_angle / ernst
