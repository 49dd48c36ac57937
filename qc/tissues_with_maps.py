"""Parts a brain into CSF, grey and white matter where maps say how likely each tissue is.

A mixture of three normal distributions, weighed with the maps and with the neighbours' classes,
step by step as ANTs' Atropos does it with the settings of MRIQC's workflow. Not here: the maps
(``atlas``), brains without maps and measures (``tissues``).

References
----------
B. Avants et al., An open source multivariate framework for n-tissue segmentation, Neuroinformatics
9(4):381-400, 2011. ANTs 2.5, ``antsAtroposSegmentationImageFilter``; MRIQC 24.0.2,
``workflows.anatomical.base.init_brain_tissue_segmentation``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc.images import Mask
from qc.measure import UndefinedMeasureError
from qc.tissues import TISSUES, Shares

_PRIOR_WEIGHT = 0.1
_NEIGHBOUR_WEIGHT = 0.01
_ROUNDS = 5
_STILL = 1e-3
_LEAST_CHANCE = 1e-10
"""Below it Atropos takes no likelihood and no prior."""
_FEWEST_OF_A_TISSUE = 50
_FEWEST_VOXELS = 1000
_CODES = np.array([0, 1, 1 << 5, 1 << 10], np.uint16)
"""Of no class and of each class: codes of at most 26 neighbours add up without a carry."""
_COUNT = 31
_CHUNK = 1 << 15
"""Voxels at a time: temporary arrays of a whole brain would be mapped anew for each operation."""


@dataclass(frozen=True, slots=True)
class _Brain:
    """The voxels of a brain: intensities, what the maps expect there, and their neighbours.

    ``places`` are theirs in ``codes``, a flat array with a border; ``offsets`` lead to neighbours,
    in groups of the same distance with one over that distance;
    ``parts`` are eight sets of voxels of which no two of a set are neighbours.
    """

    values: NDArray[np.float64]
    expected: NDArray[np.float32]
    codes: NDArray[np.uint16]
    places: NDArray[np.intp]
    offsets: tuple[tuple[float, tuple[int, ...]], ...]
    parts: tuple[NDArray[np.intp], ...]


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Three normal distributions: how much of the brain, mean and variance of each."""

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]


def classify_with_priors(
    volume: NDArray[np.floating],
    brain: Mask,
    priors: NDArray[np.floating],
    voxel_mm: tuple[float, float, float],
) -> Shares:
    """Return the share of each tissue in each voxel of a brain, with maps of where to expect it.

    At most five rounds from the maps' own classes, with maps to the power 0.1 and neighbours with a
    weight of 0.01. Each round updates the classes voxel by voxel, then the shares, then the
    distributions. Where no map reaches, the class that a voxel has stands for a map. Contrast
    does not matter: the maps say which class is which.

    Parameters
    ----------
    priors : ndarray, shape (3, X, Y, Z)
        For CSF, grey and white matter, 0 to 1.
    voxel_mm : tuple of float
        Distance of voxels along each axis.

    Raises
    ------
    UndefinedMeasureError
        The mask is too small, or one of the tissues is found nowhere.
    """
    values = volume[brain].astype(np.float64)
    expected = np.maximum(priors[:, brain], 0).astype(np.float32)
    whole = expected.sum(axis=0)
    expected /= np.where(whole > 0, whole, 1)
    labels = np.where(whole > 0, expected.argmax(axis=0) + 1, 0).astype(np.uint8)
    sizes = np.bincount(labels, minlength=4)[1:]
    if values.size < _FEWEST_VOXELS or (sizes < _FEWEST_OF_A_TISSUE).any():
        raise UndefinedMeasureError("The maps of tissues do not reach into the brain.")
    chances = np.where(labels == np.arange(1, 4)[:, None], expected, np.float32(0))
    mixture = _mixture(values, chances, sizes / sizes.sum())
    voxels = _voxels(values, expected, brain, voxel_mm)
    reached = -np.inf
    for _ in range(_ROUNDS):
        before, reached = reached, _relabel(voxels, labels, mixture)
        _estimate(voxels, labels, mixture, chances)
        labels = (chances.argmax(axis=0) + 1).astype(np.uint8)
        if (np.bincount(labels, minlength=4)[1:] < _FEWEST_OF_A_TISSUE).any():
            raise UndefinedMeasureError("A tissue was found nowhere in the brain.")
        mixture = _mixture(values, chances, chances.sum(axis=1, dtype=np.float64) / values.size)
        if reached - before < _STILL:
            break
    # The last distributions give the shares that Atropos writes.
    _estimate(voxels, labels, mixture, chances)
    found: Shares = {}
    for name, row in zip(TISSUES, chances, strict=True):
        found[name] = np.zeros(volume.shape, dtype=np.float64)
        found[name][brain] = row
    return found


def _mixture(
    values: NDArray[np.float64], chances: NDArray[np.float32], weights: NDArray[np.float64]
) -> _Mixture:
    sums = np.zeros((3, 3))
    middle = float(values.mean())
    for part in _chunks(values.size):
        away = values[part] - middle
        sums += chances[:, part] @ np.stack([np.ones_like(away), away, away**2], axis=1)
    sizes = np.maximum(sums[:, 0], _LEAST_CHANCE)
    means = sums[:, 1] / sizes
    # A class must not shrink to a single grey level.
    least = 1e-6 * np.maximum(1.0, (means + middle) ** 2)
    return _Mixture(weights, means + middle, np.maximum(sums[:, 2] / sizes - means**2, least))


def _relabel(voxels: _Brain, labels: NDArray[np.uint8], mixture: _Mixture) -> float:
    """Give each voxel its likeliest class, in place; return the mean chance of those classes.

    The maps count without the weights of the classes here, as in ``PerformLocalLabelingUpdate``.
    """
    voxels.codes[voxels.places] = _CODES[labels]
    total = 0.0
    for part in voxels.parts:
        for piece in _chunks(part.size):
            chosen = part[piece]
            near = _neighbours(voxels, chosen)
            chances = _weighed(voxels.values[chosen], voxels.expected[:, chosen], near, mixture)
            best = chances.argmax(axis=0) + 1
            labels[chosen] = best
            voxels.codes[voxels.places[chosen]] = _CODES[best]
            total += float(chances.max(axis=0).sum())
    return total / voxels.values.size


def _estimate(
    voxels: _Brain,
    labels: NDArray[np.uint8],
    mixture: _Mixture,
    chances: NDArray[np.float32],
) -> None:
    """Write the chances of the classes of all voxels into ``chances``."""
    voxels.codes[voxels.places] = _CODES[labels]
    for part in _chunks(voxels.values.size):
        spatial = mixture.weights[:, None] * voxels.expected[:, part]
        whole = spatial.sum(axis=0)
        spatial /= np.where(whole > 0, whole, 1)
        # Where no map reaches, Atropos takes the distance from the class, which is 1 inside it.
        nowhere = whole <= 0
        spatial[:, nowhere] = labels[part][nowhere] == np.arange(1, 4)[:, None]
        near = _neighbours(voxels, part)
        chances[:, part] = _weighed(voxels.values[part], spatial, near, mixture)


def _weighed(
    values: NDArray[np.float64],
    spatial: NDArray[np.floating],
    neighbours: NDArray[np.float64],
    mixture: _Mixture,
) -> NDArray[np.float64]:
    spread = mixture.variances[:, None]
    likely = np.exp(-0.5 * (values - mixture.means[:, None]) ** 2 / spread)
    likely /= np.sqrt(2 * np.pi * spread)
    field = np.exp(_NEIGHBOUR_WEIGHT * neighbours)
    field /= field.sum(axis=0)
    found = np.maximum(spatial, _LEAST_CHANCE).astype(np.float64) ** _PRIOR_WEIGHT
    found *= (np.maximum(likely, _LEAST_CHANCE) * field) ** (1 - _PRIOR_WEIGHT)
    return np.asarray(found / found.sum(axis=0))


def _neighbours(voxels: _Brain, chosen: slice | NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the sum of one over the distance of the neighbours of each class, shape (3, N)."""
    places = voxels.places[chosen]
    found = np.zeros((3, places.size))
    for weight, offsets in voxels.offsets:
        counts = np.zeros(places.size, np.uint16)
        for offset in offsets:
            counts += voxels.codes[places + offset]
        for row in range(3):
            found[row] += weight * ((counts >> (5 * row)) & _COUNT)
    return found


def _voxels(
    values: NDArray[np.float64],
    expected: NDArray[np.float32],
    brain: Mask,
    voxel_mm: tuple[float, float, float],
) -> _Brain:
    box = np.pad(brain[ndimage.find_objects(brain.astype(np.uint8))[0]], 1)
    strides = np.array([box.shape[1] * box.shape[2], box.shape[2], 1])
    groups: dict[float, list[int]] = {}
    for step in product((-1, 0, 1), repeat=3):
        distance_mm = float(np.linalg.norm(np.array(step) * voxel_mm))
        if distance_mm:
            groups.setdefault(round(distance_mm, 6), []).append(int(strides @ step))
    where = np.nonzero(box)
    parity = (where[0] % 2) * 4 + (where[1] % 2) * 2 + where[2] % 2
    return _Brain(
        values=values,
        expected=expected,
        codes=np.zeros(box.size, np.uint16),
        places=np.flatnonzero(box),
        offsets=tuple((1 / distance_mm, tuple(each)) for distance_mm, each in groups.items()),
        parts=tuple(np.flatnonzero(parity == number) for number in range(8)),
    )


def _chunks(size: int) -> Iterator[slice]:
    for start in range(0, size, _CHUNK):
        yield slice(start, min(start + _CHUNK, size))
