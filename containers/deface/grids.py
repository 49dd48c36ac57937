"""Carries images between grids with SimpleITK; the only module that resamples.

What it makes serves to find the face; the voxels of a result never come from here. Frames are
those of `template.Grid`: mm along the voxel axes of an image whose axes point right, front and
up, so that obliquity and origin of a header cannot mislead a fit.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documentation uses
from numpy.typing import NDArray

from containers.deface.template import Field, Grid

Matrix = NDArray[np.float64]
"""Shape (4, 4), from one frame to another, in mm."""

Image = sitk.Image


def to_itk(array: NDArray[np.generic], grid: Grid) -> Image:
    """Return an array as an image of SimpleITK in the frame of its grid."""
    # No copy of an array whose first axis runs fastest, as all of a `Head` do.
    plain = np.ascontiguousarray(array.transpose(2, 1, 0))
    image = sitk.GetImageFromArray(plain.view(np.uint8) if array.dtype == bool else plain)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    return image


def to_transform(matrix: Matrix) -> sitk.AffineTransform:
    """Return a matrix as a transform of points."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def inverse(matrix: Matrix) -> Matrix:
    """Return the way back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def to_matrix(transform: sitk.Transform) -> Matrix:
    """Return any linear transform as a matrix."""
    corners = np.vstack([np.zeros(3), np.eye(3)])
    moved = np.array([transform.TransformPoint(each.tolist()) for each in corners])
    matrix = np.eye(4)
    matrix[:3, :3] = (moved[1:] - moved[0]).T
    matrix[:3, 3] = moved[0]
    return matrix


def carry(
    array: NDArray[np.generic],
    grid: Grid,
    onto: Grid,
    matrix: Matrix | None = None,
    *,
    outside: float | None = 0.0,
) -> Field:
    """Return an image on another grid, by linear interpolation.

    Parameters
    ----------
    matrix : Matrix, optional
        From the frame of ``onto`` to the frame of ``grid``; the same frame without it.
    outside : float or None
        Value beyond the image; None for that of the nearest voxel.
    """
    return carry_image(to_itk(array, grid), onto, matrix, outside=outside)


def carry_image(
    image: Image, onto: Grid, matrix: Matrix | None = None, *, outside: float | None = 0.0
) -> Field:
    """Return what `carry` does, of an image that is carried more than once."""
    filter_ = sitk.ResampleImageFilter()
    filter_.SetSize(onto.shape)
    filter_.SetOutputSpacing(onto.spacing_mm)
    filter_.SetOutputOrigin(onto.origin_mm)
    filter_.SetInterpolator(sitk.sitkLinear)
    if outside is None:
        filter_.UseNearestNeighborExtrapolatorOn()
    else:
        filter_.SetDefaultPixelValue(outside)
    filter_.SetOutputPixelType(sitk.sitkFloat32)
    if matrix is not None:
        filter_.SetTransform(to_transform(matrix))
    return np.asarray(sitk.GetArrayFromImage(filter_.Execute(image))).transpose(2, 1, 0)


def distance_outside(mask: NDArray[np.bool_], grid: Grid) -> Field:
    """Return the distance of each voxel to the nearest one of the mask, in mm; 0 inside.

    Several times faster than SciPy's, which counts where it is done a dozen times.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return np.maximum(signed_distance(mask, grid), 0)


def is_within(mask: NDArray[np.bool_], grid: Grid, most_mm: float) -> NDArray[np.bool_]:
    """Return whether the nearest voxel of the mask is at most so far away, centre to centre.

    For a few voxels' length several times faster than to measure all distances.
    """
    reach = [int(most_mm / step) for step in grid.spacing_mm]
    found = np.zeros_like(mask)
    for move in np.ndindex(*(2 * each + 1 for each in reach)):
        by = [at - each for at, each in zip(move, reach, strict=True)]
        squares = sum((at * step) ** 2 for at, step in zip(by, grid.spacing_mm, strict=True))
        if np.float32(np.sqrt(squares)) <= np.float32(most_mm):
            here, there = zip(*map(_overlap, by), strict=True)
            found[here] |= mask[there]
    return found


def _overlap(by: int) -> tuple[slice, slice]:
    """Return the parts of an axis and of the same moved by ``by`` that lie on each other."""
    if by >= 0:
        return slice(by, None), slice(None, -by or None)
    return slice(None, by), slice(-by, None)


def signed_distance(mask: NDArray[np.bool_], grid: Grid) -> Field:
    """Return the distance to the mask's outermost voxels, in mm, negative inside."""
    found = sitk.SignedMaurerDistanceMap(
        to_itk(mask, grid), insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return np.asarray(sitk.GetArrayFromImage(found)).transpose(2, 1, 0)


def reduced(array: Field, grid: Grid, factors: tuple[int, int, int]) -> tuple[Field, Grid]:
    """Return means of blocks of voxels; what does not fill a block at the far end is left out."""
    whole = tuple(
        size // factor * factor for size, factor in zip(array.shape, factors, strict=True)
    )
    (x, y, z), (a, b, c) = whole, factors
    blocks = array[:x, :y, :z].reshape(x // a, a, y // b, b, z // c, c)
    means: Field = np.asfortranarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))
    spacing = [step * factor for step, factor in zip(grid.spacing_mm, factors, strict=True)]
    origin = [
        start + step * (factor - 1) / 2
        for start, step, factor in zip(grid.origin_mm, grid.spacing_mm, factors, strict=True)
    ]
    return means, Grid(
        means.shape, (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2])
    )


def factors_for(grid: Grid, target_mm: float) -> tuple[int, int, int]:
    """Return how many voxels along each axis make one of about ``target_mm``."""
    x, y, z = (
        max(1, min(size, int(target_mm / step + 0.3)))
        for size, step in zip(grid.shape, grid.spacing_mm, strict=True)
    )
    return x, y, z
