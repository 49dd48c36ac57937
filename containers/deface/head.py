"""A head as the fits see it: a coarse copy of an image with its brain and its outline.

Not here: files (``images``), the fits themselves (``registration``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from containers.deface.grids import distance_outside, factors_for, is_within, reduced
from containers.deface.template import Field, Grid
from qc.brain_mask import BrainMaskNetwork, main_body

WORKING_MM = 2.0
_LAYERS_AT_ONCE = 8
"""Of the coarse copy."""
_NOISE_SIGMAS = 5.0
_CLOSING_MM = 6.0
_PADDING = 4
_BRIGHT, _BRIGHTEST = 99.0, 99.5
_LEAST_TISSUE = 0.1
"""Of the bright tissue: below it is air, whatever the noise."""
_MOST_AIR, _MOST_LEVEL = 0.35, 0.5
"""Of the bright tissue: a mean above the first is no air's, and no level is above the second."""
_BORDER = 3
"""Voxels at each side of the image where air is sought."""
_AIR_PERCENTILES = (10.0, 30.0)
_AIR_SCORES = (-1.2816, -0.5244)
"""Of a normal distribution, at these percentiles."""


@dataclass(frozen=True)
class Head:
    """The coarse copy; in all of its arrays the first axis runs fastest.

    Parameters
    ----------
    volume : ndarray, float32, shape of grid
        Intensities, finite.
    brain : ndarray, bool, shape of grid
        One body, see `qc.brain_mask.main_body`.
    brain_rest_ml : float
        What the network called brain besides this body.
    tissue : ndarray, bool, shape of grid
        Brighter than air.
    is_brain_lent : bool
        Whether the brain is that of another image of the session.
    """

    grid: Grid
    full_grid: Grid
    volume: Field
    brain: NDArray[np.bool_]
    brain_rest_ml: float
    tissue: NDArray[np.bool_]
    is_brain_lent: bool = False

    @property
    def voxel_ml(self) -> float:
        """Return the volume of a voxel in millilitres."""
        return float(np.prod(self.grid.spacing_mm)) / 1000

    @property
    def brain_ml(self) -> float:
        """Return the volume of the brain in millilitres."""
        return float(self.brain.sum()) * self.voxel_ml

    @cached_property
    def from_brain_mm(self) -> Field:
        """Return the distance of each voxel to the brain, 0 inside."""
        return distance_outside(self.brain, self.grid)

    @cached_property
    def outline(self) -> NDArray[np.bool_]:
        """Return the head as one body."""
        return outline(self.tissue, self.grid)


def coarse_copy(
    shape: tuple[int, int, int],
    voxel_mm: tuple[float, float, float],
    layers: Callable[[slice], Field],
) -> tuple[Field, Grid, Grid]:
    """Return a coarse copy of an image, its grid, and the image's own grid.

    Parameters
    ----------
    layers : callable
        Gives some layers of the image; all at once would be the step's largest array.
    """
    full = Grid(shape, voxel_mm, (0.0, 0.0, 0.0))
    factors = factors_for(full, WORKING_MM)
    count = factors[2] * _LAYERS_AT_ONCE
    parts = [
        reduced(layers(slice(first, first + count)), full, factors)
        for first in range(0, shape[2] // factors[2] * factors[2], count)
    ]
    coarse = np.asfortranarray(np.concatenate([part for part, _ in parts], axis=2))
    return coarse, replace(parts[0][1], shape=coarse.shape), full


def see_head(
    volume: Field, voxel_mm: tuple[float, float, float], network: BrainMaskNetwork
) -> Head:
    """Return the coarse copy of an image whose axes point right, front and up."""
    copy = coarse_copy(volume.shape, voxel_mm, lambda heights: volume[:, :, heights])
    return see_coarse_head(*copy, network)


def see_coarse_head(coarse: Field, grid: Grid, full: Grid, network: BrainMaskNetwork) -> Head:
    """Return what `see_head` does, of what `coarse_copy` gave."""
    brain, rest_ml = _brain(network.predict(coarse), grid)
    return Head(grid, full, coarse, brain, rest_ml, np.asfortranarray(find_tissue(coarse)))


def see_head_turned_to_t1(head: Head, network: BrainMaskNetwork) -> Head:
    """Return the head with the brain that the network finds where dark tissue is shown bright.

    The network was made for T1w, and takes skull for brain where fluid is bright and white matter
    dark, as in T2w.
    """
    if not head.tissue.any():
        return head
    bright = float(np.percentile(head.volume[head.tissue], _BRIGHTEST))
    turned = np.where(head.tissue, np.maximum(bright - head.volume, 0), 0).astype(np.float32)
    brain, rest_ml = _brain(network.predict(turned), head.grid)
    return replace(head, brain=brain, brain_rest_ml=rest_ml)


def _brain(found: Field, grid: Grid) -> tuple[NDArray[np.bool_], float]:
    """Return the network's brain as one body, and how many ml it found besides."""
    is_brain = found > 0.5  # noqa: PLR2004 - the network's own threshold
    # A box around it, with a voxel of nothing where the image goes on, has all that counts.
    sides = [np.flatnonzero(is_brain.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    brain = np.zeros(found.shape, bool, order="F")
    if sides[0].size:
        box = tuple(slice(max(0, side[0] - 1), side[-1] + 2) for side in sides)
        brain[box] = main_body(found[box], grid.spacing_mm)
    voxel_ml = float(np.prod(grid.spacing_mm)) / 1000
    return brain, float((is_brain & ~brain).sum()) * voxel_ml


def find_tissue(volume: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which voxels are brighter than air with its noise.

    Where the noise is strong, the image is smoothed by one voxel first.
    """
    values = np.abs(volume)
    measured = values[values > 0]
    if measured.size == 0:
        return np.zeros(volume.shape, bool)
    least = _LEAST_TISSUE * float(np.percentile(measured, _BRIGHT))
    level = air_level(values)
    if level > least:
        values = ndimage.gaussian_filter(values, 1.0)
        level = air_level(values)
    return np.asarray(values > max(level, least))


def air_level(volume: NDArray[np.floating]) -> float:
    """Return the intensity that air with its noise stays below; 0 where no air can be told.

    Air is sought at the sides, the top, the front and the back of the image, where it is the
    darker half at least. Exact zeros, as defacing leaves them, are air without noise.
    """
    values = np.abs(volume)
    positive = values[values > 0]
    if positive.size == 0:
        return 0.0
    bright = float(np.percentile(positive, _BRIGHT))
    border = np.concatenate(
        [
            part.ravel()
            for part in (
                values[:_BORDER],
                values[-_BORDER:],
                values[:, :_BORDER],
                values[:, -_BORDER:],
                values[:, :, -_BORDER:],
            )
        ]
    )
    seen = border[border > 0]
    if seen.size < border.size // 2:
        return 0.0
    # Mean and spread from the darker part alone: what is brighter may be tissue.
    darkest, darker = (float(each) for each in np.percentile(seen, _AIR_PERCENTILES))
    first, second = _AIR_SCORES
    spread = (darker - darkest) / (second - first)
    mean = darker - second * spread
    if mean > _MOST_AIR * bright:
        return 0.0
    return min(mean + _NOISE_SIGMAS * spread, _MOST_LEVEL * bright)


def outline(tissue: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """Return the largest body of tissue, closed and without holes."""
    labels, count = ndimage.label(tissue)
    if count == 0:
        return tissue
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = np.pad(labels == int(sizes.argmax()), _PADDING)
    padded = replace(grid, shape=body.shape)
    grown = is_within(body, padded, _CLOSING_MM / 2)
    closed = ~is_within(~grown, padded, _CLOSING_MM / 2)
    filled = ndimage.binary_fill_holes(closed | body)
    inner = slice(_PADDING, -_PADDING)
    return np.asarray(filled[inner, inner, inner])
