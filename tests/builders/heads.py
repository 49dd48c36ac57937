"""Heads for tests: the average of many heads, bent, turned and stored as a test asks.

The average is the one that the step's template holds; it shows nobody. Points of it are known,
so that a test can say where nose, eyes, ears and brain must be in what it made. Not here: heads
of people, which tests find through the fixture ``samples``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from containers.deface.template import load_template

VOXEL_MM = 2.0
NOSE, CHIN, LEFT_EYE, RIGHT_EYE = (88, 232, 60), (88, 214, 24), (59, 212, 95), (117, 212, 95)
LEFT_EAR, RIGHT_EAR = (9, 108, 82), (167, 108, 82)
"""In mm from the average's corner: right, front, up; read off its slices by eye."""
BRAIN_POINTS = (
    (88, 190, 130),
    (40, 120, 120),
    (136, 120, 120),
    (88, 60, 110),
    (88, 120, 175),
    (45, 150, 94),
    (88, 85, 75),
)
"""Frontal, lateral, occipital, parietal, temporal pole, cerebellum."""


@dataclass(frozen=True)
class MadeHead:
    """A head in an array whose axes point right, front, up.

    ``to_head`` takes mm of the array's frame to mm of the average.
    """

    volume: NDArray[np.float32]
    voxel_mm: tuple[float, float, float] = (VOXEL_MM,) * 3
    to_head: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))

    def index_of(self, point_mm: tuple[float, float, float]) -> tuple[int, int, int]:
        """Return the voxel at a point of the average."""
        here = np.linalg.inv(self.to_head) @ [*point_mm, 1.0]
        x, y, z = np.rint(here[:3] / self.voxel_mm).astype(int)
        return int(x), int(y), int(z)


def average_head(seed: int = 0) -> MadeHead:
    """Return the average head with a little noise, intensities 0 to about 600."""
    head = load_template().head.astype(np.float32) * (600 / 255)
    noise = np.random.default_rng(seed).normal(0, 4, (2, *head.shape)).astype(np.float32)
    return MadeHead(np.hypot(head + noise[0], noise[1]))


def moved_head(
    turn_deg: tuple[float, float, float] = (0, 0, 0),
    scale: float = 1.0,
    shift_mm: tuple[float, float, float] = (0, 0, 0),
    voxel_mm: tuple[float, float, float] = (VOXEL_MM,) * 3,
) -> MadeHead:
    """Return the average head turned about its middle, scaled, shifted, on other voxels."""
    start = average_head()
    extent = np.array(start.volume.shape) * VOXEL_MM
    matrix = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(turn_deg)):
        first, second = [each for each in range(3) if each != axis]
        turn = np.eye(4)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix[:3, :3] /= scale
    matrix[:3, 3] = extent / 2 - matrix[:3, :3] @ (extent / 2) - shift_mm
    size = tuple(int(each) for each in extent / voxel_mm)
    indices = np.diag([1 / VOXEL_MM] * 3 + [1]) @ matrix @ np.diag([*voxel_mm, 1])
    volume = ndimage.affine_transform(
        start.volume, indices[:3, :3], indices[:3, 3], size, order=1, mode="constant"
    )
    return MadeHead(volume.astype(np.float32), voxel_mm, matrix)


def write_head(  # noqa: PLR0913 - each keyword is one way to store the same head
    path: Path,
    head: MadeHead,
    *,
    dtype: type = np.int16,
    axes: str = "RAS",
    has_affine: bool = True,
    volume: NDArray[np.generic] | None = None,
) -> Path:
    """Write a head as NIfTI.

    Parameters
    ----------
    axes : str
        Where the file's axes point, such as ``PIR``.
    has_affine : bool
        Whether sform and qform say where the head lies.
    volume : ndarray, optional
        Written in place of the head's own.
    """
    data = np.asarray(head.volume if volume is None else volume)
    affine = np.diag([*head.voxel_mm, 1.0])
    affine[:3, 3] = -np.array(data.shape[:3]) * head.voxel_mm / 2
    image = nib.Nifti1Image(data.astype(dtype), affine)
    image.set_data_dtype(dtype)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    image = image.as_reoriented(turn)
    code = 1 if has_affine else 0
    image.set_sform(image.affine if has_affine else None, code)
    image.set_qform(image.affine if has_affine else None, code)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path
