"""Finds head, brain and air in an image with mathematical morphology alone.

For echo-planar images the signal is the brain, nearly; for a T1w the head is found, and the
brain only where the caller brings a mask. Not here: tissue classes (``tissues``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc.images import Mask, Volume
from qc.measure import UndefinedMeasureError

FEWEST_VOXELS = 100
"""A mask with fewer voxels measures nothing; MRIQC has the same limit."""
_BINS = 256
_OPENING_MM = 4.0
_CLOSING_MM = 4.0
_AIR_DISTANCE_MM = 10.0
_COARSE_MM = 3.0
_WIDEST_BALL = 6
"""Voxels: morphology of very small voxels would take hours with a ball in mm."""
_MOST_ZEROS = 0.5
_FEWEST_LEVELS = 3


@dataclass(frozen=True, slots=True)
class Background:
    """The air around a head: its mask, and whether the scanner or a tool emptied it."""

    air: Mask
    is_zeroed: bool


def otsu_threshold(values: NDArray[np.floating]) -> float:
    """Return the value that best parts a histogram in two (largest variance between classes).

    Parameters
    ----------
    values : ndarray
        Any shape; the brightest half percent is clipped first, so that vessels and fat do not
        decide.

    Raises
    ------
    UndefinedMeasureError
        All values are equal.

    References
    ----------
    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans Syst Man
    Cybern 9(1):62-66, 1979.
    """
    top = float(np.percentile(values, 99.5))
    bottom = float(values.min())
    if not top > bottom:
        top = float(values.max())
    if not top > bottom:
        raise UndefinedMeasureError("All voxels of the image have the same value.")
    counts, edges = np.histogram(np.clip(values, bottom, top), bins=_BINS, range=(bottom, top))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(all="ignore"):
        gap = sums / below - (sums[-1] - sums) / above
        between = np.nan_to_num(below.astype(np.float64) * above * gap**2)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(edges[1:][best].mean())


def signal_mask(mean_volume: Volume, voxel_mm: tuple[float, float, float]) -> Mask:
    """Return where an echo-planar image has signal: the brain and what touches it.

    Smoothing by one voxel, Otsu's threshold, opening by 4 mm, the largest piece, closing, holes
    filled in each transverse slice.

    Raises
    ------
    UndefinedMeasureError
        The image is constant, or fewer than `FEWEST_VOXELS` voxels remain.
    """
    smooth = ndimage.gaussian_filter(mean_volume, _smoothing(mean_volume.shape))
    found = smooth > otsu_threshold(smooth)
    opened = _largest(ndimage.binary_opening(found, ball(_OPENING_MM, voxel_mm, found.shape)))
    # A head thinner than the ball, or 8 mm voxels: better unopened than nothing.
    kept = opened if np.count_nonzero(opened) >= FEWEST_VOXELS else _largest(found)
    mask = _filled(_closed(kept, voxel_mm))
    return checked(mask, "signal")


def head_mask(volume: Volume, voxel_mm: tuple[float, float, float]) -> Mask:
    """Return the head with all that lies inside it, of a structural image.

    Found on voxels of about 3 mm. The threshold is a third of Otsu's, for fat-suppressed skin;
    holes are filled slice by slice along all three axes, as air in sinuses is part of the head.

    Raises
    ------
    UndefinedMeasureError
        The image is constant, or fewer than `FEWEST_VOXELS` voxels remain.
    """
    factors = _factors(volume.shape, voxel_mm)
    coarse = _shrunk(volume, factors)
    coarse_mm = _scaled(voxel_mm, factors)
    smooth = ndimage.gaussian_filter(coarse, _smoothing(coarse.shape) if max(factors) == 1 else 0)
    found = smooth > otsu_threshold(smooth) / 3
    kept = _largest(ndimage.binary_opening(found, ball(3.0, coarse_mm, found.shape)))
    if np.count_nonzero(kept) < FEWEST_VOXELS:
        kept = _largest(found)
    mask = _closed(kept, coarse_mm)
    for axis in range(3):
        mask = np.moveaxis(_filled(np.moveaxis(mask, axis, 2)), 2, axis)
    return checked(_grown(mask, factors, volume.shape), "head")


def background(volume: Volume, head: Mask, voxel_mm: tuple[float, float, float]) -> Background:
    """Return the air more than 10 mm from the head.

    Raises
    ------
    UndefinedMeasureError
        The head fills the image: no air is left.
    """
    factors = _factors(volume.shape, voxel_mm)
    coarse = _shrunk(head.astype(np.float32), factors) > 0
    distance = ndimage.distance_transform_edt(~coarse, sampling=_scaled(voxel_mm, factors))
    air = _grown(np.asarray(distance > _AIR_DISTANCE_MM), factors, volume.shape)
    if np.count_nonzero(air) < FEWEST_VOXELS:
        raise UndefinedMeasureError("The head fills the image: there is no air to measure in.")
    return Background(air, is_emptied(volume[air]))


def is_emptied(air_values: NDArray[np.floating]) -> bool:
    """Return whether air holds no noise that can be measured: mostly zeros, or hardly a level."""
    if not air_values.size:
        return True
    zeros = np.count_nonzero(air_values == 0) / air_values.size
    levels = np.unique(air_values[:: max(1, air_values.size // 10000)]).size
    return bool(zeros > _MOST_ZEROS or levels < _FEWEST_LEVELS)


def checked(mask: Mask, what: str) -> Mask:
    """Return a mask if it has enough voxels.

    Raises
    ------
    UndefinedMeasureError
        It has fewer than `FEWEST_VOXELS`.
    """
    count = int(np.count_nonzero(mask))
    if count < FEWEST_VOXELS:
        raise UndefinedMeasureError(
            f"The mask of the {what} has {count} voxels; at least {FEWEST_VOXELS} are needed."
        )
    return mask


def ball(radius_mm: float, voxel_mm: tuple[float, float, float], shape: tuple[int, ...]) -> Mask:
    """Return a ball as a structuring element; flat along axes of one voxel."""
    reach = [
        0 if length == 1 else min(int(radius_mm / size), _WIDEST_BALL)
        for length, size in zip(shape, voxel_mm, strict=True)
    ]
    grids = np.ogrid[tuple(slice(-each, each + 1) for each in reach)]
    squared = sum((grid * size) ** 2 for grid, size in zip(grids, voxel_mm, strict=True))
    return np.asarray(squared <= radius_mm**2)


def _factors(shape: tuple[int, ...], voxel_mm: tuple[float, float, float]) -> tuple[int, ...]:
    """Return how many voxels along each axis make one of about 3 mm."""
    return tuple(
        max(1, min(int(_COARSE_MM / size), length // 8))
        for size, length in zip(voxel_mm, shape, strict=True)
    )


def _scaled(
    voxel_mm: tuple[float, float, float], factors: tuple[int, ...]
) -> tuple[float, float, float]:
    x, y, z = (size * factor for size, factor in zip(voxel_mm, factors, strict=True))
    return x, y, z


def _shrunk(volume: Volume, factors: tuple[int, ...]) -> Volume:
    """Return means of blocks of voxels; blocks at the far edges are filled with edge values."""
    width = [(0, -length % factor) for length, factor in zip(volume.shape, factors, strict=True)]
    shrunk = np.pad(volume, width, mode="edge")
    for axis, factor in enumerate(factors):
        shape = list(shrunk.shape)
        shape[axis : axis + 1] = [shape[axis] // factor, factor]
        shrunk = shrunk.reshape(shape).mean(axis=axis + 1)
    return np.asarray(shrunk, dtype=np.float32)


def _grown(mask: Mask, factors: tuple[int, ...], shape: tuple[int, ...]) -> Mask:
    for axis, factor in enumerate(factors):
        mask = np.repeat(mask, factor, axis=axis)
    return np.ascontiguousarray(mask[tuple(slice(length) for length in shape)])


def _smoothing(shape: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(0.0 if length < 4 else 1.0 for length in shape)  # noqa: PLR2004 - see rigid


def _closed(mask: Mask, voxel_mm: tuple[float, float, float]) -> Mask:
    element = ball(_CLOSING_MM, voxel_mm, mask.shape)
    width = [(size // 2, size // 2) for size in element.shape]
    # Padded: at the border of the image closing would eat the mask.
    padded = ndimage.binary_closing(np.pad(mask, width), element)
    inner = tuple(slice(low, low + size) for (low, _), size in zip(width, mask.shape, strict=True))
    return np.asarray(padded[inner])


def _filled(mask: Mask) -> Mask:
    # Slice by slice: in three dimensions a cavity that opens anywhere is no hole.
    return np.stack(
        [ndimage.binary_fill_holes(mask[:, :, index]) for index in range(mask.shape[2])], axis=2
    )


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count < 2:  # noqa: PLR2004 - one piece is the largest
        return np.asarray(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(sizes.argmax()))
