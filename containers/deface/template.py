"""The average head with its brain and its face, ready to be laid over a subject.

Lengths are mm in the template's own grid: right, front, up from the first voxel. Not here: how
the template was made (``make_template``), how it is fitted (``registration``).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from containers.contract import ToolFailedError

TEMPLATE_PATH = Path(__file__).parent / "data" / "template.npz"
TEMPLATE_SHA256 = "9896a55ec12c7214a30e51d759e39d39f0fe4f0df6deb118a4425e59f04978b0"

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """A box of voxels in mm: the centre of voxel (i, j, k) lies at origin + (i, j, k) * spacing."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]


_NEAR_VOXELS = 6


@dataclass(frozen=True)
class Template:
    """The average head.

    Parameters
    ----------
    head_grid, field_grid : Grid
        Of the average; of the drawings, which reach beyond it on all sides.
    head : ndarray, shape of head_grid, uint8
        T1-weighted intensities.
    brain : ndarray, shape of head_grid, bool
    face, ears, skull : ndarray, shape of field_grid, int8
        Tenths of a mm to the surface, positive inside; the face and the ears with the air before
        them, the whole head with its neck. At most 12.7 mm.
    nasion_mm, nasion_radius_mm
        The ball that people keep who place MEG or EEG sensors by the nasion.
    """

    head_grid: Grid
    field_grid: Grid
    head: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    face: NDArray[np.int8]
    ears: NDArray[np.int8]
    skull: NDArray[np.int8]
    nasion_mm: tuple[float, float, float]
    nasion_radius_mm: float

    @cached_property
    def parts(self) -> NDArray[np.int8]:
        """Return face and ears in one, first axis fastest."""
        return np.asfortranarray(np.maximum(self.face, self.ears))

    @cached_property
    def whole(self) -> NDArray[np.int8]:
        """Return ``skull``, first axis fastest."""
        return np.asfortranarray(self.skull)

    @cached_property
    def near_brain(self) -> NDArray[np.bool_]:
        """Return the brain with 12 mm around it."""
        return np.asarray(ndimage.binary_dilation(self.brain, iterations=_NEAR_VOXELS))

    @cached_property
    def brain_box(self) -> tuple[tuple[slice, slice, slice], Grid]:
        """Return where in the average ``near_brain`` lies, and the grid of that part."""
        right, front, up = (
            slice(int(each.min()), int(each.max()) + 1) for each in np.nonzero(self.near_brain)
        )
        box = right, front, up
        shape = self.near_brain[box].shape
        start = [
            origin + side.start * step
            for origin, side, step in zip(
                self.head_grid.origin_mm, box, self.head_grid.spacing_mm, strict=True
            )
        ]
        return box, Grid(shape, self.head_grid.spacing_mm, (start[0], start[1], start[2]))


def load_template() -> Template:
    """Read the template.

    Raises
    ------
    ToolFailedError
        The file is not the one that this version was tested with.
    """
    content = TEMPLATE_PATH.read_bytes()
    if hashlib.sha256(content).hexdigest() != TEMPLATE_SHA256:
        raise ToolFailedError(
            "The template of deface is damaged or of another version: its SHA-256 differs from "
            "the one on record. Install winxnat again."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    step_mm = float(arrays["voxel_mm"])
    spacing = (step_mm, step_mm, step_mm)
    head = arrays["head"]
    before = [-float(each) * step_mm for each in arrays["padding"]]
    brain = np.unpackbits(arrays["brain"], count=head.size).reshape(head.shape).astype(bool)
    nasion = [float(each) for each in arrays["nasion_mm"]]
    return Template(
        head_grid=Grid(head.shape, spacing, (0.0, 0.0, 0.0)),
        field_grid=Grid(arrays["face"].shape, spacing, (before[0], before[1], before[2])),
        head=head,
        brain=brain,
        face=arrays["face"],
        ears=arrays["ears"],
        skull=arrays["skull"],
        nasion_mm=(nasion[0], nasion[1], nasion[2]),
        nasion_radius_mm=nasion[3],
    )
