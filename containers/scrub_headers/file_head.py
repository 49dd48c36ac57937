"""Finds the dataset of a DICOM file and how it is written; packs and unpacks deflated ones.

Not here: the dataset itself (``dataset``), and writing files (``file_writing``).

References
----------
DICOM PS3.10 section 7 (file format), PS3.5 annex A (transfer syntaxes).
"""

from __future__ import annotations

import zlib

from pydicom.uid import AllTransferSyntaxes

from containers.scrub_headers.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG_VRS,
    SHORT_VRS,
    Data,
    Encoding,
)
from containers.scrub_headers.errors import RefusedFileError

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_SYNTAXES = frozenset(str(each) for each in AllTransferSyntaxes)
_DICOMDIR = "1.2.840.10008.1.3.10"
_PREAMBLE = 128
LARGEST_INFLATED_BYTES = 256 << 20
"""A deflated file must be unpacked in memory; larger ones are refused."""


def find_dataset(data: Data) -> tuple[int, str]:
    """Return where the dataset begins, and its transfer syntax."""
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return _read_meta(data, _PREAMBLE + 4)
    if data[:4] == b"\2\0\0\0":
        return _read_meta(data, 0)
    # Neither preamble nor meta information: the first element is in group 0008 (or 0000).
    if data[:2] in {b"\x08\0", b"\0\0"} and len(data) > 8:  # noqa: PLR2004 - an element's header
        explicit = data[4:6] in SHORT_VRS | LONG_VRS
        return 0, EXPLICIT if explicit else IMPLICIT
    raise RefusedFileError("It is not a DICOM file, or its beginning is missing.")


def _read_meta(data: Data, position: int) -> tuple[int, str]:
    """Walk through the meta information, of which only the transfer syntax is used."""
    syntax = sop_class = ""
    while data[position : position + 2] == b"\2\0":
        letters = data[position + 4 : position + 6]
        if letters in LONG_VRS:
            start = position + 12
            length = int.from_bytes(data[position + 8 : start], "little")
        elif letters in SHORT_VRS:
            start = position + 8
            length = int.from_bytes(data[position + 6 : start], "little")
        else:
            raise RefusedFileError("Its meta information is not well-formed.")
        value = data[start : start + length]
        if len(value) != length:
            raise RefusedFileError("It ends within its meta information.")
        if data[position + 2 : position + 4] == b"\x10\0":
            syntax = value.rstrip(b" \0").decode("ascii", "replace")
        elif data[position + 2 : position + 4] == b"\2\0":
            sop_class = value.rstrip(b" \0").decode("ascii", "replace")
        position = start + length
    if sop_class == _DICOMDIR:
        raise RefusedFileError("It is a DICOMDIR, whose records repeat all names and numbers.")
    return position, syntax


def encoding_of(syntax: str) -> Encoding:
    """Return how elements are written in a transfer syntax.

    Raises
    ------
    RefusedFileError
        It is none of the standard.
    """
    if syntax not in _SYNTAXES:
        raise RefusedFileError("Its transfer syntax is missing or unknown.")
    if syntax == IMPLICIT:
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if syntax == BIG else EXPLICIT_LITTLE


def inflate(data: Data, start: int) -> bytes:
    """Return an unpacked dataset.

    Raises
    ------
    RefusedFileError
        It is damaged, too large, or has a tail.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(data[start:], LARGEST_INFLATED_BYTES)
    except zlib.error:
        raise RefusedFileError("Its deflated content is damaged.") from None
    if not unpacker.eof or unpacker.unused_data not in {b"", b"\0"}:
        raise RefusedFileError("Its deflated content is cut short, too large, or has a tail.")
    return unpacked


def deflate(pieces: tuple[bytes, ...]) -> bytes:
    """Return a packed dataset, of even length."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join((*(packer.compress(each) for each in pieces), packer.flush()))
    return packed + b"\0" * (len(packed) % 2)
