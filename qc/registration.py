"""Rigid registration of volumes of one contrast, for motion of millimetres and degrees.

Gauss-Newton steps in the reference's frame (inverse compositional), robust against single bad
slices, with a gain and an offset for changes of brightness. Not here: images of two contrasts.

References
----------
S. Baker, I. Matthews, Lucas-Kanade 20 years on, Int J Comput Vis 56(3):221-255, 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from qc.images import Mask, Volume
from qc.measure import UndefinedMeasureError

Motion = NDArray[np.float64]
"""Shape (6,): shift along the voxel axes in mm, then rotation vector in rad, about the centre."""

_MOST_POINTS = 20_000
_MOST_STEPS = 30
_ENOUGH_MM = 0.001
_RADIUS_MM = 50.0
_SMOOTHING_VOXELS = 0.8
_FEWEST_ALONG_AXIS = 4
_MARGIN = 2
_TUKEY = 4.685
_LEAST_GAIN = 0.05
_FEWEST_POINTS = 50


@dataclass(frozen=True, slots=True)
class Reference:
    """What a reference volume is reduced to before volumes are brought to it.

    ``points`` (3, N) are offsets from the centre of the grid in mm along the voxel axes,
    ``values`` (N,) the smoothed reference there, ``columns`` (N, 8) the derivatives for the free
    motion parameters (zero for those that are not free), gain and offset.
    """

    points: NDArray[np.float64]
    values: NDArray[np.float64]
    columns: NDArray[np.float64]
    free: NDArray[np.intp]
    voxel_mm: NDArray[np.float64]
    centre_mm: NDArray[np.float64]


def make_reference(volume: Volume, mask: Mask, voxel_mm: tuple[float, float, float]) -> Reference:
    """Prepare a volume as a reference.

    Parameters
    ----------
    mask : ndarray of bool, shape (X, Y, Z)
        Where to look; it should reach a little over the brain's edge. Along an axis of fewer than
        4 voxels nothing moves, and nothing turns out of the plane.

    Raises
    ------
    UndefinedMeasureError
        Too few voxels, or nothing in them that could be aligned.
    """
    sizes = np.asarray(voxel_mm, dtype=np.float64)
    smooth = _smoothed(volume)
    thick = [axis for axis in range(3) if volume.shape[axis] >= _FEWEST_ALONG_AXIS]
    inner = np.zeros(volume.shape, dtype=bool)
    inner[tuple(_inside(length) for length in volume.shape)] = True
    places = np.argwhere(mask & inner)
    if len(places) < _FEWEST_POINTS or len(thick) < 2:  # noqa: PLR2004 - a plane
        raise UndefinedMeasureError("There are too few voxels to measure motion with.")
    places = places[:: max(1, -(-len(places) // _MOST_POINTS))]
    centre_mm = (np.array(volume.shape) - 1) / 2 * sizes
    points = (places * sizes - centre_mm).T
    # At whole voxels the spline is this convolution.
    blurred = smooth
    gradient = np.zeros((3, len(places)))
    for axis in thick:
        blurred = ndimage.convolve1d(blurred, [1 / 6, 4 / 6, 1 / 6], axis=axis, mode="nearest")
    for axis in thick:
        slope = smooth
        for other in thick:
            kernel = [0.5, 0.0, -0.5] if other == axis else [1 / 6, 4 / 6, 1 / 6]
            slope = ndimage.convolve1d(slope, kernel, axis=other, mode="nearest")
        gradient[axis] = slope[tuple(places.T)] / sizes[axis]
    values = blurred[tuple(places.T)].astype(np.float64)
    turning = np.cross(points.T, gradient.T)
    columns = np.column_stack([gradient.T, turning, values, np.ones(len(places))])
    free = np.array(_free_parameters(thick), dtype=np.intp)
    if not _is_solvable(columns[:, free]):
        raise UndefinedMeasureError("The image has no structure that motion could be seen by.")
    return Reference(points, values, columns, free, sizes, centre_mm)


def register(volume: Volume, reference: Reference, start: Motion | None = None) -> Motion:
    """Return how far the head of a volume lies from where it is in the reference.

    Parameters
    ----------
    start : ndarray, shape (6,), optional
        Where to begin: the motion of the volume before.

    Returns
    -------
    ndarray, shape (6,)
        A point at ``x`` (mm from the centre of the grid) in the reference lies at ``R x + t``.

    Raises
    ------
    UndefinedMeasureError
        It does not come to rest: the volume shows something else, or too large a motion.
    """
    smooth = _smoothed(volume)
    beginnings = [np.zeros(6)] if start is None else [start, np.zeros(6)]
    for beginning in beginnings:
        found = _descend(smooth, reference, beginning)
        if found is not None:
            return found
    raise UndefinedMeasureError("A volume could not be aligned with the reference.")


def matrix_of(motion: Motion) -> NDArray[np.float64]:
    """Return the 4 x 4 matrix of a motion, in mm from the centre of the grid."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(motion[3:]).as_matrix()
    matrix[:3, 3] = motion[:3]
    return matrix


def motion_of(matrix: NDArray[np.float64]) -> Motion:
    """Return the motion of a rigid 4 x 4 matrix: the inverse of `matrix_of`."""
    turn = Rotation.from_matrix(matrix[:3, :3]).as_rotvec()
    return np.concatenate([matrix[:3, 3], turn])


def voxel_map(
    motion: Motion, shape: tuple[int, ...], voxel_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix and offset that take voxel indices of the reference to those of the volume."""
    sizes = np.asarray(voxel_mm)
    centre = (np.array(shape[:3]) - 1) / 2
    rotation = matrix_of(motion)[:3, :3]
    matrix = rotation * sizes[None, :] / sizes[:, None]
    return matrix, centre + motion[:3] / sizes - matrix @ centre


def resample(volume: Volume, motion: Motion, voxel_mm: tuple[float, float, float]) -> Volume:
    """Return a volume as it looks from the reference's frame; cubic splines."""
    matrix, offset = voxel_map(motion, volume.shape, voxel_mm)
    return np.asarray(
        ndimage.affine_transform(volume, matrix, offset, order=3, mode="nearest", output=np.float32)
    )


def resample_at(
    volume: Volume, motion: Motion, voxel_mm: tuple[float, float, float], places: Motion
) -> NDArray[np.float32]:
    """Return the values that `resample` would give at voxel indices ``places`` (3, N) only."""
    matrix, offset = voxel_map(motion, volume.shape, voxel_mm)
    there = matrix @ places + offset[:, None]
    return np.asarray(
        ndimage.map_coordinates(volume, there, order=3, mode="nearest", output=np.float32)
    )


def displacement_mm(first: Motion, second: Motion, radius_mm: float = _RADIUS_MM) -> float:
    """Return the largest distance that a point of a sphere about the centre moves, in mm.

    An upper bound, reached where shift and rotation act together: ``|t| + 2 r sin(angle / 2)``
    of the motion from first to second.
    """
    between = motion_of(matrix_of(second) @ np.linalg.inv(matrix_of(first)))
    angle = float(np.linalg.norm(between[3:]))
    return float(np.linalg.norm(between[:3]) + 2 * radius_mm * np.sin(angle / 2))


def _descend(smooth: Volume, reference: Reference, start: Motion) -> Motion | None:
    transform = matrix_of(start)
    weights = np.ones(len(reference.values))
    for _ in range(_MOST_STEPS):
        there = transform[:3, :3] @ reference.points + transform[:3, 3:]
        indices = (there + reference.centre_mm[:, None]) / reference.voxel_mm[:, None]
        seen = ndimage.map_coordinates(smooth, indices, order=3, prefilter=False, mode="nearest")
        solved = _solve(seen - reference.values, weights, reference)
        if solved is None:
            return None
        step, weights = solved
        transform = transform @ np.linalg.inv(matrix_of(step))
        if np.linalg.norm(step[:3]) + _RADIUS_MM * np.linalg.norm(step[3:]) < _ENOUGH_MM:
            return motion_of(transform)
    return None


def _solve(
    residual: NDArray[np.float64], weights: NDArray[np.float64], reference: Reference
) -> tuple[Motion, NDArray[np.float64]] | None:
    """Return the least-squares step, and weights for the next; None where there is none.

    The weights are Tukey's, of what gain, offset and motion leave unexplained: a slice that has
    lost its signal has no say.
    """
    columns = reference.columns[:, reference.free]
    weighted = columns * weights[:, None]
    try:
        solution = np.linalg.solve(weighted.T @ columns, weighted.T @ residual)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(solution).all():
        return None
    step = np.zeros(8)
    step[reference.free] = solution
    # Derivatives are of an unscaled reference; a volume k times as bright would step k times.
    gain = 1.0 + step[6]
    if not gain > _LEAST_GAIN:
        return None
    rest = np.abs(residual - columns @ solution)
    scale = _TUKEY * 1.4826 * float(np.median(rest))
    new_weights = np.square(1 - np.square(np.minimum(rest / scale, 1))) if scale > 0 else weights
    return np.asarray(step[:6] / gain), new_weights


def _is_solvable(columns: NDArray[np.float64]) -> bool:
    lengths = np.linalg.norm(columns, axis=0)
    if not (lengths > 0).all():
        return False
    return bool(np.linalg.cond(columns / lengths) < 1e6)  # noqa: PLR2004 - float64 has 1e16


def _free_parameters(thick: list[int]) -> list[int]:
    if len(thick) == 3:  # noqa: PLR2004 - axes
        return list(range(8))
    across = ({0, 1, 2} - set(thick)).pop()
    return [*thick, 3 + across, 6, 7]


def _inside(length: int) -> slice:
    if length < _FEWEST_ALONG_AXIS:
        return slice(None)
    margin = min(_MARGIN, (length - 2) // 2)
    return slice(margin, length - margin)


def _smoothed(volume: Volume) -> Volume:
    amount = [0.0 if n < _FEWEST_ALONG_AXIS else _SMOOTHING_VOXELS for n in volume.shape]
    return np.asarray(ndimage.gaussian_filter(volume, amount, mode="nearest", truncate=3.0))
