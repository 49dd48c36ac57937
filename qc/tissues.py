"""Parts a brain into CSF, grey and white matter, and measures of those parts.

With maps of where each tissue is likely: a mixture of three normal distributions, weighed with
those maps and with the neighbours' classes, as ANTs' Atropos does it in MRIQC. Without maps: the
same mixture on the histogram alone. Not here: finding the brain, the maps (``atlas``).

References
----------
B. Avants et al., An open source multivariate framework for n-tissue segmentation, Neuroinformatics
9(4):381-400, 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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
_PRIOR_WEIGHT = 0.1
_NEIGHBOUR_WEIGHT = 0.01
_NEIGHBOUR_STEP = 2**-0.5
"""Neighbours across a face, an edge, a corner weigh 1, .71 and .5 over the distance of voxels."""
_FEWEST_OF_A_TISSUE = 50
_PRIOR_ROUNDS = 5
_STILL_SUM = 1e-3
_LEAST_CHANCE = 1e-10
"""Below it Atropos takes no likelihood and no prior."""


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


def classify_with_priors(
    volume: NDArray[np.floating], brain: Mask, priors: NDArray[np.floating], spacing_mm: float
) -> Shares:
    """Return the share of each tissue in each voxel of a brain, with maps of where to expect it.

    At most six rounds of expectation and maximisation from the maps' own classes, with MRIQC's
    settings of Atropos: maps to the power 0.1, neighbours with a weight of 0.01. Contrast does
    not matter: the maps say which class is which.

    Parameters
    ----------
    priors : ndarray, shape (3, X, Y, Z)
        For CSF, grey and white matter, 0 to 1.
    spacing_mm : float
        Mean distance of voxels.

    Raises
    ------
    UndefinedMeasureError
        The mask is too small, or one of the tissues is found nowhere.
    """
    inside = volume[brain].astype(np.float64)
    expected = np.maximum(priors[:, brain].astype(np.float64), 0)
    whole = expected.sum(axis=0)
    expected = np.divide(expected, whole, out=np.zeros_like(expected), where=whole > 0)
    labels = np.where(whole > 0, expected.argmax(axis=0), -1)
    chances = np.where(labels == np.arange(3)[:, None], expected, 0.0)
    sizes = np.array([np.count_nonzero(labels == row) for row in range(3)])
    if inside.size < 1000 or (sizes < _FEWEST_OF_A_TISSUE).any():  # noqa: PLR2004 - as in classify
        raise UndefinedMeasureError("The maps of tissues do not reach into the brain.")
    weights = sizes / sizes.sum()
    reached = [0.0]
    # Atropos estimates once more after its last round, from the parameters of that round.
    for number in range(_PRIOR_ROUNDS + 1):
        is_last = number == _PRIOR_ROUNDS or (number > 1 and reached[-1] - reached[-2] < _STILL_SUM)
        likely = _likelihoods(inside, chances)
        chances = _weighed(likely, weights, expected, _neighbours(labels, brain) / spacing_mm)
        labels = chances.argmax(axis=0)
        weights = chances.sum(axis=1) / inside.size
        reached.append(float(chances.max(axis=0).mean()))
        if is_last:
            break
    if (np.bincount(labels, minlength=3) < _FEWEST_OF_A_TISSUE).any():
        raise UndefinedMeasureError("A tissue was found nowhere in the brain.")
    found: Shares = {}
    for name, row in zip(TISSUES, chances, strict=True):
        found[name] = np.zeros(volume.shape, dtype=np.float64)
        found[name][brain] = row
    return found


def _likelihoods(values: NDArray[np.float64], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    sizes = np.maximum(chances.sum(axis=1), _LEAST_CHANCE)
    means = (chances @ values) / sizes
    likely = np.empty_like(chances)
    for row, (mean, size) in enumerate(zip(means, sizes, strict=True)):
        variance = float(chances[row] @ (values - mean) ** 2 / size)
        # A class must not shrink to a single grey level.
        variance = max(variance, 1e-6 * max(1.0, mean**2))
        likely[row] = np.exp(-0.5 * (values - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
    return np.maximum(likely, _LEAST_CHANCE)


def _weighed(
    likely: NDArray[np.float64],
    weights: NDArray[np.float64],
    expected: NDArray[np.float64],
    neighbours: NDArray[np.float64],
) -> NDArray[np.float64]:
    spatial = weights[:, None] * expected
    whole = spatial.sum(axis=0)
    spatial = np.divide(spatial, whole, out=np.zeros_like(spatial), where=whole > 0)
    field = np.exp(_NEIGHBOUR_WEIGHT * neighbours)
    field /= field.sum(axis=0)
    found = np.maximum(spatial, _LEAST_CHANCE) ** _PRIOR_WEIGHT
    found *= (likely * field) ** (1 - _PRIOR_WEIGHT)
    return np.asarray(found / found.sum(axis=0))


def _neighbours(labels: NDArray[np.intp], brain: Mask) -> NDArray[np.float64]:
    """Return the weight of the 26 neighbours of each class, shape (3, voxels of the brain)."""
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    cut = brain[box]
    found = np.empty((3, labels.size))
    kernel = np.array([_NEIGHBOUR_STEP, 1.0, _NEIGHBOUR_STEP])
    for row in range(3):
        own = labels == row
        count = np.zeros(cut.shape, np.float32)
        count[cut] = own
        for axis in range(3):
            count = ndimage.convolve1d(count, kernel, axis=axis, mode="constant")
        found[row] = (count[cut] - own) / _NEIGHBOUR_STEP
    return found


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
