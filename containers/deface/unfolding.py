"""Puts together a head that the scan folded over an edge of the image (wrap-around).

What lies beyond an edge of the field of view appears at the opposite edge. Turned round like a
ring until the seam lies in air, the image shows one whole head again, which is then fitted, cut
and judged as any other. Not here: whether an image is folded, and the verdict (``gates``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from containers.deface.cut import BRAIN_MARGIN_MM, Cut
from containers.deface.grids import Matrix, distance_outside, factors_for
from containers.deface.head import WORKING_MM, Head
from containers.deface.images import HeadImage
from containers.deface.template import Field

_FRONT = 1
"""Of the axes to the right, front and up: noses are folded over the front edge."""


@dataclass(frozen=True, slots=True)
class Unfolding:
    """How an image was turned round, and what goes of it by the fit before.

    Parameters
    ----------
    steps : int
        Voxels of the image that it was turned by, from back to front.
    coarse_steps : int
        The same on the coarse grid.
    cut : Cut
        What goes of the image as it was, on the coarse grid.
    """

    steps: int
    coarse_steps: int
    cut: Cut

    def turned(self, volume: Field) -> Field:
        """Return layers of the image, unfolded."""
        return np.roll(volume, self.steps, axis=_FRONT)

    def joined(self, cut: Cut, head: Head) -> Cut:
        """Return the cut of the unfolded head together with that of the image as it was.

        So the cut only grows by unfolding, but for the brain of the unfolded head. Where the
        image's depth is no whole number of coarse voxels, the earlier cut lies by less than one of
        them (2 mm) beside its place behind the seam; the gates judge what comes of it.
        """
        clear_mm = distance_outside(head.brain, head.grid) - BRAIN_MARGIN_MM
        first = np.roll(self.cut.depth_mm, self.coarse_steps, axis=_FRONT)
        return replace(cut, depth_mm=np.maximum(cut.depth_mm, np.minimum(first, clear_mm)))

    def back(self, removed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return what goes, in the image as it was."""
        return np.roll(removed, -self.steps, axis=_FRONT)

    def moved(self, image: HeadImage) -> Matrix:
        """Return the way from the unfolded image's frame to that of the image as it was, in mm."""
        moved = np.eye(4)
        moved[_FRONT, 3] = -self.steps * image.voxel_mm[_FRONT]
        return moved


def unfold(head: Head, cut: Cut) -> Unfolding:
    """Return how to turn an image round from back to front until its edges lie in air.

    Parameters
    ----------
    head : Head
        Of the image as it is.
    cut : Cut
        What goes of it as it is.

    Notes
    -----
    Always turns to the two planes with the least tissue. Where no plane is free of it, the head
    still goes on at the opposite edge afterwards, and the gate on that is asked again.
    """
    across = tuple(axis for axis in range(3) if axis != _FRONT)
    filled = head.tissue.sum(axis=across, dtype=np.int64)
    plane = int((filled + np.roll(filled, -1)).argmin())
    factor = factors_for(head.full_grid, WORKING_MM)[_FRONT]
    return Unfolding(-plane * factor, -plane, cut)
