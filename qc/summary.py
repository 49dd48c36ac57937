"""Weighted statistics of one tissue or region, which the spatial measures are made of.

Same numbers as ``mriqc.qc.anatomical.summary_stats`` (24.0.2). Not here: the measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.measure import UndefinedMeasureError

MAD_TO_SIGMA = 0.6744897501960817
"""Third quartile of the standard normal distribution."""
_WEIGHT_DECIMALS = 3
_DECIMALS = 4
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of one region, in the image's own unit (``count`` in voxels).

    ``stdv`` is the weighted standard deviation without Bessel's correction; ``mad`` the median
    absolute deviation around the weighted median of the voxels above half of the largest weight,
    scaled to agree with ``stdv`` on normal data; ``kurtosis`` is Fisher's (0 for normal data).
    """

    mean: float
    median: float
    p05: float
    p95: float
    stdv: float
    mad: float
    kurtosis: float
    count: float


def rounding_scale(data: NDArray[np.floating]) -> float:
    """Return the power of ten that brings an image's bright values to a hundred or more.

    Statistics are taken of whole numbers, as MRIQC takes them; an image whose values lie between
    0 and 1 would be lost by that. 1.0 for images as scanners store them.
    """
    top = float(np.percentile(np.abs(data), 99.0)) if data.size else 0.0
    if top >= 100 or top <= 0:  # noqa: PLR2004 - three digits
        return 1.0
    return float(10.0 ** min(np.ceil(np.log10(100.0 / top)), 30))


def summarise(data: NDArray[np.floating], weights: NDArray[np.generic]) -> Summary:
    """Return the statistics of a region.

    Parameters
    ----------
    data : ndarray
        Any shape. Rounded to whole numbers first: see `rounding_scale`.
    weights : ndarray
        Same shape: a mask, or the share of a tissue in each voxel (0 to 1).

    Raises
    ------
    UndefinedMeasureError
        All weights are zero.
    """
    exact = np.asarray(weights, dtype=np.float64).ravel()
    rounded_weights = np.round(exact.astype(np.float32), _WEIGHT_DECIMALS).astype(np.float64)
    used = rounded_weights > 0
    if not used.any():
        raise UndefinedMeasureError("The region it is measured in is empty.")
    values = np.round(np.asarray(data, dtype=np.float64).ravel()[used])
    kept = rounded_weights[used]
    total = kept.sum()
    mean = float((values * kept).sum() / total)
    variance = float((kept * (values - mean) ** 2).sum() / total)
    p05, median, p95 = _quantiles(values, kept, (0.05, 0.5, 0.95))
    core = np.asarray(data, dtype=np.float64).ravel()[exact > 0.5 * exact.max()]
    centred = core - core.mean()
    second = float(np.mean(centred**2))
    kurtosis = float(np.mean(centred**4) / second**2 - 3.0) if second > 0 else float("nan")
    mad = float(np.median(np.abs(core - median)) / MAD_TO_SIGMA)
    # Four decimals, as MRIQC keeps: without them ratios of small numbers differ in the sixth digit.
    return Summary(
        mean=round(mean, _DECIMALS),
        median=round(median, _DECIMALS),
        p05=round(p05, _DECIMALS),
        p95=round(p95, _DECIMALS),
        stdv=round(float(np.sqrt(variance)), _DECIMALS),
        mad=round(mad, _DECIMALS),
        kurtosis=round(kurtosis, _DECIMALS),
        count=float(exact.sum()),
    )


def _quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], shares: tuple[float, ...]
) -> tuple[float, ...]:
    """Return weighted quantiles, as ``statsmodels`` defines them (SAS PCTLDEF=5)."""
    distinct, inverse = np.unique(values, return_inverse=True)
    reached = np.cumsum(np.bincount(inverse.ravel(), weights))
    found = []
    for share in shares:
        target = share * reached[-1]
        place = min(int(np.searchsorted(reached, target)), len(reached) - 1)
        value = distinct[place]
        if abs(target - reached[place]) < _TOLERANCE and place < len(reached) - 1:
            value = (value + distinct[place + 1]) / 2
        found.append(float(value))
    return tuple(found)
