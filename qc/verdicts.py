"""Pass or review, with reasons; never an exclusion, and review wherever the data do not say pass.

Not here: what people decided (``ratings``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from qc.definitions import definition_of
from qc.norms import FEWEST_IMAGES, Norm, Stratum, column_of, norm_of, norms_without_each

FARTHEST = 3.5
"""Robust z beyond which a value is unusual (Iglewicz and Hoaglin 1993, How to detect and handle
outliers, section 3.3: 3.5 for the modified z-score)."""

JUDGED: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "T1w": ("cjv", "cnr", "snr_total", "snrd_total", "efc", "fber", "fwhm_avg", "inu_range",
            "air_artifacts", "noise_sigma", "raw_snrd_total", "raw_fber"),
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


@dataclass(frozen=True, slots=True)
class ComparedMeasure:
    """One judged measure over the images of a stratum.

    Attributes
    ----------
    name : str
        The measure's.
    values : tuple of float or None
        By row; None where an image has no value.
    norm : Norm or None
        Of all images; None where too few have a value.
    reasons : tuple of str or None
        By row: why an image's value is unusual among all others, None where it is not.
    """

    name: str
    values: tuple[float | None, ...]
    norm: Norm | None
    reasons: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The images of a stratum among themselves: judged measures, and a judgement for each row."""

    measures: tuple[ComparedMeasure, ...]
    judgements: tuple[Judgement, ...]


def compare(stratum: Stratum) -> Comparison:
    """Compare the images of one protocol, each with all others.

    Only the judged measures that any of them has are compared. Pass needs a norm, and every such
    measure must be there and not be unusual in the bad direction. All else is review.
    """
    names = JUDGED.get(stratum.rows[0].modality, ()) if stratum.rows else ()
    compared = (_compare(name, stratum) for name in names)
    measures = tuple(each for each in compared if any(value is not None for value in each.values))
    judgements = tuple(_judge(row, measures, stratum) for row in range(len(stratum.rows)))
    return Comparison(measures, judgements)


def _compare(name: str, stratum: Stratum) -> ComparedMeasure:
    column = column_of(stratum.rows, name)
    values = tuple(None if np.isnan(value) else float(value) for value in column)
    reasons = tuple(
        None if value is None or norm is None else _unusual(name, value, norm)
        for value, norm in zip(values, norms_without_each(column), strict=True)
    )
    return ComparedMeasure(name, values, norm_of(column), reasons)


def _judge(row: int, measures: tuple[ComparedMeasure, ...], stratum: Stratum) -> Judgement:
    if not stratum.has_norm:
        count = len(stratum.rows)
        return Judgement(
            Verdict.REVIEW,
            (f"No norm yet: {count} of the {FEWEST_IMAGES} images of this protocol.",),
        )
    with_norm = [measure for measure in measures if measure.norm is not None]
    reasons = [reason for measure in with_norm if (reason := _objection(measure, row)) is not None]
    if not with_norm:
        reasons.append("None of the judged measures has a norm.")
    return Judgement(Verdict.REVIEW if reasons else Verdict.PASS, tuple(reasons))


def _objection(measure: ComparedMeasure, row: int) -> str | None:
    if measure.values[row] is None:
        return f"{measure.name} has no value, but has one in most images of this protocol."
    return measure.reasons[row]


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
