"""Draws the middle slices of an image in three directions, as small grey PNG files.

Not here: the page that shows them (``page``).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from containers.dicom_to_bids.nifti import NiftiHeader, read_nifti_header

_LONGEST_SIDE = 120
"""Pixels of a picture's longer side, at most."""
_DARKEST, _BRIGHTEST = 1.0, 99.0
"""Percentiles of the slice that become black and white."""
_PNG_LEVEL = 6
_VOXEL_TYPES = MappingProxyType(
    {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
)
"""NIfTI-1's codes of voxels that are single numbers."""
_PLANES = (("transverse", 2, (0, 1)), ("coronal", 1, (0, 2)), ("sagittal", 0, (1, 2)))
"""Name, world axis across (RAS+: right, front, up), world axes to the side and up."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One picture: its plane, the PNG file, and the size it is shown at, in pixels."""

    plane: str
    png: bytes
    width: int
    height: int


def draw_slices(path: Path) -> tuple[Slice, ...]:
    """Return the middle slices of an uncompressed NIfTI image's first volume.

    Transverse and coronal slices have the patient's left on the left, the sagittal one the front
    on the right; what is seen only edge-on is not drawn. None at all where a voxel is no single
    number.
    """
    header = read_nifti_header(path)
    kind = _VOXEL_TYPES.get(header.data_type)
    if kind is None or not prod(header.shape):
        return ()
    shape = (*header.shape, 1, 1)[:3]
    # Mapped, so that only the pages of these slices are read.
    volume = np.memmap(path, kind, "r", header.offset_bytes, shape, order="F")
    return tuple(_slices(volume, header))


def _slices(volume: NDArray[np.generic], header: NiftiHeader) -> Iterator[Slice]:
    axes, signs = _orientation(header)
    for plane, across, (side, up) in _PLANES:
        if min(volume.shape[axes[side]], volume.shape[axes[up]]) < 2:  # noqa: PLR2004 - a line
            continue
        place: list[slice | int] = [slice(None)] * 3
        place[axes[across]] = volume.shape[axes[across]] // 2
        picture = np.asarray(volume[tuple(place)], dtype=np.float64)
        # Rows run up, columns to the side.
        picture = picture.T if axes[side] < axes[up] else picture
        # World axes grow to the right, front and top; the page begins at the left and the top.
        if signs[up] > 0:
            picture = picture[::-1]
        if signs[side] < 0:
            picture = picture[:, ::-1]
        yield _shown(plane, picture, header, (axes[side], axes[up]))


def _shown(
    plane: str, picture: NDArray[np.float64], header: NiftiHeader, axes: tuple[int, int]
) -> Slice:
    rows, columns = picture.shape
    width_mm, height_mm = (header.voxel_size_mm[axis] or 1.0 for axis in axes)
    width, height = columns * width_mm, rows * height_mm
    scale = _LONGEST_SIDE / max(width, height)
    step = -(-max(picture.shape) // (2 * _LONGEST_SIDE))
    return Slice(
        plane,
        _png(_grey(picture[::step, ::step])),
        max(1, round(width * scale)),
        max(1, round(height * scale)),
    )


def _orientation(header: NiftiHeader) -> tuple[list[int], list[int]]:
    """Return for each world axis the voxel axis nearest to it, and its sign."""
    matrix = np.array(header.affine_ras)[:, :3]
    lengths = np.linalg.norm(matrix, axis=0)
    cosines = matrix / np.where(lengths > 0, lengths, 1)
    axes, signs = [0, 1, 2], [1, 1, 1]
    left = np.abs(np.nan_to_num(cosines))
    for _ in range(3):
        world, voxel = np.unravel_index(int(np.argmax(left)), left.shape)
        axes[int(world)] = int(voxel)
        signs[int(world)] = -1 if cosines[world, voxel] < 0 else 1
        left[world, :] = -1
        left[:, voxel] = -1
    return axes, signs


def _grey(plane: NDArray[np.float64]) -> NDArray[np.uint8]:
    finite = plane[np.isfinite(plane)]
    if not finite.size:
        return np.zeros(plane.shape, np.uint8)
    low, high = np.percentile(finite, (_DARKEST, _BRIGHTEST))
    span = high - low if high > low else 1.0
    scaled = np.clip((np.nan_to_num(plane, nan=low) - low) / span, 0.0, 1.0)
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)


def _png(grey: NDArray[np.uint8]) -> bytes:
    """Return a PNG file (ISO/IEC 15948): 8-bit grey, no text and no time in it."""
    height, width = grey.shape
    # Each line begins with its filter; 0 is none.
    lines = np.hstack([np.zeros((height, 1), np.uint8), grey]).tobytes()
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, _PNG_LEVEL)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
