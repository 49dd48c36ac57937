"""Copies NIfTI images without the texts of their headers; voxels stay bit for bit.

NIfTI-1 and NIfTI-2, both byte orders, ``.nii``, ``.nii.gz`` and pairs of ``.hdr`` and ``.img``.
Streamed, so memory does not depend on the image. A compressed image is compressed again at the
fastest level, because the header lies inside the compressed stream. Not here: faces in voxels.

References
----------
NIfTI-1: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h; NIfTI-2: nifti2.h there.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from containers.scrub_headers.errors import RefusedFileError

_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_DIMENSIONS = 7
_MAX_VOXELS_AT = 1 << 26
"""Bytes of header and extensions that are read at once."""
_CIFTI_INTENTS = range(3000, 3100)
_BITS = {
    2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64,
    1280: 64, 1536: 128, 1792: 128, 2048: 256, 2304: 32,
}  # fmt: skip
"""Bits a voxel for each code of the NIfTI data types."""
_DESCRIPTION = re.compile(
    r"(?:(?:TE|TR|TI|FA)=\d{1,5}(?:\.\d{1,4})?|phase=[01]|mb=\d{1,2}"
    r"|FSL\d\.\d\.\d{1,2}|\d\.\d\.\d{1,2}(?::[0-9a-f]{8})?)"
)
"""Words of ``descrip`` that stay: contrast times, FSL's version. Not dcm2niix's time of day."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a version keeps its fields: offset in bytes and format of `struct`."""

    size_bytes: int
    magics: tuple[bytes, bytes]
    magic_at: int
    dims: tuple[int, str]
    datatype_at: int
    intent_at: tuple[int, str]
    voxels_at: tuple[int, str]
    texts: tuple[tuple[str, int, int], ...]
    unused: tuple[tuple[int, int], ...]

    @property
    def data_start(self) -> int:
        """Return where voxels begin in a single file without extensions."""
        return self.size_bytes + 4


_NIFTI_1 = _Layout(
    size_bytes=348,
    magics=(b"n+1\0", b"ni1\0"),
    magic_at=344,
    dims=(40, "8h"),
    datatype_at=70,
    intent_at=(68, "h"),
    voxels_at=(108, "f"),
    texts=(
        ("data_type", 4, 10),
        ("db_name", 14, 18),
        ("descrip", 148, 80),
        ("aux_file", 228, 24),
        ("intent_name", 328, 16),
    ),
    unused=((32, 6), (140, 8)),
)
_NIFTI_2 = _Layout(
    size_bytes=540,
    magics=(b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"),
    magic_at=4,
    dims=(16, "8q"),
    datatype_at=12,
    intent_at=(504, "i"),
    voxels_at=(168, "q"),
    texts=(
        ("descrip", 240, 80),
        ("aux_file", 320, 24),
        ("intent_name", 508, 16),
        ("unused_str", 525, 15),
    ),
    unused=(),
)
_LAYOUTS = (_NIFTI_1, _NIFTI_2)


@dataclass(frozen=True, slots=True)
class _Header:
    """A header that was understood: cleaned, with where its voxels are."""

    content: bytes
    is_pair: bool
    voxels_at: int
    voxel_bytes: int


def is_nifti_name(name: str) -> bool:
    """Return whether a file name has a suffix of NIfTI."""
    return name.lower().endswith((".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"))


def scrub_nifti(source: Path, target: Path) -> Counter[str]:
    """Copy a single-file image; return how often each rule was used.

    Raises
    ------
    RefusedFileError
        It is no NIfTI file, is damaged or cut short, or holds what cannot be vouched for.
    """
    return _guarded(lambda: _scrub_single(source, target))


def scrub_nifti_pair(
    header_path: Path, image_path: Path, targets: tuple[Path, Path]
) -> Counter[str]:
    """Copy a pair of header and image; return how often each rule was used.

    Raises
    ------
    RefusedFileError
        As `scrub_nifti`.
    """
    return _guarded(lambda: _scrub_pair(header_path, image_path, targets))


def _guarded(action: Callable[[], Counter[str]]) -> Counter[str]:
    try:
        return action()
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise RefusedFileError("Its compressed content is damaged or cut short.") from None


def _scrub_single(source: Path, target: Path) -> Counter[str]:
    changes: Counter[str] = Counter()
    with ExitStack() as stack:
        stream = _opened(source, stack, changes)
        layout, header = _read_header(stream, changes)
        if header.is_pair:
            raise RefusedFileError("It is the header of a pair, but has the name of a whole image.")
        between = _exactly(stream, header.voxels_at - layout.size_bytes)
        changes["NIfTI: bytes between header and voxels dropped"] += any(between)
        out = _Writer(target, stack, is_compressed=target.suffix == ".gz")
        out.write(header.content + b"\0\0\0\0")
        _copy(stream, out, header.voxel_bytes)
        changes["NIfTI: bytes after the voxels dropped"] += bool(stream.read(1))
        out.finish()
    return +changes


def _scrub_pair(header_path: Path, image_path: Path, targets: tuple[Path, Path]) -> Counter[str]:
    changes: Counter[str] = Counter()
    with ExitStack() as stack:
        stream = _opened(header_path, stack, changes)
        _, header = _read_header(stream, changes)
        if not header.is_pair:
            raise RefusedFileError("It is a whole image, but has the name of a header.")
        changes["NIfTI: extensions dropped"] += any(stream.read(_CHUNK_BYTES))
        voxels = _opened(image_path, stack, changes)
        before = _exactly(voxels, header.voxels_at)
        changes["NIfTI: bytes before the voxels dropped"] += any(before)
        first, second = (
            _Writer(target, stack, is_compressed=target.suffix == ".gz") for target in targets
        )
        first.write(header.content + b"\0\0\0\0")
        _copy(voxels, second, header.voxel_bytes)
        changes["NIfTI: bytes after the voxels dropped"] += bool(voxels.read(1))
        first.finish()
        second.finish()
    return +changes


def _opened(path: Path, stack: ExitStack, changes: Counter[str]) -> BinaryIO:
    raw = stack.enter_context(path.open("rb"))
    start = raw.read(10)
    raw.seek(0)
    if not start.startswith(_GZIP_MAGIC):
        return raw
    # Flags: 2 header checksum, 4 extra field, 8 file name, 16 comment; then four bytes of time.
    if any(start[3:8]):
        changes["gzip: name, time or comment dropped"] += 1
    return stack.enter_context(gzip.open(raw))  # type: ignore[return-value]  # reads bytes


def _read_header(stream: BinaryIO, changes: Counter[str]) -> tuple[_Layout, _Header]:
    start = _exactly(stream, 4)
    for layout in _LAYOUTS:
        for order in "<>":
            if struct.unpack(f"{order}i", start)[0] == layout.size_bytes:
                content = start + _exactly(stream, layout.size_bytes - 4)
                return layout, _cleaned(bytearray(content), layout, order, changes)
    raise RefusedFileError("It is no NIfTI image: its header has another length.")


def _cleaned(content: bytearray, layout: _Layout, order: str, changes: Counter[str]) -> _Header:
    magic = bytes(content[layout.magic_at : layout.magic_at + len(layout.magics[0])])
    if magic not in layout.magics:
        raise RefusedFileError(
            "It has no NIfTI mark; older Analyze headers hold names and dates and are not copied."
        )
    intent = _one(content, order, layout.intent_at)
    if intent in _CIFTI_INTENTS:
        raise RefusedFileError(
            "It is a CIFTI file, whose description lies in an extension that cannot be checked."
        )
    voxel_bytes = _voxel_bytes(content, layout, order)
    is_pair = magic == layout.magics[1]
    place = _one(content, order, layout.voxels_at)
    least = 0 if is_pair else layout.data_start
    if not math.isfinite(place) or place != int(place) or not least <= place <= _MAX_VOXELS_AT:
        raise RefusedFileError("Its header does not say where the voxels begin.")
    for name, at, length in layout.texts:
        text = bytes(content[at : at + length])
        kept = _kept_description(text) if name == "descrip" else b""
        content[at : at + length] = kept.ljust(length, b"\0")
        changes[f"NIfTI: {name} cleaned"] += text.rstrip(b"\0") != kept
    for at, length in layout.unused:
        content[at : at + length] = bytes(length)
    offset, code = layout.voxels_at
    struct.pack_into(f"{order}{code}", content, offset, 0 if is_pair else layout.data_start)
    return _Header(bytes(content), is_pair, int(place), voxel_bytes)


def _voxel_bytes(content: bytearray, layout: _Layout, order: str) -> int:
    at, code = layout.dims
    dims = list(struct.unpack_from(f"{order}{code}", content, at))
    datatype, bits = struct.unpack_from(f"{order}2h", content, layout.datatype_at)
    count = dims[0]
    if not 1 <= count <= _MAX_DIMENSIONS or min(dims[1 : count + 1]) < 1:
        raise RefusedFileError("Its dimensions are not those of an image.")
    if _BITS.get(datatype) != bits:
        raise RefusedFileError("Its data type and bits a voxel do not belong together.")
    # Numbers behind the last dimension mean nothing and could hold anything.
    dims[count + 1 :] = [1] * (_MAX_DIMENSIONS - count)
    struct.pack_into(f"{order}{code}", content, at, *dims)
    return int(math.prod(dims[1 : count + 1])) * int(bits) // 8


def _one(content: bytearray, order: str, place: tuple[int, str]) -> float:
    value: float = struct.unpack_from(f"{order}{place[1]}", content, place[0])[0]
    return value


def _kept_description(text: bytes) -> bytes:
    plain = text.split(b"\0")[0].decode("latin-1")
    words = [each.strip() for each in re.split(r"[; ]", plain)]
    return ";".join(each for each in words if _DESCRIPTION.fullmatch(each)).encode("ascii")


def _exactly(stream: BinaryIO, count: int) -> bytes:
    content = stream.read(count)
    if len(content) != count:
        raise RefusedFileError("It is cut short.")
    return content


def _copy(stream: BinaryIO, out: _Writer, count: int) -> None:
    while count:
        chunk = stream.read(min(count, _CHUNK_BYTES))
        if not chunk:
            raise RefusedFileError("It is cut short: it has fewer voxels than its header says.")
        out.write(chunk)
        count -= len(chunk)


class _Writer:
    """A file that is written plainly or as gzip without name and time."""

    def __init__(self, path: Path, stack: ExitStack, *, is_compressed: bool) -> None:
        self._stream = stack.enter_context(path.open("wb"))
        # zlib's own gzip header has neither name nor comment, and its time is zero.
        self._gzip = zlib.compressobj(1, wbits=31) if is_compressed else None

    def write(self, content: bytes) -> None:
        self._stream.write(self._gzip.compress(content) if self._gzip else content)

    def finish(self) -> None:
        if self._gzip:
            self._stream.write(self._gzip.flush())
