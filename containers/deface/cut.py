"""Decides which voxels go: the face and the ears, copies of them in the air, never the brain.

Not here: the fit (``registration``), whether the result is safe (``gates``), files (``images``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from containers.deface.grids import Matrix, carry, carry_image, inverse, to_itk
from containers.deface.head import Head
from containers.deface.template import Field, Grid, Template

BRAIN_MARGIN_MM = 4.0
"""Kept around the brain, wherever the face is thought to be."""
_STRAY_MM = 11.5
_STRAY_BRAIN_MM = 20.0
"""So far from head and from brain tissue cannot belong to the head."""
_NECK_MM = 45.0
"""Height in the template below which shoulders may lie outside the average's neck."""
_STRAY_GROWTH = 2
_SLICES_AT_ONCE = 48


@dataclass(frozen=True, slots=True)
class Cut:
    """What is to go, on the head's coarse grid.

    Parameters
    ----------
    depth_mm : ndarray, float32
        Distance into what goes; positive goes.
    shell : ndarray, bool
        Face and ears as the template has them, before the brain is taken out.
    stray : ndarray, bool
        Tissue far outside the head: copies of the face by wrap-around or ghosting, cushions.
    protected : float
        Share of the shell's tissue that stays because the brain is near, 0 to 1.
    """

    depth_mm: Field
    shell: NDArray[np.bool_]
    stray: NDArray[np.bool_]
    protected: float

    @property
    def coarse(self) -> NDArray[np.bool_]:
        """Return what goes, on the coarse grid."""
        return np.asarray(self.depth_mm > 0)


def plan_cut(head: Head, template: Template, matrix: Matrix, *, keep_nasion: bool) -> Cut:
    """Return what to cut where the template lies as ``matrix`` says."""
    shell_mm = shell_depth(head, template, matrix, keep_nasion=keep_nasion)
    from_brain = head.from_brain_mm
    clear_mm = (from_brain - BRAIN_MARGIN_MM).astype(np.float32)
    stray = _find_stray(head, template, matrix, from_brain)
    # Half a voxel around what is stray goes along, so that its rim does not stay.
    grown = ndimage.binary_dilation(stray, iterations=_STRAY_GROWTH) & (
        from_brain > _STRAY_BRAIN_MM
    )
    depth = np.minimum(shell_mm, clear_mm)
    depth = np.where(grown, np.maximum(depth, 1.0), depth).astype(np.float32)
    shell = shell_mm > 0
    in_shell = shell & head.tissue
    taken = in_shell & (clear_mm <= 0)
    protected = float(taken.sum()) / max(int(in_shell.sum()), 1)
    return Cut(depth, shell, stray, protected)


def shell_depth(head: Head, template: Template, matrix: Matrix, *, keep_nasion: bool) -> Field:
    """Return the distance into face and ears, in mm, on the head's coarse grid."""
    back = inverse(matrix)
    depth = carry(template.parts, template.field_grid, head.grid, back, outside=None)
    depth /= np.float32(10)
    if not keep_nasion:
        return depth
    centre = (matrix @ np.array([*template.nasion_mm, 1.0]))[:3]
    squares = [
        (np.arange(size) * step + start - middle) ** 2
        for size, step, start, middle in zip(
            head.grid.shape, head.grid.spacing_mm, head.grid.origin_mm, centre, strict=True
        )
    ]
    away = np.sqrt(
        squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
    )
    kept: Field = np.minimum(depth, (away - template.nasion_radius_mm).astype(np.float32))
    return kept


def full_size(cut: Cut, head: Head) -> NDArray[np.bool_]:
    """Return what goes, on the image's own voxels, axes to the right, front and up."""
    full = head.full_grid
    removed = np.zeros(full.shape, bool, order="F")
    box = [_reach(np.asarray(cut.coarse.any(axis=others)), full, head.grid, axis)
           for axis, others in enumerate(((1, 2), (0, 2), (0, 1)))]  # fmt: skip
    # Some slices at a time: distances of all voxels at once would be the step's largest array.
    depths = to_itk(cut.depth_mm, head.grid)
    (left, right), (back, front), (low, high) = box
    for first in range(low, high, _SLICES_AT_ONCE):
        last = min(first + _SLICES_AT_ONCE, high)
        corner = [
            start + at * step
            for start, at, step in zip(
                full.origin_mm, (left, back, first), full.spacing_mm, strict=True
            )
        ]
        part = Grid(
            (right - left, front - back, last - first),
            full.spacing_mm,
            (corner[0], corner[1], corner[2]),
        )
        if min(part.shape) > 0:
            depth = carry_image(depths, part, outside=None)
            removed[left:right, back:front, first:last] = depth > 0
    return removed


def _reach(taken: NDArray[np.bool_], full: Grid, coarse: Grid, axis: int) -> tuple[int, int]:
    """Return the full grid's first and last but one index that a coarse cut can reach.

    Between two coarse voxels of which none is cut, no depth is above 0.
    """
    found = np.flatnonzero(taken)
    if not found.size:
        return 0, 0
    # The outermost coarse voxels stand for all beyond them.
    count, step = full.shape[axis], full.spacing_mm[axis]
    ends = [
        (coarse.origin_mm[axis] + at * coarse.spacing_mm[axis] - full.origin_mm[axis]) / step
        for at in (found[0] - 1, found[-1] + 1)
    ]
    first = max(0, int(ends[0])) if found[0] > 0 else 0
    last = min(count, int(ends[1]) + 2) if found[-1] < coarse.shape[axis] - 1 else count
    return first, last


def _find_stray(
    head: Head, template: Template, matrix: Matrix, from_brain: Field
) -> NDArray[np.bool_]:
    back = inverse(matrix)
    depth = carry(template.whole, template.field_grid, head.grid, back, outside=None) / 10
    height = sum(
        back[2, axis]
        * (np.arange(size) * step + start).reshape([-1 if each == axis else 1 for each in range(3)])
        for axis, (size, step, start) in enumerate(
            zip(head.grid.shape, head.grid.spacing_mm, head.grid.origin_mm, strict=True)
        )
    )
    is_beside = (height + back[2, 3] > _NECK_MM) & (from_brain > _STRAY_BRAIN_MM)
    return np.asarray(head.tissue & (depth < -_STRAY_MM) & is_beside)
