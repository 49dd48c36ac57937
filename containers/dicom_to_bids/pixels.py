"""Tells whether the pixels of a DICOM file are there to their end, without reading them.

Not here: the rest of the header (``inventory``).
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

_UNKNOWN_LENGTH = 0xFFFFFFFF
_END_OF_ITEMS = b"\xfe\xff\xdd\xe0"
_TAIL_BYTES = 64
_PIXEL_ELEMENTS_BIG = (b"\x7f\xe0\x00\x10", b"\x7f\xe0\x00\x08", b"\x7f\xe0\x00\x09")
_PIXEL_ELEMENTS = (b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")


class PixelState(Enum):
    """What a file has of its pixel element."""

    NONE = "none"
    CUT = "cut short"
    WHOLE = "whole"


def pixel_state(path: Path, stream: BinaryIO, transfer_syntax: str) -> PixelState:
    """Look whether the pixel element at the stream's position is there to its end.

    The element is 7FE0,0010 (or 0008, 0009): tag, then value representation and four bytes of
    length, or in the implicit encoding the length at once (PS3.5, section 7.1).
    """
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        # The whole data set is one compressed stream: reading it is the only check.
        return PixelState.WHOLE if "PixelData" in pydicom.dcmread(path) else PixelState.NONE
    is_big = transfer_syntax == ExplicitVRBigEndian
    start = stream.read(12)
    if start[:4] not in (_PIXEL_ELEMENTS_BIG if is_big else _PIXEL_ELEMENTS):
        return PixelState.NONE
    is_explicit = transfer_syntax != ImplicitVRLittleEndian
    value_at = stream.tell() - (0 if is_explicit else 4)
    length_bytes = start[8:12] if is_explicit else start[4:8]
    length = int.from_bytes(length_bytes, "big" if is_big else "little")
    size = path.stat().st_size
    if length == _UNKNOWN_LENGTH:
        stream.seek(max(value_at, size - _TAIL_BYTES))
        return PixelState.WHOLE if _END_OF_ITEMS in stream.read() else PixelState.CUT
    return PixelState.WHOLE if size - value_at >= length else PixelState.CUT
