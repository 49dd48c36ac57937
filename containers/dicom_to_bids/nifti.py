"""Reads the headers of dcm2niix's images, and packs the images without texts and times.

By hand and not with nibabel: this is 348 bytes of fixed places, and importing nibabel takes
longer than converting a session. Not here: pictures (``page``), or what images are (``convert``).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path

from containers.contract import ToolFailedError

_HEADER_BYTES = 348
_MAGIC = b"n+1\0"
_NO_EXTENSION = bytes(4)
_GZIP_LEVEL, _GZIP_WINDOW, _GZIP_MEMORY = 1, 31, 8
"""Voxels are mostly noise: level 6 of nine takes five times as long to save two per cent, and a
search for more than runs of equal bytes half as long again to save as much. The window's 31 is
15 bits, the most, with gzip's frame."""
_CHUNK_BYTES = 1 << 20
_FREE_TEXTS = ((4, 14), (148, 104), (328, 16))
"""Start and length in bytes of data_type and db_name, descrip and aux_file, intent_name."""
_EXTENTS = (32, 36)
"""Start and end of extents, unused: some converters leave bytes there."""
_SFORM_CODE_AT, _SFORM_AT, _OFFSET_AT = 254, 280, 108


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """What the NIfTI-1 header says (https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h).

    ``shape`` in voxels, ``voxel_size_mm`` of the first three axes, ``data_type`` the standard's
    code, ``affine_ras`` three rows from voxel to RAS+ mm, ``offset_bytes`` of the first voxel.
    """

    shape: tuple[int, ...]
    voxel_size_mm: tuple[float, float, float]
    data_type: int
    voxel_bytes: int
    affine_ras: tuple[tuple[float, float, float, float], ...]
    offset_bytes: int
    block: bytes

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all voxels."""
        return self.voxel_bytes * prod(self.shape)

    @property
    def texts(self) -> tuple[bytes, ...]:
        """Return the free text fields without padding."""
        return tuple(
            self.block[start : start + length].strip(b"\0") for start, length in _FREE_TEXTS
        )


def read_nifti_header(path: Path) -> NiftiHeader:
    """Read the header of an uncompressed NIfTI-1 file of this machine's byte order.

    Raises
    ------
    ToolFailedError
        The file is something else, which dcm2niix does not write.
    """
    with path.open("rb") as stream:
        return parse_nifti_header(stream.read(_HEADER_BYTES))


def parse_nifti_header(block: bytes) -> NiftiHeader:
    """Return what the first bytes of an image say.

    Raises
    ------
    ToolFailedError
        They are no NIfTI-1 header of this machine's byte order.
    """
    block = block[:_HEADER_BYTES]
    is_nifti = len(block) == _HEADER_BYTES and block[344:348] == _MAGIC
    if not is_nifti or struct.unpack_from("=i", block)[0] != _HEADER_BYTES:
        raise ToolFailedError(
            "dcm2niix wrote a file of another kind than NIfTI-1; install the version that the "
            "requirements name."
        )
    dims = struct.unpack_from("=8h", block, 40)
    data_type, bits = struct.unpack_from("=2h", block, 70)
    sizes = struct.unpack_from("=8f", block, 76)
    rows = struct.unpack_from("=12f", block, _SFORM_AT)
    if not struct.unpack_from("=h", block, _SFORM_CODE_AT)[0]:
        rows = (sizes[1], 0, 0, 0, 0, sizes[2], 0, 0, 0, 0, sizes[3], 0)
    return NiftiHeader(
        shape=tuple(dims[1 : 1 + dims[0]]),
        voxel_size_mm=(abs(sizes[1]), abs(sizes[2]), abs(sizes[3])),
        data_type=data_type,
        voxel_bytes=bits // 8,
        affine_ras=(rows[0:4], rows[4:8], rows[8:12]),
        offset_bytes=int(struct.unpack_from("=f", block, _OFFSET_AT)[0]),
        block=block,
    )


def pack_all(files: Iterable[tuple[Path, Path]]) -> None:
    """Pack images, each from one path to another, on all processors this process may use.

    Raises
    ------
    ToolFailedError
        An image is shorter than its header says.
    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for result in [pool.submit(pack_nifti, *paths) for paths in files]:
            result.result()


def pack_nifti(source_path: Path, target_path: Path) -> None:
    """Pack an image with empty text fields, no extension and nothing behind the voxels.

    The packed file holds neither its name nor a time (RFC 1952, section 2.3). Piece by piece: a
    long series at high resolution is larger than the memory of a container.

    Raises
    ------
    ToolFailedError
        The image is shorter than its header says.
    """
    header = read_nifti_header(source_path)
    size = header.size_bytes
    if source_path.stat().st_size < header.offset_bytes + size:
        raise ToolFailedError(
            "dcm2niix wrote an image that is shorter than its header says; convert the session "
            "again with enough free disk space."
        )
    with (
        source_path.open("rb") as source,
        target_path.open("wb") as target,
    ):
        packer = zlib.compressobj(
            _GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW, _GZIP_MEMORY, zlib.Z_RLE
        )
        target.write(packer.compress(_cleaned(header.block) + _NO_EXTENSION))
        source.seek(header.offset_bytes)
        for begin in range(0, size, _CHUNK_BYTES):
            target.write(packer.compress(source.read(min(_CHUNK_BYTES, size - begin))))
        target.write(packer.flush())


def _cleaned(block: bytes) -> bytes:
    clean = bytearray(block)
    for start, length in _FREE_TEXTS:
        clean[start : start + length] = bytes(length)
    clean[_EXTENTS[0] : _EXTENTS[1]] = bytes(_EXTENTS[1] - _EXTENTS[0])
    struct.pack_into("=f", clean, _OFFSET_AT, _HEADER_BYTES + len(_NO_EXTENSION))
    return bytes(clean)
