"""Parts an image with a known brain into head, air above the face's plane, and artefacts there.

As MRIQC 24.0.2 does it, for the measures that have MRIQC's names; finer images on a grid of
about 1 mm. Not here: heads without a known brain (``masks``).

References
----------
B. Mortamet et al., Automatic quality assessment in structural brain magnetic resonance imaging,
Magn Reson Med 62(2):365-372, 2009.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from qc.images import Mask
from qc.masks import checked
from qc.measure import UndefinedMeasureError
from qc.summary import MAD_TO_SIGMA

_GLABELLA_MM, _INION_MM = (0.0, 90.0, -14.0), (0.0, -120.0, -14.0)
"""Tops of the two landmarks in the space of the average brain (RAS+)."""
_GRID_MM = 1.0
_EDGE_SIGMA = 4.0
_EDGE_LEVEL = 15.0
_LEAST_SIGMA = 0.25
_REACH_VOXELS = 4.0
"""How far gaps are closed, in voxels of the image."""
_KEPT_PIECES = 2
_EDGE_PLANES = 2
_SMALLEST_ROTATION = 500
_ARTEFACT_SIGMAS = 10.0
_NEAR_HEAD = 0.1
"""Share of the largest distance from the head within which bright voxels are leaking signal."""
_FULL = ndimage.generate_binary_structure(3, 2)
_CROSS = ndimage.generate_binary_structure(3, 1)
_FEWEST_AIR, _MOST_AIR = 1_000, 300_000
_COILS = 32
_SEED = 1_191_935
_BANDWIDTH = 4.0
_GRID = np.linspace(0.0, 110, 1000)
_CHUNK = 4096
_MOST_LEVELS, _FINE = 20_000, 0.01


def head_of(
    volume: NDArray[np.floating], brain: Mask, voxel_mm: tuple[float, float, float]
) -> Mask:
    """Return the head around a known brain: where edges are strong, closed and filled.

    Parameters
    ----------
    volume : ndarray, shape (X, Y, Z)
        Corrected for shading, without outliers.

    Raises
    ------
    UndefinedMeasureError
        The image is constant, or fewer than 100 voxels remain.
    """
    factors = [
        max(1, min(int(_GRID_MM / size + 0.5), length // 8))
        for size, length in zip(voxel_mm, volume.shape, strict=True)
    ]
    top = float(np.percentile(volume, 99.5))
    if not top > 0:
        raise UndefinedMeasureError("The image holds no signal.")
    scaled = np.where(brain, np.float32(100), volume * np.float32(100 / top))
    edges = _edges(_means(scaled, factors), factors, voxel_mm)
    inside = _means(brain.astype(np.float32), factors) > 0.5  # noqa: PLR2004 - half a voxel
    strongest = float(np.percentile(edges, 99.5))
    if not strongest > 0:
        raise UndefinedMeasureError("The image has no edges.")
    edges[inside] = np.inf
    reach = max(1, round(_REACH_VOXELS / min(factors)))
    found = ndimage.binary_closing(edges > _EDGE_LEVEL / 100 * strongest, _FULL, iterations=reach)
    found = ndimage.binary_erosion(found, _FULL)
    # MRIQC's `gradient_threshold` means to add the grown brain here, but takes that mask for
    # indices: the first two sagittal planes become head. Kept, as it decides which air counts.
    found[:_EDGE_PLANES] = True
    wide = ndimage.iterate_structure(_FULL, max(1, reach // 2))
    found = ndimage.binary_fill_holes(_largest_pieces(found), wide)
    for axis, factor in enumerate(factors):
        found = np.repeat(found, factor, axis=axis)
    found = np.asarray(found[tuple(slice(length) for length in volume.shape)])
    return checked(found | brain, "head")


def hat_of(head: Mask, matrix: NDArray[np.float64], affine_ras: NDArray[np.float64]) -> Mask:
    """Return the air above the plane from glabella to inion, where no eye leaks signal.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        From mm of the average brain to mm of the image, both RAS+.
    """
    back = np.linalg.inv(affine_ras) @ matrix
    glabella, inion = (int((back @ (*place, 1.0))[2]) for place in (_GLABELLA_MM, _INION_MM))
    air = ~head
    air[:, :, : max(0, inion)] = False
    air[:, air.shape[1] // 2 :, : max(0, glabella)] = False
    return air


def rotation_of(volume: NDArray[np.floating]) -> Mask:
    """Return the empty frame that a rotation or a tool that zeroes left around the image."""
    empty = np.pad(volume <= 0, 1, constant_values=True)
    kept = _largest_pieces(ndimage.binary_opening(empty, _FULL))[1:-1, 1:-1, 1:-1]
    return kept if np.count_nonzero(kept) >= _SMALLEST_ROTATION else np.zeros_like(kept)


def artefacts_in(volume: NDArray[np.floating], hat: Mask, head: Mask) -> Mask:
    """Return connected voxels of the air, off the head, that are ten times brighter than noise.

    MRIQC 24.0.2 measures the distance from the head outside the air only, and so finds none ever;
    here it is measured in the air.
    """
    found = np.zeros(volume.shape, dtype=bool)
    noise = volume[hat]
    signal = noise[noise > 0]
    if signal.size < 10:  # noqa: PLR2004 - as MRIQC
        return found
    spread = float(np.median(np.abs(signal - np.median(signal))) / MAD_TO_SIGMA)
    if not spread > 0:
        return found
    found[hat] = noise > _ARTEFACT_SIGMAS * spread
    if not found.any():
        return found
    step = tuple(max(1, length // 96) for length in head.shape)
    thin = tuple(slice(None, None, each) for each in step)
    distance = ndimage.distance_transform_edt(~head[thin], sampling=step)
    near = np.where(hat[thin], distance, np.inf) < _NEAR_HEAD * distance[hat[thin]].max(initial=0)
    for axis, each in enumerate(step):
        near = np.repeat(near, each, axis=axis)
    found &= ~near[tuple(slice(length) for length in volume.shape)]
    return np.asarray(ndimage.binary_opening(found, _CROSS))


def noise_misfit(volume: NDArray[np.floating], air: Mask) -> float:
    """Return how far the noise of the air is from a chi-squared distribution (QI2); 0 is a fit.

    Mean distance of the two densities beyond half of the mode, on the noise scaled so that its
    99th percentile is 100; no unit. Breaks: zeroed or filtered backgrounds, few grey levels.

    References
    ----------
    MRIQC 24.0.2, ``qc.anatomical.art_qi2``.

    Raises
    ------
    UndefinedMeasureError
        Fewer than 1000 voxels of the air have a value, or their 99th percentile is 0.
    """
    noise = np.maximum(np.asarray(volume[air], dtype=np.float64), 0)
    if np.count_nonzero(noise) < _FEWEST_AIR:
        raise UndefinedMeasureError("Too few voxels of the air have any noise in them.")
    top = float(np.percentile(noise, 99))
    if not top > 0:
        raise UndefinedMeasureError("The air around the head was zeroed.")
    noise *= 100 / top
    if noise.size >= _MOST_AIR:
        # The generator that MRIQC draws with, so that equal noise gives an equal value.
        noise = np.random.RandomState(_SEED).choice(noise, size=_MOST_AIR)
    density = _density(noise)
    past = int(np.argmax(density[::-1] > density.max() * 0.5))
    shape, place, scale = stats.chi2.fit(noise, _COILS)
    fitted = stats.chi2.pdf(_GRID, shape, loc=place, scale=scale)
    return float(np.abs(density[-past:] - fitted[-past:]).mean())


def _density(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    values, counts = np.unique(noise, return_counts=True)
    if values.size > _MOST_LEVELS:
        # Shared between the two nearest of fine bins: the density changes by less than 1e-6.
        values = np.arange(0.0, noise.max() + 2 * _FINE, _FINE)
        place = noise / _FINE
        low = place.astype(np.intp)
        part = place - low
        counts = np.bincount(low, 1 - part, values.size) + np.bincount(low + 1, part, values.size)
        values, counts = values[counts > 0], counts[counts > 0]
    found = np.zeros_like(_GRID)
    for start in range(0, values.size, _CHUNK):
        away = (_GRID[:, None] - values[start : start + _CHUNK]) / _BANDWIDTH
        found += np.exp(-0.5 * away**2) @ counts[start : start + _CHUNK]
    return np.asarray(found / (noise.size * _BANDWIDTH * np.sqrt(2 * np.pi)))


def _edges(
    coarse: NDArray[np.float32], factors: list[int], voxel_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Return the size of the gradient, in units of the fine grid, smoothed by MRIQC's width."""
    least = min(voxel_mm)
    widths = [
        _EDGE_SIGMA * max(2 - size / least, _LEAST_SIGMA) / factor
        for size, factor in zip(voxel_mm, factors, strict=True)
    ]
    total = np.zeros_like(coarse)
    for axis, factor in enumerate(factors):
        order = [int(each == axis) for each in range(3)]
        total += (ndimage.gaussian_filter(coarse, widths, order=order) / factor) ** 2
    return np.sqrt(total)


def _means(volume: NDArray[np.float32], factors: list[int]) -> NDArray[np.float32]:
    """Return means of blocks of voxels; blocks at the far edges are filled with edge values."""
    width = [(0, -length % factor) for length, factor in zip(volume.shape, factors, strict=True)]
    shrunk = np.pad(volume, width, mode="edge")
    for axis, factor in enumerate(factors):
        shape = list(shrunk.shape)
        shape[axis : axis + 1] = [shape[axis] // factor, factor]
        shrunk = shrunk.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return shrunk


def _largest_pieces(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count <= _KEPT_PIECES:
        return np.asarray(mask, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.argsort(sizes, kind="stable")[-_KEPT_PIECES:]
    return np.isin(labels, kept)
