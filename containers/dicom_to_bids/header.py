"""Reads the few header elements that this step looks at, in one pass over each file.

A session has thousands of files, and a general reader spends milliseconds on each. This one
walks over the top level of the data set (PS3.5, sections 7.1 and 7.5) and jumps over the rest;
what it does not understand it leaves to pydicom. Not here: what the values mean
(``inventory``).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from containers.dicom_to_bids.header_tags import (
    CSA_IMAGE_HEADER,
    FACT_TAGS,
    MOSAIC_IMAGES,
    NUMBERS,
    PERSON_TAGS,
    PYTHON_CODECS,
    VFRAME_IMAGES,
)

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_NATIVE = frozenset({IMPLICIT, EXPLICIT, BIG_ENDIAN})
"""Transfer syntaxes in which the length of the pixels follows from their number."""
_PREAMBLE = 132
_MAGIC = b"DICM"
_WINDOW_BYTES = 1 << 18
_LARGEST_HEADER = 1 << 26
"""Bytes that a header may take (64 MB; enhanced images of thousands of frames stay below)."""
_FIRST_PIXEL_TAG, _PIXEL_GROUP = 0x7FE00008, 0x7FE0
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_UNKNOWN_LENGTH = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_END_OF_ITEMS = b"\xfe\xff\xdd\xe0"
_TAIL_BYTES = 64
_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_SHORT_VRS = frozenset(
    {
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT"),
        *(b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    }
)
_COUNTS = frozenset({MOSAIC_IMAGES, VFRAME_IMAGES, CSA_IMAGE_HEADER})
_WANTED: Mapping[int, str] = MappingProxyType(
    {tag: keyword for table in (FACT_TAGS, PERSON_TAGS, NUMBERS) for keyword, tag in table.items()}
)
_WANTED_OR_COUNTS = frozenset(_WANTED) | _COUNTS


class PixelState(Enum):
    """What a file has of its pixel element."""

    NONE = "none"
    CUT = "cut short"
    WHOLE = "whole"


class NotUnderstoodError(Exception):
    """The data set has a form that this reader leaves to pydicom."""


@dataclass(frozen=True, slots=True)
class Header:
    """What was read of one file.

    ``texts`` are values by DICOM keyword; ``persons`` those that identify, undecoded, which are
    the same in most files of a session. ``slice_count``: pictures in this file; of a mosaic its
    tiles, 0 where nothing says how many these are.
    """

    texts: Mapping[str, str]
    persons: tuple[tuple[str, bytes], ...]
    codec: str
    pixels: PixelState
    slice_count: int


def read_header(path: Path) -> Header | None:
    """Return the header of a DICOM file, or None where the magic word is missing.

    Raises
    ------
    NotUnderstoodError
        The data set is damaged, or of a form for pydicom.
    OSError
        The file cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(_WINDOW_BYTES)
        if data[_PREAMBLE - len(_MAGIC) : _PREAMBLE] != _MAGIC:
            return None
        size = path.stat().st_size
        try:
            header = _parse(data, size)
            if header is None and size <= _LARGEST_HEADER:
                data += stream.read()
                header = _parse(data, size)
        except (struct.error, IndexError, ValueError, zlib.error) as error:
            raise NotUnderstoodError from error
        if header is None:
            raise NotUnderstoodError
        if header.pixels is PixelState.CUT and size > len(data):
            # Compressed pixels: what lies behind the window decides.
            stream.seek(-_TAIL_BYTES, 2)
            if _END_OF_ITEMS in stream.read():
                header = Header(
                    *(header.texts, header.persons, header.codec),
                    *(PixelState.WHOLE, header.slice_count),
                )
        return header


def _parse(data: bytes, size: int) -> Header | None:
    """Return the header; None where the data end before the header does and the file goes on."""
    meta_end, syntax = _meta(data)
    if syntax == DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[meta_end:], _LARGEST_HEADER)
        size, meta_end = len(data), 0
    walk = _Walk(data, is_big=syntax == BIG_ENDIAN, is_explicit=syntax != IMPLICIT)
    try:
        found, place = walk.top_level(meta_end)
    except (struct.error, IndexError):
        if len(data) < size:
            return None
        raise
    if place is None and len(data) < size:
        return None
    return _header(walk, found, place, size, is_native=syntax in _NATIVE)


def _header(
    walk: _Walk, found: Mapping[int, bytes], place: int | None, size: int, *, is_native: bool
) -> Header:
    """Return the header from the values found; the pixels begin at ``place``."""
    texts: dict[str, str] = {}
    charset = found.get(FACT_TAGS["SpecificCharacterSet"], b"").decode("latin-1").strip(" \0")
    codec = PYTHON_CODECS.get(charset)
    if codec is None:
        raise NotUnderstoodError
    persons = []
    for tag, value in found.items():
        keyword = _WANTED.get(tag, "")
        if keyword in PERSON_TAGS:
            persons.append((keyword, value))
        if keyword in NUMBERS:
            if len(value) != 2:  # noqa: PLR2004 - bytes of one US
                raise NotUnderstoodError
            texts[keyword] = str(int.from_bytes(value, "big" if walk.is_big else "little"))
        elif keyword:
            texts[keyword] = value.decode(codec, "replace").strip(" \0")
    state = _pixel_state(walk, place, size, texts if is_native else None)
    slices = _slice_count(found, texts, is_big=walk.is_big)
    return Header(MappingProxyType(texts), tuple(persons), codec, state, slices)


def _meta(data: bytes) -> tuple[int, str]:
    """Return where the file's meta information ends, and the transfer syntax it names."""
    place, syntax = _PREAMBLE, EXPLICIT
    while place + 8 <= len(data):
        group, element, kind, length = struct.unpack_from("<HH2sH", data, place)
        if group != 2:  # noqa: PLR2004 - the group of the meta information
            break
        start = place + 8
        if kind in _LONG_VRS:
            (length,) = struct.unpack_from("<I", data, start)
            start += 4
        if element == 0x0010:  # noqa: PLR2004 - (0002,0010) TransferSyntaxUID
            syntax = data[start : start + length].decode("ascii").strip(" \0")
        place = start + length
    return place, syntax


class _Walk:
    """Steps over the elements of a data set in memory."""

    def __init__(self, data: bytes, *, is_big: bool, is_explicit: bool) -> None:
        self.data = data
        self.is_big, self.is_explicit = is_big, is_explicit
        order = ">" if is_big else "<"
        self._explicit = struct.Struct(f"{order}HH2sH").unpack_from
        self._implicit = struct.Struct(f"{order}HHI").unpack_from
        self._length = struct.Struct(f"{order}I").unpack_from

    def element(self, place: int) -> tuple[int, int, int]:
        """Return tag, length and place of the value of the element at ``place``."""
        if not self.is_explicit:
            group, number, length = self._implicit(self.data, place)
            return group << 16 | number, length, place + 8
        group, number, kind, length = self._explicit(self.data, place)
        if kind in _SHORT_VRS:
            return group << 16 | number, length, place + 8
        if kind not in _LONG_VRS:
            raise NotUnderstoodError
        (length,) = self._length(self.data, place + 8)
        if kind == b"UN" and length == _UNKNOWN_LENGTH:
            # Its content is in the implicit encoding (PS3.5, section 6.2.2, note 4).
            raise NotUnderstoodError
        return group << 16 | number, length, place + 12

    def top_level(self, place: int) -> tuple[dict[int, bytes], int | None]:
        """Return the wanted values, and where the pixel element begins (None: there is none)."""
        found: dict[int, bytes] = {}
        data, end, explicit = self.data, len(self.data), self._explicit
        while place + 8 <= end:
            if self.is_explicit:
                # The most frequent case without a call of its own: this loop runs a million times.
                group, number, kind, length = explicit(data, place)
                tag, start = group << 16 | number, place + 8
                if kind not in _SHORT_VRS:
                    tag, length, start = self.element(place)
            else:
                tag, length, start = self.element(place)
            if tag >= _FIRST_PIXEL_TAG:
                # Behind group 7FE0 come only padding and signatures (FFFC, FFFA).
                return found, place if tag in _PIXEL_TAGS else None
            if length == _UNKNOWN_LENGTH:
                place = self._behind_sequence(start)
                continue
            if tag in _WANTED_OR_COUNTS:
                if start + length > end:
                    raise IndexError
                found[tag] = data[start : start + length]
            place = start + length
        if place != end:
            raise IndexError
        return found, None

    def _behind_sequence(self, place: int) -> int:
        """Return where a sequence of unknown length ends; all that nests in it is passed over."""
        depth = 1
        while depth:
            group, number, length = self._implicit(self.data, place)
            tag = group << 16 | number
            if tag == _ITEM:
                place += 8
                if length == _UNKNOWN_LENGTH:
                    depth += 1
                else:
                    place += length
            elif tag in {_ITEM_END, _SEQUENCE_END}:
                place += 8
                depth -= 1
            else:
                _, length, start = self.element(place)
                if length == _UNKNOWN_LENGTH:
                    depth += 1
                    place = start
                else:
                    place = start + length
        return place


def _pixel_state(
    walk: _Walk, place: int | None, size: int, texts: Mapping[str, str] | None
) -> PixelState:
    """Tell whether the pixels are there to their end; ``texts`` only where uncompressed."""
    if place is None:
        return PixelState.NONE
    tag, length, start = walk.element(place)
    if length == _UNKNOWN_LENGTH:
        tail = walk.data[-_TAIL_BYTES:] if len(walk.data) == size else b""
        return PixelState.WHOLE if _END_OF_ITEMS in tail else PixelState.CUT
    if size - start < length:
        return PixelState.CUT
    if texts is not None and tag == 0x7FE00010 and length < _expected_bytes(texts):  # noqa: PLR2004 - PixelData
        return PixelState.CUT
    return PixelState.WHOLE


def _expected_bytes(texts: Mapping[str, str]) -> int:
    """Return the bytes that the pixels take uncompressed (PS3.5, section 8.1.1), at least."""
    frames = _whole(texts.get("NumberOfFrames", "")) or 1
    per_pixel = int(texts.get("SamplesPerPixel", "1")) * int(texts.get("BitsAllocated", "8")) / 8
    return int(int(texts.get("Rows", "0")) * int(texts.get("Columns", "0")) * frames * per_pixel)


def _slice_count(found: Mapping[int, bytes], texts: Mapping[str, str], *, is_big: bool) -> int:
    kinds = texts.get("ImageType", "").split("\\")
    if "VFRAME" in kinds:
        return _whole(found.get(VFRAME_IMAGES, b"").decode("latin-1").strip(" \0"))
    if "MOSAIC" not in kinds:
        return _whole(texts.get("NumberOfFrames", "")) or 1
    value = found.get(MOSAIC_IMAGES, b"")
    if len(value) == 2:  # noqa: PLR2004 - bytes of one US
        return int.from_bytes(value, "big" if is_big else "little")
    return csa_number(found.get(CSA_IMAGE_HEADER, b""), b"NumberOfImagesInMosaic")


def csa_number(header: bytes, name: bytes) -> int:
    """Return a whole number of Siemens' private header, or 0.

    An entry is its name in 64 bytes, five 32-bit numbers, then items: four 32-bit numbers, of
    which the first is the length, and the text (the layout that dcm2niix and nibabel read).
    """
    place = header.find(name + b"\0")
    if place < 0:
        return 0
    item = place + 64 + 20
    (length,) = struct.unpack_from("<I", header, item)
    text = header[item + 16 : item + 16 + min(length, 16)].split(b"\0")[0]
    return _whole(text.decode("latin-1"))


def _whole(text: str) -> int:
    plain = text.strip()
    return int(plain) if plain.isascii() and plain.isdigit() else 0


def remnant_series_uid(path: Path) -> str:
    """Return the series that a damaged file names in what is left of its header, or nothing."""
    with path.open("rb") as stream:
        data = stream.read(_WINDOW_BYTES)
    place = data.find(b"\x20\0\x0e\0UI")
    if place < 0:
        return ""
    length = int.from_bytes(data[place + 6 : place + 8], "little")
    return data[place + 8 : place + 8 + length].decode("latin-1").strip(" \0")
