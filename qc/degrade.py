"""Spoils images by known amounts, to test whether a measure of quality sees it.

Each function is one degradation with its severity in a physical unit; random ones take a seed.
Nothing is changed in place. Not here: clean images (``phantom``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc.images import Mask, Volume
from qc.registration import Motion, matrix_of, motion_of, resample

FWHM_PER_SIGMA = 2.3548200450309493


def add_rician_noise(data: Volume, sigma: float, seed: int) -> Volume:
    """Return the magnitude of the image with complex noise.

    Parameters
    ----------
    sigma : float
        Standard deviation of the real and of the imaginary part, in the image's unit.
    """
    rng = np.random.default_rng(seed)
    real = rng.standard_normal(data.shape, dtype=np.float32) * np.float32(sigma)
    real += data
    imaginary = rng.standard_normal(data.shape, dtype=np.float32) * np.float32(sigma)
    return np.asarray(np.hypot(real, imaginary), dtype=np.float32)


def add_ghost(data: Volume, share: float, axis: int = 1) -> Volume:
    """Return the image with a ghost of itself, moved by half the field of view.

    Parameters
    ----------
    share : float
        Brightness of the ghost over that of the image, 0 to 1.
    axis : int
        Of the phase encoding.
    """
    ghost = np.roll(data, data.shape[axis] // 2, axis=axis)
    return np.asarray(data + np.float32(share) * ghost, dtype=np.float32)


def move_frames(
    series: Volume, motion: Motion, voxel_mm: tuple[float, float, float], first_frame: int
) -> Volume:
    """Return a series whose head moves once, and stays there.

    Parameters
    ----------
    motion : ndarray, shape (6,)
        Shift along the voxel axes in mm and rotation vector in rad, about the grid's centre.
    first_frame : int
        From 0: the first frame in the new place.
    """
    moved = series.copy()
    # A voxel of the moved frame shows what was at the inverse motion's place.
    back = motion_of(np.asarray(np.linalg.inv(matrix_of(motion)), dtype=np.float64))
    for frame in range(first_frame, series.shape[3]):
        moved[..., frame] = resample(np.ascontiguousarray(series[..., frame]), back, voxel_mm)
    return moved


def add_drift(series: Volume, share: float) -> Volume:
    """Return a series that grows along a straight line by a share of itself over the run."""
    factors = 1 + share * np.linspace(0, 1, series.shape[3])
    return np.asarray(series * factors.astype(np.float32), dtype=np.float32)


def add_dummies(series: Volume, count: int, excess: float = 0.5) -> Volume:
    """Return a series whose first volumes are not yet steady: brighter, the excess halving."""
    spoilt = series.copy()
    for frame in range(count):
        spoilt[..., frame] *= np.float32(1 + excess / 2**frame)
    return spoilt


def drop_slice(series: Volume, share: float, slice_index: int, frame_index: int) -> Volume:
    """Return a series in which one slice of one frame has lost a share of its signal."""
    spoilt = series.copy()
    spoilt[:, :, slice_index, frame_index] *= np.float32(1 - share)
    return spoilt


def add_kspace_spike(
    series: Volume,
    share: float,
    slice_index: int,
    frame_index: int,
    place: tuple[float, float] = (0.3, 0.2),
) -> Volume:
    """Return a series with one spoilt point of k-space: stripes over one slice of one frame.

    Parameters
    ----------
    share : float
        Amplitude of the stripes over the slice's brightest voxels (99th percentile).
    place : tuple of float
        Frequencies along the first two axes, in cycles per voxel.
    """
    spoilt = series.copy()
    plane = spoilt[:, :, slice_index, frame_index]
    rows, columns = np.ogrid[: plane.shape[0], : plane.shape[1]]
    wave = np.cos(2 * np.pi * (place[0] * rows + place[1] * columns))
    spoilt[:, :, slice_index, frame_index] = np.abs(
        plane + np.float32(share * np.percentile(plane, 99)) * wave.astype(np.float32)
    )
    return spoilt


def blur(volume: Volume, fwhm_mm: float, voxel_mm: tuple[float, float, float]) -> Volume:
    """Return a volume (X, Y, Z) blurred by a Gaussian of a width at half height, in mm."""
    sigma = [fwhm_mm / FWHM_PER_SIGMA / size for size in voxel_mm]
    return np.asarray(ndimage.gaussian_filter(volume, sigma, output=np.float32))


def shade(volume: Volume, amount: float) -> Volume:
    """Return a volume (X, Y, Z) with a smooth change of brightness across it.

    Parameters
    ----------
    amount : float
        From one corner to the other the factor runs from ``1 - amount / 2`` to
        ``1 + amount / 2``.
    """
    ramps = [np.linspace(-1 / 6, 1 / 6, length, dtype=np.float32) for length in volume.shape]
    field = sum(np.ix_(*ramps), start=np.float32(1 / amount if amount else 1))
    return np.asarray(volume * field * np.float32(amount) if amount else volume.copy())


def quantise(data: Volume, levels: int) -> Volume:
    """Return an image in few grey levels, from 0 to its maximum."""
    top = float(data.max())
    if top <= 0:
        return data.copy()
    return np.asarray(np.round(data / top * (levels - 1)), dtype=np.float32)


def zero_background(data: Volume, head: Mask) -> Volume:
    """Return an image whose air is exactly 0, as some scanners and all masking tools have it."""
    inside = head if data.ndim == head.ndim else head[..., None]
    return np.asarray(np.where(inside, data, np.float32(0)))


def zero_face(volume: Volume, share: float = 0.18) -> Volume:
    """Return a volume whose lower front block of voxels is 0: a crude defacing.

    Parameters
    ----------
    share : float
        Of all voxels. The axes run to the right, to the front and up.
    """
    spoilt = volume.copy()
    side = float(np.sqrt(share))
    front = round(volume.shape[1] * (1 - side))
    spoilt[:, front:, : round(volume.shape[2] * side)] = 0
    return spoilt


def drop_ball(
    volume: Volume, share: float, centre: tuple[int, int, int], radius_voxels: float
) -> Volume:
    """Return a volume that has lost a share of its signal in a ball, as near metal."""
    grids = np.ogrid[tuple(slice(length) for length in volume.shape)]
    squared = sum((grid - middle) ** 2 for grid, middle in zip(grids, centre, strict=True))
    factor: NDArray[np.float32] = np.where(squared <= radius_voxels**2, 1 - share, 1.0).astype(
        np.float32
    )
    return np.asarray(volume * factor)
