"""A head as the fits see it: a coarse copy of an image with its brain and its outline.

Not here: files (``images``), the fits themselves (``registration``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from containers.deface.grids import distance_outside, factors_for, reduced
from containers.deface.template import Field, Grid
from qc.brain_mask import BrainMaskNetwork, main_body

_WORKING_MM = 2.0
_NOISE_SIGMAS = 4.0
_CLOSING_MM = 6.0
_PADDING = 4
_BRIGHT = 99.0
_LEAST_TISSUE = 0.1
"""Of the bright tissue: below it is air, whatever the noise."""


@dataclass(frozen=True, slots=True)
class Head:
    """The coarse copy.

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


def see_head(
    volume: Field, voxel_mm: tuple[float, float, float], network: BrainMaskNetwork
) -> Head:
    """Return the coarse copy of an image whose axes point right, front and up."""
    full = Grid(volume.shape, voxel_mm, (0.0, 0.0, 0.0))
    coarse, grid = reduced(volume, full, factors_for(full, _WORKING_MM))
    found = network.predict(coarse)
    brain = main_body(found, grid.spacing_mm)
    voxel_ml = float(np.prod(grid.spacing_mm)) / 1000
    rest = float(((found > 0.5) & ~brain).sum()) * voxel_ml  # noqa: PLR2004 - the network's own threshold
    return Head(grid, full, coarse, brain, rest, find_tissue(coarse))


def find_tissue(volume: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which voxels are brighter than the noise of air.

    The noise is measured where the image is darkest: half of its voxels or more are air. Exact
    zeros, as defacing leaves them, count as air and not as its noise.
    """
    values = np.abs(volume)
    measured = values[values > 0]
    if measured.size == 0:
        return np.zeros(volume.shape, bool)
    bright = float(np.percentile(measured, _BRIGHT))
    dark = measured[measured < _LEAST_TISSUE * bright]
    noise = float(dark.mean() + _NOISE_SIGMAS * dark.std()) if dark.size else 0.0
    level = min(max(noise, _LEAST_TISSUE * bright), 0.5 * bright)
    return np.asarray(values > level)


def outline(tissue: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """Return the largest body of tissue, closed and without holes."""
    labels, count = ndimage.label(tissue)
    if count == 0:
        return tissue
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = np.pad(labels == int(sizes.argmax()), _PADDING)
    padded = replace(grid, shape=body.shape)
    grown = distance_outside(body, padded) <= _CLOSING_MM / 2
    closed = distance_outside(~grown, padded) > _CLOSING_MM / 2
    filled = ndimage.binary_fill_holes(closed | body)
    inner = slice(_PADDING, -_PADDING)
    return np.asarray(filled[inner, inner, inner])
