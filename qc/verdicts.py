"""Pass or review, with reasons; never an exclusion, and review wherever the data do not say pass.

Not here: what people decided (``ratings``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from qc.definitions import definition_of
from qc.norms import FEWEST_IMAGES, Norm, Stratum, measured, norm_of
from qc.pool import Row

FARTHEST = 3.5
"""Robust z beyond which a value is unusual (Iglewicz and Hoaglin 1993, How to detect and handle
outliers, section 3.3: 3.5 for the modified z-score)."""

JUDGED: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "T1w": ("cjv", "cnr", "snr_total", "snrd_total", "efc", "fber", "fwhm_avg", "inu_range",
            "air_artifacts", "noise_sigma"),
    "T2w": ("efc", "fber", "fwhm_avg", "head_snr", "air_artifacts", "noise_sigma"),
    "bold": ("fd_mean", "fd_perc", "tsnr", "dvars_nstd", "dvars_peak_ratio", "gsr_x", "gsr_y",
             "aqi", "efc", "slice_z_max", "kspace_z_max", "drift"),
    "dwi": ("b0_snr", "b0_motion_max", "shell_motion_max", "slice_dropout_max",
            "neighbour_correlation", "cnr_min", "efc"),
    "eeg": ("bad_channels_perc", "flat_perc", "saturated_perc", "line_noise_db", "slow_share"),
    "meg": ("bad_channels_perc", "flat_perc", "saturated_perc", "line_noise_db", "slow_share",
            "head_motion_range"),
})  # fmt: skip
"""At most twelve measures a modality: few, so that chance alone seldom raises one, and each
with a direction that is known to be bad."""


class Verdict(StrEnum):
    """What the software says; there is no ``exclude``: that is for people."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one image and its reasons, sentences for people; empty for a pass."""

    verdict: Verdict
    reasons: tuple[str, ...]


def judge(row: Row, stratum: Stratum) -> Judgement:
    """Return the verdict on an image among the images of its protocol.

    Pass needs a norm, and every judged measure that the protocol's images have must be there and
    not be unusual in the bad direction. All else is review.
    """
    if not stratum.has_norm:
        count = len(stratum.rows)
        return Judgement(
            Verdict.REVIEW,
            (f"No norm yet: {count} of the {FEWEST_IMAGES} images of this protocol.",),
        )
    reasons = []
    compared = 0
    for measure in judged_measures(stratum.rows):
        norm = norm_of(stratum.rows, measure, without=row)
        if norm is None:
            continue
        value = measured(row, measure)
        if value is None:
            reasons.append(f"{measure} has no value, but has one in most images of this protocol.")
            continue
        compared += 1
        reason = _unusual(measure, value, norm)
        if reason:
            reasons.append(reason)
    if not compared and not reasons:
        reasons.append("None of the judged measures has a norm.")
    return Judgement(Verdict.REVIEW if reasons else Verdict.PASS, tuple(reasons))


def judged_measures(rows: Sequence[Row]) -> list[str]:
    """Return the judged measures that any of the rows has, in the table's order."""
    if not rows:
        return []
    names = JUDGED.get(rows[0].modality, ())
    return [name for name in names if any(measured(row, name) is not None for row in rows)]


def is_worse(measure: str, value: float, median: float) -> bool:
    """Tell whether a value lies in the bad direction from the median."""
    better = definition_of(measure).better
    if better == "zero":
        return abs(value) > abs(median)
    return (better == "lower" and value > median) or (better == "higher" and value < median)


def _unusual(measure: str, value: float, norm: Norm) -> str | None:
    distance = norm.distance(value)
    if not is_worse(measure, value, norm.median):
        return None
    if distance is None:
        return (
            f"{measure} is {value:.4g}; most of the {norm.images} other images of this protocol "
            f"have {norm.median:.4g}."
        )
    if abs(distance) <= FARTHEST:
        return None
    side = "above" if distance > 0 else "below"
    return (
        f"{measure} is {value:.4g}, {abs(distance):.1f} robust standard deviations {side} the "
        f"median {norm.median:.4g} of {norm.images} images of this protocol."
    )
