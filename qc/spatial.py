"""Measures of one volume: signal, noise, contrast, sharpness; formulas as in MRIQC.

Each function is one measure, with formula, unit, direction, reference, and what breaks it. All
raise `UndefinedMeasureError` where the formula has no value. Not here: masks, statistics.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc.images import Mask
from qc.measure import UndefinedMeasureError

DIETRICH_FACTOR = 0.6551364
"""sqrt(2 - pi/2): standard deviation of Rayleigh noise over that of its real part."""
_LEAST_AIR_MAD = 1.0
_LEAST_AIR_STDV = 1e-3
_LEAST_AIR_ENERGY = 1e-3
_FEWEST_NEIGHBOURS = 100


def snr(median: float, stdv: float, count: float) -> float:
    """Return the signal-to-noise ratio of one region; higher is better.

    ``median / (stdv * sqrt(n / (n - 1)))``, no unit. Breaks: the standard deviation holds
    anatomy and shading too, so in BOLD it hardly changes with noise and rises with blur.

    References
    ----------
    MRIQC 24.0.2, ``qc.anatomical.snr``.
    """
    if not stdv > 0 or count <= 1:
        raise UndefinedMeasureError("The region has no variation, so its noise is not known.")
    return float(median / (stdv * sqrt(count / (count - 1))))


def snr_dietrich(median: float, mad_air: float, stdv_air: float = 0.0) -> float:
    """Return the signal-to-noise ratio against the air; higher is better.

    ``0.655 median / MAD(air)``, no unit; the factor turns Rayleigh into Gaussian noise. Where
    that deviation is 1 or less the standard deviation stands for it. Breaks: parallel imaging and
    several coils (the noise is no longer Rayleigh), a background that was filled with zeros,
    filtered, or stored in few grey levels.

    References
    ----------
    O. Dietrich et al., J Magn Reson Imaging 26(2):375-385, 2007, eq. A.12; MRIQC 24.0.2,
    ``qc.anatomical.snr_dietrich``.
    """
    noise = mad_air if mad_air > _LEAST_AIR_MAD else stdv_air
    if not noise > _LEAST_AIR_STDV:
        raise UndefinedMeasureError(
            "The air around the head has no measurable noise (zeroed, filtered or few grey levels)."
        )
    return float(DIETRICH_FACTOR * median / noise)


def air_noise(values: NDArray[np.floating]) -> float:
    """Return the noise in the air, as the spread of its real part, in the image's unit.

    ``median / sqrt(2 ln 2)``, as Rayleigh's distribution has it. The median is that of grouped
    data: each grey level stands for all values nearest to it, so noise of a few grey levels is
    not rounded to one of them, and noise that is added always raises it. Breaks: parallel imaging
    and several coils (too high), filtered air (too low); what fills more than half of the air.

    Raises
    ------
    UndefinedMeasureError
        There are no values, or all are zero.

    References
    ----------
    H. Gudbjartsson, S. Patz, The Rician distribution of noisy MRI data, Magn Reson Med
    34(6):910-914, 1995.
    """
    levels, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    if not levels.size or not levels[-1] > 0:
        raise UndefinedMeasureError("There is no air, or it was zeroed.")
    between = (levels[1:] + levels[:-1]) / 2
    edges = np.concatenate([levels[:1], between, levels[-1:]])
    reached = np.concatenate([[0], np.cumsum(counts)])
    return float(np.interp(reached[-1] / 2, reached, edges)) / float(np.sqrt(2 * np.log(2)))


def cnr(
    median_wm: float, median_gm: float, stdv_air: float, stdv_wm: float, stdv_gm: float
) -> float:
    """Return the contrast-to-noise ratio of white and grey matter; higher is better.

    ``|wm - gm| / sqrt(s_air^2 + s_wm^2 + s_gm^2)``, no unit. Breaks: shading counts as noise.

    References
    ----------
    V. Magnotta, L. Friedman, J Digit Imaging 19(2):140-147, 2006.
    """
    noise = sqrt(stdv_air**2 + stdv_gm**2 + stdv_wm**2)
    if not noise > 0:
        raise UndefinedMeasureError("Tissues and air have no variation at all.")
    return float(abs(median_wm - median_gm) / noise)


def cjv(median_wm: float, median_gm: float, mad_wm: float, mad_gm: float) -> float:
    """Return the coefficient of joint variation; lower is better.

    ``(s_wm + s_gm) / |wm - gm|`` with scaled median absolute deviations, no unit. Rises with
    noise, shading and motion. Breaks: wrong tissue classes.

    References
    ----------
    M. Ganzetti et al., Front Neuroinform 10:10, 2016.
    """
    if median_wm == median_gm:
        raise UndefinedMeasureError("White and grey matter have the same median intensity.")
    return float((mad_wm + mad_gm) / abs(median_wm - median_gm))


def fber(volume: NDArray[np.floating], head: Mask) -> float:
    """Return the foreground-background energy ratio; higher is better.

    ``median(inside^2) / median(outside^2)``, no unit. Breaks: a zeroed background (undefined;
    MRIQC says -1).

    References
    ----------
    Z. Shehzad et al., Front Neurosci conference abstract, 2015,
    doi:10.3389/conf.fnins.2015.91.00047.
    """
    inside, outside = volume[head], volume[~head]
    if not inside.size or not outside.size:
        raise UndefinedMeasureError("The mask fills the image or is empty.")
    energy = float(np.median(np.abs(outside) ** 2))
    if energy < _LEAST_AIR_ENERGY:
        raise UndefinedMeasureError("There is no signal outside the mask: the background is zero.")
    return float(np.median(np.abs(inside) ** 2)) / energy


def efc(volume: NDArray[np.floating]) -> float:
    """Return the entropy focus criterion; lower is better.

    Shannon entropy of voxel intensities over its largest value for that many voxels: 0 when all
    energy is in one voxel, 1 when it is spread evenly. Ghosts, blur and noise raise it. Breaks:
    zeroing part of the image (defacing, masking) lowers it.

    Parameters
    ----------
    volume : ndarray
        Negative values count as 0.

    References
    ----------
    D. Atkinson et al., IEEE Trans Med Imaging 16(6):903-910, 1997.
    """
    values = np.asarray(volume, dtype=np.float64).ravel()
    values = values[values > 0]
    count = volume.size
    if not values.size or count < 2:  # noqa: PLR2004 - the entropy of one voxel is nothing
        raise UndefinedMeasureError("The image holds no signal.")
    values /= values.max()
    shares = values / np.sqrt((values**2).sum())
    largest = sqrt(count) * np.log(1.0 / sqrt(count))
    return float((shares * np.log(shares)).sum() / largest)


def wm2max(volume: NDArray[np.floating], median_wm: float) -> float:
    """Return white matter over the brightest voxels; usual between 0.6 and 0.8.

    ``median(wm) / P99.95(volume)``, no unit. Low values: bright vessels, fat or spikes draw out
    the range. Breaks: defacing raises it (fat is gone).

    References
    ----------
    MRIQC 24.0.2, ``qc.anatomical.wm2max``.
    """
    top = float(np.percentile(volume, 99.95))
    if not top > 0:
        raise UndefinedMeasureError("The image has no bright voxel.")
    return median_wm / top


def fwhm(volume: NDArray[np.floating], mask: Mask) -> tuple[float | None, ...]:
    """Return the smoothness along each axis, in voxels; lower is sharper.

    Forman's estimate from differences of neighbours in the mask:
    ``sqrt(-2 ln 2 / ln(1 - var(difference) / (2 var)))``. None along an axis with too few
    neighbours, or where neighbours differ as if independent. Breaks: noise biases it down.

    References
    ----------
    S. Forman et al., Magn Reson Med 33(5):636-647, 1995; AFNI ``3dFWHMx -ShowMeClassicFWHM``.
    """
    inside = volume[mask].astype(np.float64)
    variance = float(inside.var()) if inside.size else 0.0
    if not variance > 0:
        raise UndefinedMeasureError("The image does not vary inside the mask.")
    return tuple(_fwhm_along(volume, mask, variance, axis) for axis in range(3))


def _fwhm_along(
    volume: NDArray[np.floating], mask: Mask, variance: float, axis: int
) -> float | None:
    ahead: list[slice] = [slice(None)] * 3
    behind: list[slice] = [slice(None)] * 3
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    both = mask[tuple(ahead)] & mask[tuple(behind)]
    if np.count_nonzero(both) < _FEWEST_NEIGHBOURS:
        return None
    steps = (volume[tuple(ahead)][both] - volume[tuple(behind)][both]).astype(np.float64)
    share = 1.0 - float(steps.var()) / (2 * variance)
    if not 0 < share < 1:
        return None
    return sqrt(-2.0 * np.log(2.0) / np.log(share))


def noise_sigma(volume: NDArray[np.floating], head: Mask) -> float:
    """Return the noise inside the head, in the image's unit; no tissue mask; lower is better.

    Median absolute value of the three-dimensional second difference (the product of
    [1, -2, 1]/sqrt(6) along each axis longer than 2), scaled to a standard deviation. Breaks:
    smoothing by the scanner lowers it; fine texture raises it.

    References
    ----------
    J. Immerkaer, Comput Vis Image Underst 64(2):300-302, 1996, with a median in place of the mean
    and one dimension more.
    """
    residue = np.asarray(volume, dtype=np.float64)
    kernel = np.array([1.0, -2.0, 1.0]) / sqrt(6.0)
    axes = [axis for axis in range(3) if volume.shape[axis] > 2]  # noqa: PLR2004 - kernel
    if not axes:
        raise UndefinedMeasureError("The image is too small for differences of neighbours.")
    for axis in axes:
        residue = ndimage.convolve1d(residue, kernel, axis=axis, mode="nearest")
    # At the border of the image a difference lacks a neighbour.
    inner = tuple(slice(1, -1) if axis in axes else slice(None) for axis in range(3))
    inside = residue[inner][head[inner]]
    if not inside.size:
        raise UndefinedMeasureError("The mask is empty.")
    sigma = float(np.median(np.abs(inside)) / 0.6744897501960817)
    if not sigma > 0:
        raise UndefinedMeasureError("Neighbouring voxels do not differ: the noise was removed.")
    return sigma
