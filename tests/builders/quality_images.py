"""Images for tests of quality measures: phantoms in memory and as NIfTI files, seeded."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from qc.images import Image

BOLD_MM = (3.0, 3.0, 3.3)


def in_memory(data: NDArray[np.floating], voxel_mm: tuple[float, float, float] = BOLD_MM) -> Image:
    """Return an array as an image that was read without any complaint."""
    affine = np.diag([*voxel_mm, 1.0])
    return Image(np.asarray(data, dtype=np.float32), voxel_mm, affine, 2.0, (), "0" * 64)


def write_nifti(
    path: Path,
    data: NDArray[np.generic],
    voxel_mm: tuple[float, float, float] = BOLD_MM,
    affine: NDArray[np.float64] | None = None,
) -> Path:
    """Write an array as NIfTI, with folders as needed; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, np.diag([*voxel_mm, 1.0]) if affine is None else affine)
    if data.ndim == 4:
        image.header.set_zooms((*voxel_mm, 2.0))
        image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path
