"""The three ways in which a dataset's elements are written, as bytes in and out.

Not here: which element stays.

References
----------
DICOM PS3.5 section 7.1 (data elements) and annex A (transfer syntaxes).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from struct import Struct

Data = bytes | mmap.mmap
"""What holds a dataset: small files are read, large ones are mapped."""
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_ZERO_PADDED = LONG_VRS - {b"UC", b"UR", b"UT"} | {b"UI"}
_LONGEST_SHORT = 0xFFFE


@dataclass(frozen=True, slots=True)
class Encoding:
    """Explicit or implicit value representation, and the byte order."""

    explicit: bool
    big_endian: bool = False
    short: Struct = field(init=False, repr=False, compare=False)
    long: Struct = field(init=False, repr=False, compare=False)
    tag: Struct = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the packers."""
        order = ">" if self.big_endian else "<"
        object.__setattr__(self, "short", Struct(order + "H"))
        object.__setattr__(self, "long", Struct(order + "I"))
        object.__setattr__(self, "tag", Struct(order + "HH"))

    def tag_bytes(self, tag: int) -> bytes:
        """Return a tag as it is written."""
        return self.tag.pack(tag >> 16, tag & 0xFFFF)

    def header(self, tag: int, vr: str, length: int) -> bytes:
        """Return what stands before a value.

        Raises
        ------
        ValueError
            The value is too long for a representation with 16 bits of length.
        """
        if not self.explicit:
            return self.tag_bytes(tag) + self.long.pack(length)
        letters = vr.encode("ascii")
        if letters in LONG_VRS:
            return self.tag_bytes(tag) + letters + b"\0\0" + self.long.pack(length)
        if length > _LONGEST_SHORT:
            raise ValueError("value too long for its representation")
        return self.tag_bytes(tag) + letters + self.short.pack(length)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Return a whole element; a value of odd length is padded."""
        if len(value) % 2:
            value += b"\0" if vr.encode("ascii") in _ZERO_PADDED else b" "
        return self.header(tag, vr, len(value)) + value

    def item(self, content: bytes) -> bytes:
        """Return an item of defined length."""
        return self.tag_bytes(ITEM) + self.long.pack(len(content)) + content

    def open_item(self, content: bytes) -> bytes:
        """Return an item that ends with a delimiter."""
        undefined = self.long.pack(UNDEFINED)
        end = self.tag_bytes(ITEM_END) + b"\0\0\0\0"
        return b"".join((self.tag_bytes(ITEM), undefined, content, end))

    def sequence_end(self) -> bytes:
        """Return the delimiter of a sequence of undefined length."""
        return self.tag_bytes(SEQUENCE_END) + b"\0\0\0\0"


EXPLICIT_LITTLE = Encoding(explicit=True)
EXPLICIT_BIG = Encoding(explicit=True, big_endian=True)
IMPLICIT_LITTLE = Encoding(explicit=False)
