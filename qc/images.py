"""Reads NIfTI images into arrays that measures can rely on: finite, three or four axes, RAS+.

Not here: finding files, measures.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

_MOST_VALUES = 1 << 30
"""Above this many values (4 GiB as float32) an image is refused before it is read."""
_PLAUSIBLE_MM = (0.01, 100.0)
_CHUNK_BYTES = 1 << 20


class UnreadableImageError(ValueError):
    """A file is no image that can be measured; the message names no file and no content."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in memory.

    Parameters
    ----------
    data : ndarray of float32, shape (X, Y, Z) or (X, Y, Z, T)
        Finite. The voxel axes run roughly to the right, to the front and up (RAS+).
    voxel_mm : tuple of float
        Distance of voxels along each axis, in mm.
    affine_ras : ndarray, shape (4, 4)
        From voxel indices to RAS+ mm.
    repetition_s : float or None
        Time between volumes, in s, as the header has it; None where it has none.
    notes : tuple of str
        What had to be put right, as sentences.
    sha256 : str
        Of the file's bytes.
    """

    data: Volume
    voxel_mm: tuple[float, float, float]
    affine_ras: NDArray[np.float64]
    repetition_s: float | None
    notes: tuple[str, ...]
    sha256: str


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def array_sha256(array: Mask) -> str:
    """Return the SHA-256 of a mask: its shape, then one byte a voxel in C order."""
    shape = "x".join(map(str, array.shape)).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(array, dtype=np.uint8).tobytes()).hexdigest()


def load_image(path: Path) -> Image:
    """Read a NIfTI image.

    NaN and infinite voxels become 0, which a note says; voxel sizes that cannot be are taken
    for 1 mm, which a note says too.

    Raises
    ------
    UnreadableImageError
        The file is truncated or no NIfTI image, its voxels are not single real numbers, it has
        fewer than three or more than four axes, or it has no voxel or too many.
    """
    try:
        found: Any = nib.load(path)
        data, affine, voxel_mm, repetition_s, notes = _read(found)
    except UnreadableImageError:
        raise
    except (
        ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, gzip.BadGzipFile,
        ValueError, OverflowError, TypeError, KeyError,
    ) as error:  # fmt: skip
        # The library's text may hold the path, and the path a name.
        raise UnreadableImageError(
            "It cannot be read as a NIfTI image: it is truncated, damaged or of another format."
        ) from error
    return Image(data, voxel_mm, affine, repetition_s, notes, sha256_of(path))


def _read(
    found: Any,
) -> tuple[Volume, NDArray[np.float64], tuple[float, float, float], float | None, tuple[str, ...]]:
    if not isinstance(found, nib.Nifti1Image):
        raise UnreadableImageError("It is an image of another format than NIfTI.")
    header: Any = found.header
    kind = header.get_data_dtype()
    if kind.kind not in "iuf":
        raise UnreadableImageError("Its voxels are no single real numbers (colours or complex).")
    shape = _three_or_four(found.shape)
    if not 0 < int(np.prod(shape, dtype=object)) <= _MOST_VALUES:
        raise UnreadableImageError("It has no voxel, or more than can be held in memory.")
    notes: list[str] = []
    zooms = [float(size) for size in header.get_zooms()]
    affine = np.asarray(found.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) == 0:
        notes.append("The header gives no usable position; the voxel axes are taken as they are.")
        affine = np.diag([*_plausible(zooms[:3], notes), 1.0])
    # Scaled as float32: float64 would double the memory for nothing that a measure sees.
    with np.errstate(all="ignore"):
        raw = found.get_fdata(dtype=np.float32, caching="unchanged")
    data = np.asarray(raw, dtype=np.float32).reshape(shape)
    data, affine = _to_ras(data, affine)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    voxel_mm = _plausible(list(lengths), notes)
    data = _finite(data, notes)
    time_s = _repetition_s(found, zooms) if data.ndim == 4 else None  # noqa: PLR2004 - axes
    return data, affine, voxel_mm, time_s, tuple(notes)


def _three_or_four(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of three or four axes; trailing axes of length 1 are dropped."""
    kept = list(shape)
    while len(kept) > 3 and kept[-1] == 1:  # noqa: PLR2004 - three axes are a volume
        kept.pop()
    if len(kept) not in (3, 4):
        raise UnreadableImageError(f"It has {len(kept)} axes; three or four are needed.")
    return tuple(kept)


def _plausible(sizes: list[float], notes: list[str]) -> tuple[float, float, float]:
    low, high = _PLAUSIBLE_MM
    if all(low <= size <= high for size in sizes) and len(sizes) == 3:  # noqa: PLR2004 - axes
        return sizes[0], sizes[1], sizes[2]
    notes.append("The header gives voxel sizes that cannot be; 1 mm is taken for each.")
    return 1.0, 1.0, 1.0


def _to_ras(data: Volume, affine: NDArray[np.float64]) -> tuple[Volume, NDArray[np.float64]]:
    # Typed loosely: the library's own types differ between its versions.
    orientations: Any = nib.orientations
    orientation = orientations.io_orientation(affine)
    if np.isnan(orientation).any():
        return data, affine
    turned = orientations.apply_orientation(data, orientation)
    back = orientations.inv_ornt_aff(orientation, data.shape[:3])
    affine = affine @ back
    return turned, affine


def _finite(data: Volume, notes: list[str]) -> Volume:
    good = np.isfinite(data)
    bad_count = int(data.size - np.count_nonzero(good))
    if not bad_count:
        return data
    notes.append(f"{bad_count} voxels are not finite numbers (NaN or infinite); 0 stands for them.")
    return np.where(good, data, np.float32(0))


def _repetition_s(found: Any, zooms: list[float]) -> float | None:
    if len(zooms) < 4:  # noqa: PLR2004 - the fourth is time
        return None
    scale = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
    time_s = zooms[3] * scale.get(found.header.get_xyzt_units()[1], float("nan"))
    return time_s if np.isfinite(time_s) and time_s > 0 else None
