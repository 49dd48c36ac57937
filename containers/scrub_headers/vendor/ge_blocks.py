"""The two binary blocks of GE that dcm2niix reads: the protocol, and the user-defined data.

Both are written anew from single values; no other byte of the source gets into the result.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

from containers.scrub_headers.vendor.recent import RecentBlocks
from containers.scrub_headers.vendor.tables import vendor_terms
from containers.scrub_headers.vendor.values import Known, is_number

LARGEST_PROTOCOL: Final = 1_000_000
"""Bytes after decompression; real blocks hold 2 to 4 kB. A larger one is removed."""
_GZIP_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LINE = re.compile(r'(?:set )?([A-Z0-9_]{1,32}) "([^"]{0,64})"')


def _clean_protocol(block: bytes, known: Known) -> bytes | None:
    if len(block) < 22:  # noqa: PLR2004 - a length and the smallest gzip file
        return None
    (length,) = struct.unpack_from("<I", block)
    if length > len(block) - 4 or not block.startswith(b"\x1f\x8b\x08", 4):
        return None
    inflate = zlib.decompressobj(wbits=31)
    try:
        text = inflate.decompress(block[4 : 4 + length], LARGEST_PROTOCOL)
    except zlib.error:
        return None
    if not inflate.eof:
        return None
    lines = (_clean_line(line, known) for line in text.decode("latin-1").split("\n"))
    content = "".join(line for line in lines if line).encode("ascii")
    return _pack_protocol(content) if content else None


clean_ge_protocol = RecentBlocks(_clean_protocol)
"""Clean (0025,xx1B) of GEMS_SERS_01: a length and a gzip file of lines ``KEY "value"``.

Numbers and defined values of listed keys stay. The gzip file is written without name, comment,
and time (RFC 1952), which in the source hold examination and series numbers and the clock.
"""


def _clean_line(line: str, known: Known) -> str:
    found = _LINE.fullmatch(line.rstrip("\r\0 "))
    if found is None:
        return ""
    key, value = found.groups()
    terms = vendor_terms()
    listed = terms.ge_texts.get(key)
    if (key in terms.ge_numbers and is_number(value.rstrip(";"), known)) or (
        listed is not None and listed.fullmatch(value) and not known.touches(value)
    ):
        return f'{key} "{value}"\n'
    return ""


def _pack_protocol(content: bytes) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflate.compress(content) + deflate.flush()
    packed = _GZIP_HEADER + body + struct.pack("<II", zlib.crc32(content), len(content))
    block = struct.pack("<I", len(packed)) + packed
    return block + b"\0" * (len(block) % 2)


_HEADER_OFFSET: Final = 24
_NEEDED: Final = 1024
_VERSIONS: Final = (5.0, 40.0)
_NEWER: Final = 25.002
# Byte offsets of the fields that dcm2niix reads, after the header offset: whether the sequence is
# EPI, the polarity of phase encoding, and the direction of k-space (nii_dicom.cpp, 0043,102A).
_EPI, _EPI_BIT = 0x3A, 0x800
_POLARITY, _POLARITY_BIT = 0x30, 0x4
_DIRECTION: Final = 0x394
_SHIFT, _DIRECTION_SHIFT = 0x4C, 0x8C


def clean_ge_user_data(block: bytes) -> bytes | None:
    """Clean (0043,xx2A) of GEMS_PARM_01: raw scanner memory with dates, times, and texts.

    The result holds zeros, the format's version, two bits and one direction number. None where
    the block is too short or of an unknown version.
    """
    if len(block) < _HEADER_OFFSET + 2:
        return None
    (offset,) = struct.unpack_from("<H", block, _HEADER_OFFSET)
    if offset < _HEADER_OFFSET + 2 or offset + _NEEDED > len(block):
        return None
    (version,) = struct.unpack_from("<f", block, offset)
    if not _VERSIONS[0] <= version <= _VERSIONS[1]:
        return None
    result = bytearray(offset + _NEEDED)
    struct.pack_into("<H", result, _HEADER_OFFSET, offset)
    struct.pack_into("<f", result, offset, round(version * 1000) / 1000)
    newer = version >= _NEWER
    start = offset + (_SHIFT if newer else 0)
    direction = start + _DIRECTION - (_DIRECTION_SHIFT if newer else 0)
    for place, mask in ((start + _EPI, _EPI_BIT), (start + _POLARITY, _POLARITY_BIT)):
        (value,) = struct.unpack_from("<H", block, place)
        struct.pack_into("<H", result, place, value & mask)
    (value,) = struct.unpack_from("<H", block, direction)
    struct.pack_into("<H", result, direction, value if value <= _LARGEST_DIRECTION else 0)
    return bytes(result)


_LARGEST_DIRECTION: Final = 7
