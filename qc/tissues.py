"""Parts a brain into CSF, grey and white matter by intensity alone, and measures of those parts.

A mixture of three normal distributions on the histogram. Not here: finding the brain, brains with
maps of where each tissue is likely (``tissues_with_maps``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.images import Mask
from qc.measure import UndefinedMeasureError

TISSUES = ("csf", "gm", "wm")
Shares = dict[str, NDArray[np.float64]]
"""Share of each tissue in each voxel, 0 to 1, by its name; 0 outside the brain."""

_BINS = 512
_MOST_ROUNDS = 300
_STILL = 1e-7
_START_PERCENTILES = (10.0, 50.0, 85.0)
_FEWEST_PEAK_DISTANCE = 0.5
_LEAST_SHARE = 1e-3
_LEAST_WEIGHT = 0.01
_CLEARLY_APART = 2.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """Three normal distributions, the darkest first: weights, means, standard deviations."""

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    sigmas: NDArray[np.float64]


def classify(volume: NDArray[np.floating], brain: Mask, *, is_t1w: bool = True) -> Shares:
    """Return the share of each tissue in each voxel of a brain.

    Parameters
    ----------
    is_t1w : bool
        True where white matter is the brightest and CSF the darkest; False for the reverse order
        of T2w images.

    Raises
    ------
    UndefinedMeasureError
        The mask is empty or constant, or no three tissues can be told apart in it.
    """
    inside = volume[brain].astype(np.float64)
    mixture = fit_mixture(inside)
    gaps = np.diff(mixture.means) / np.maximum(mixture.sigmas[1:], mixture.sigmas[:-1])
    if (gaps < _FEWEST_PEAK_DISTANCE).any() or (mixture.weights < _LEAST_WEIGHT).any():
        raise UndefinedMeasureError("Three tissues cannot be told apart by their intensity.")
    names = TISSUES if is_t1w else TISSUES[::-1]
    posterior = posteriors(inside, mixture)
    found: Shares = {}
    for row, name in enumerate(names):
        shares = np.zeros(volume.shape, dtype=np.float64)
        # Below this a share is a tail of the other tissues' distributions, not a tissue.
        shares[brain] = np.where(posterior[row] < _LEAST_SHARE, 0.0, posterior[row])
        found[name] = shares
    return {name: found[name] for name in TISSUES}


def is_clear(volume: NDArray[np.floating], brain: Mask) -> bool:
    """Return whether intensity alone parts the tissues: no two of them overlap.

    Neighbouring means are more than twice the sum of their standard deviations apart: so in
    phantoms, never in a living brain, whose voxels hold more than one tissue.

    Raises
    ------
    UndefinedMeasureError
        There are fewer than 1000 voxels, or they are all the same.
    """
    mixture = fit_mixture(volume[brain].astype(np.float64))
    apart = np.diff(mixture.means) / (mixture.sigmas[1:] + mixture.sigmas[:-1])
    return bool((apart > _CLEARLY_APART).all() and (mixture.weights > _LEAST_WEIGHT).all())


def volume_fractions(shares: Shares) -> dict[str, float]:
    """Return the share of each tissue in the intracranial volume, 0 to 1.

    Neither direction is better; usual in adults: CSF 0.2, grey 0.45, white 0.35. Breaks: a brain
    mask that loses CSF or keeps dura.

    References
    ----------
    MRIQC 24.0.2, ``qc.anatomical.volume_fraction``.
    """
    sums = {name: float(shares[name].sum()) for name in TISSUES}
    total = sum(sums.values())
    if not total > 0:
        raise UndefinedMeasureError("No tissue was found.")
    return {name: each / total for name, each in sums.items()}


def partial_volume(shares: NDArray[np.float64]) -> float:
    """Return the residual partial voluming of one tissue; lower is better.

    How far the shares between their 2nd and 98th percentile lie from 0 or 1, summed, over the
    number of voxels with any share. Breaks: it depends on the classifier as much as on the image.

    References
    ----------
    MRIQC 24.0.2, ``qc.anatomical.rpve``: the sum runs over all voxels of the image there, also
    those without the tissue, which count 1 each. That is kept, so that values can be compared.
    """
    clipped = np.clip(shares, 0.0, 1.0)
    present = clipped > 0
    if not present.any():
        raise UndefinedMeasureError("This tissue was not found.")
    low, high = np.percentile(clipped[present], (2, 98))
    kept = np.where((clipped < low) | (clipped > high), 0.0, clipped)
    mostly = kept > 0.5  # noqa: PLR2004 - half a voxel
    return float((kept[mostly].sum() + (1.0 - kept[~mostly]).sum()) / present.sum())


def fuzzy_overlap(shares: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Return the overlap of a tissue with where it is expected, 0 to 1; neither end is a fault.

    Sum of the smaller over sum of the larger of both in each voxel. Breaks: brains unlike the
    average (age, illness), a failed fit.

    References
    ----------
    MRIQC 24.0.2, ``interfaces.anatomical.fuzzy_jaccard``.
    """
    whole = float(np.maximum(shares, expected).sum())
    if not whole > 0:
        raise UndefinedMeasureError("This tissue is neither found nor expected anywhere.")
    return float(np.minimum(shares, expected).sum()) / whole


def artifact_share(air: Mask, artifacts: Mask) -> float:
    """Return the share of the air that artifacts fill (QI1); lower is better, 0 is clean.

    ``artifacts / (air + artifacts)``, where ``air`` is without them. Breaks: zeroed backgrounds.

    References
    ----------
    B. Mortamet et al., Magn Reson Med 62(2):365-372, 2009. MRIQC 24.0.2 always finds 0 by a
    fault in its artifact mask; the formula is the same, the mask is not, hence the name.
    """
    clean, spoilt = int(air.sum()), int(artifacts.sum())
    if not clean:
        raise UndefinedMeasureError("There is no air to measure in.")
    return spoilt / (clean + spoilt)


def fit_mixture(values: NDArray[np.float64], start: Mixture | None = None) -> Mixture:
    """Fit three normal distributions to the histogram of values by expectation and maximisation.

    Parameters
    ----------
    start : Mixture, optional
        Where to begin; without it at the 10th, 50th and 85th percentile.

    Raises
    ------
    UndefinedMeasureError
        There are fewer than 1000 values, or they are all the same.
    """
    if values.size < 1000:  # noqa: PLR2004 - MRIQC's limit for a segmentation
        raise UndefinedMeasureError("The brain mask has fewer than 1000 voxels.")
    low, high = np.percentile(values, (0.5, 99.5))
    if not high > low:
        raise UndefinedMeasureError("The brain is constant.")
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    span = high - low
    mixture = start or Mixture(
        np.full(3, 1 / 3), np.percentile(values, _START_PERCENTILES), np.full(3, span / 10)
    )
    previous = -np.inf
    for _ in range(_MOST_ROUNDS):
        parts = mixture.weights[:, None] * _densities(centres, mixture)
        whole = np.maximum(parts.sum(axis=0), 1e-300)
        likelihood = float((counts * np.log(whole)).sum()) / counts.sum()
        if likelihood - previous < _STILL:
            break
        previous = likelihood
        duty = parts / whole * counts
        sizes = np.maximum(duty.sum(axis=1), 1e-9)
        means = (duty * centres).sum(axis=1) / sizes
        spread = np.sqrt((duty * (centres - means[:, None]) ** 2).sum(axis=1) / sizes)
        # A class must not shrink to a single grey level.
        mixture = Mixture(sizes / counts.sum(), means, np.maximum(spread, span / 200))
    order = np.argsort(mixture.means)
    return Mixture(mixture.weights[order], mixture.means[order], mixture.sigmas[order])


def posteriors(values: NDArray[np.float64], mixture: Mixture) -> NDArray[np.float64]:
    """Return the probability of each distribution for each value, shape (3, N).

    Beyond the outer means the nearest one is certain: wide classes must not come back there.
    """
    held = np.clip(values, mixture.means[0], mixture.means[-1])
    parts = mixture.weights[:, None] * _densities(held, mixture)
    return np.asarray(parts / np.maximum(parts.sum(axis=0), 1e-300))


def _densities(values: NDArray[np.float64], mixture: Mixture) -> NDArray[np.float64]:
    scaled = (values - mixture.means[:, None]) / mixture.sigmas[:, None]
    return np.asarray(np.exp(-0.5 * scaled**2) / mixture.sigmas[:, None])
