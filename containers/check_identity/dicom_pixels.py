"""Looks for bits above those that a pixel stores, where an overlay can be embedded (PS3.5 8.1.1).

Not here: what the pixels show.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from pydicom.dataset import Dataset

from containers.check_identity.search.matcher import Span

_PIECE = 4 << 20
_WORD_BITS = 16


def has_bits_above(data_set: Dataset, span: Span, stream: BinaryIO, *, is_little: bool) -> bool:
    """Return whether native 16-bit pixels use bits above High Bit, other than for the sign."""
    allocated, high = data_set.get("BitsAllocated"), data_set.get("HighBit")
    if allocated != _WORD_BITS or not isinstance(high, int) or not 0 <= high < _WORD_BITS - 1:
        return False
    is_signed = data_set.get("PixelRepresentation") == 1
    kind = np.dtype(f"{'<' if is_little else '>'}{'i2' if is_signed else 'u2'}")
    stream.seek(span.start)
    left = span.end - span.start
    while left > 0:
        data = stream.read(min(_PIECE, left))
        if not data:
            return False
        left -= len(data)
        pixels = np.frombuffer(data[: len(data) // 2 * 2], dtype=kind)
        above = pixels >> (high if is_signed else high + 1)
        allowed = (above == 0) | (above == -1) if is_signed else above == 0
        if not allowed.all():
            return True
    return False
