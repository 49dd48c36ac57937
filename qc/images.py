"""Reads NIfTI images into arrays that measures can rely on: finite, three or four axes, RAS+.

Not here: finding files, measures.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
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
_LONGEST_REPETITION_S = 100.0
_CHUNK_BYTES = 1 << 20
_COMPRESSED = ".gz"
_GZIP = 31
"""zlib's number for data in gzip's wrapping, whose checksum it then compares."""
_GZIP_MARK = b"\x1f"
_MOST_PACKED = 1100
"""No compressed byte of deflate stands for more (RFC 1951 allows 1032)."""


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
        Time between volumes, in s, as the header has it; None where it has none, or one above
        100 s, which is milliseconds called seconds.
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


@dataclass(frozen=True, slots=True)
class Extent:
    """How much an image holds: numbers, volumes, and bytes of one number in its file."""

    values: int
    volumes: int
    bytes_per_value: int


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises
    ------
    EOFError, zlib.error
        Its name ends with ``.gz``, and its content is cut short, or not what its own checksum
        says. Reading the voxels alone does not show it: they end before the checksum.
    """
    digest = hashlib.sha256()
    unpacking = _Unpacking() if path.name.lower().endswith(_COMPRESSED) else None
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            if unpacking is not None:
                unpacking.take(chunk)
    if unpacking is not None:
        unpacking.end()
    return digest.hexdigest()


class _Unpacking:
    """Follows compressed data to the checksum of its last member; keeps nothing of it."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._is_over = False

    def take(self, chunk: bytes) -> None:
        while chunk and not self._is_over:
            if self._member.eof:
                # Bytes that begin no further member are padding.
                self._is_over = not chunk.startswith(_GZIP_MARK)
                self._member = self._member if self._is_over else zlib.decompressobj(_GZIP)
                continue
            self._member.decompress(chunk, _CHUNK_BYTES)
            chunk = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def end(self) -> None:
        if not self._member.eof:
            raise EOFError


def array_sha256(array: Mask) -> str:
    """Return the SHA-256 of a mask: its shape, then one byte a voxel in C order."""
    shape = "x".join(map(str, array.shape)).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(array, dtype=np.uint8).tobytes()).hexdigest()


def read_extent(path: Path) -> Extent:
    """Return how much an image's header says that it holds; no voxel is read.

    Raises
    ------
    UnreadableImageError
        As `load_image`, as far as the header shows it.
    """
    with _refusing():
        found: Any = _opened(path)
        shape = _checked_shape(found)
        volumes = shape[3] if len(shape) == 4 else 1  # noqa: PLR2004 - time
        return Extent(
            int(np.prod(shape, dtype=object)), volumes, found.header.get_data_dtype().itemsize
        )


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
    with _refusing():
        found: Any = _opened(path)
        sha256 = sha256_of(path)
        data, affine, voxel_mm, repetition_s, notes = _read(found)
    return Image(data, voxel_mm, affine, repetition_s, notes, sha256)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
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


def _read(
    found: Any,
) -> tuple[Volume, NDArray[np.float64], tuple[float, float, float], float | None, tuple[str, ...]]:
    shape = _checked_shape(found)
    header: Any = found.header
    notes: list[str] = []
    zooms = [float(size) for size in header.get_zooms()]
    if int(header["sform_code"]) == 0:
        _note_odd_sizes(found, notes)
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


def _opened(path: Path) -> Any:
    """Return an image of which the header was read.

    The file's length is compared with what the header claims: memory for voxels that are not
    there would be taken before anybody missed them.
    """
    with path.open("rb") as stream:
        mark = stream.read(2)
    if not mark:
        raise UnreadableImageError("The file is empty.")
    is_packed = mark == b"\x1f\x8b"
    if is_packed != path.name.lower().endswith(_COMPRESSED):
        raise UnreadableImageError(
            "Its name ends with .nii, but it is compressed. Rename it to .nii.gz."
            if is_packed
            else "Its name ends with .gz, but it is not compressed by gzip. Look what it is."
        )
    found: Any = nib.load(path)
    claimed = int(np.prod(_checked_shape(found), dtype=object))
    claimed *= found.header.get_data_dtype().itemsize
    if claimed > path.stat().st_size * (_MOST_PACKED if is_packed else 1):
        raise UnreadableImageError(
            f"It is truncated, or its header is wrong: the header claims {claimed:,} bytes of "
            "voxels, and the file is too short for them."
        )
    return found


def _checked_shape(found: Any) -> tuple[int, ...]:
    """Return the shape of an image whose header says that it can be measured."""
    if not isinstance(found, nib.Nifti1Image):
        raise UnreadableImageError("It is an image of another format than NIfTI.")
    header: Any = found.header
    if header.get_data_dtype().kind not in "iuf":
        raise UnreadableImageError("Its voxels are no single real numbers (colours or complex).")
    shape = _three_or_four(found.shape)
    values = int(np.prod(shape, dtype=object))
    if values <= 0:
        raise UnreadableImageError("It has no voxel.")
    if values > _MOST_VALUES:
        raise UnreadableImageError(
            f"Its header claims {values:,} values; no more than {_MOST_VALUES:,} are measured."
        )
    return shape


def _three_or_four(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of three or four axes; trailing axes of length 1 are dropped."""
    kept = list(shape)
    while len(kept) > 3 and kept[-1] == 1:  # noqa: PLR2004 - three axes are a volume
        kept.pop()
    if len(kept) not in (3, 4):
        raise UnreadableImageError(f"Its number of axes is {len(kept)}; three or four are needed.")
    return tuple(kept)


def _plausible(sizes: list[float], notes: list[str]) -> tuple[float, float, float]:
    low, high = _PLAUSIBLE_MM
    if all(low <= size <= high for size in sizes) and len(sizes) == 3:  # noqa: PLR2004 - axes
        return sizes[0], sizes[1], sizes[2]
    notes.append("The header gives voxel sizes that cannot be; 1 mm is taken for each.")
    return 1.0, 1.0, 1.0


def _note_odd_sizes(found: Any, notes: list[str]) -> None:
    """Say where the file has voxel sizes that the library silently puts right."""
    with found.file_map["image"].get_prepare_fileobj("rb") as stream:
        as_stored = type(found.header).from_fileobj(stream, check=False)
    sizes = as_stored["pixdim"][1:4]
    if (sizes == 0).any():
        notes.append("The header gives a voxel size of 0; 1 mm is taken for it.")
    if (sizes < 0).any():
        notes.append("The header gives negative voxel sizes; they are taken without the sign.")


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
    notes.append(
        f"{bad_count} values are NaN, infinite or too large for single precision; 0 stands for "
        "them."
    )
    return np.where(good, data, np.float32(0))


def _repetition_s(found: Any, zooms: list[float]) -> float | None:
    if len(zooms) < 4:  # noqa: PLR2004 - the fourth is time
        return None
    scale = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
    time_s = zooms[3] * scale.get(found.header.get_xyzt_units()[1], float("nan"))
    return time_s if 0 < time_s <= _LONGEST_REPETITION_S else None
