"""Looks for comments inside compressed pixel data, where a text travels with the image.

The fragments are read by their markers and never changed. Not here: unpacking pixels.

References
----------
ITU-T T.81 annex B (JPEG), T.87 annex C (JPEG-LS), T.800 annex A (JPEG 2000).
"""

from __future__ import annotations

import mmap
import re

from containers.scrub_headers.errors import RefusedFileError

_JPEG = "1.2.840.10008.1.2.4."
_JPEG_2000 = frozenset({f"{_JPEG}{each}" for each in (90, 91, 92, 93, 201, 202, 203)})
_VIDEO = frozenset({f"{_JPEG}{each}" for each in range(100, 109)})
_COMMENT, _COMMENT_2000 = 0xFE, 0x64
_SCAN, _SCAN_2000 = 0xDA, 0x90
_STARTS = (b"\xff\xd8", b"\xff\x4f")
_END_OF_IMAGE = b"\xff\xd9"
_PADDING = b"\0\xff"
_APPLICATION = range(0xE0, 0xF0)
_ENCODER = re.compile(
    rb"(?:\x00\x01)?(?:Kakadu-v?[\d.]{1,8}|Created by OpenJPEG version [\d.]{1,8}|Created by Grok"
    rb"[ -~]{0,16}|LEADTOOLS v?[\d.]{1,8}|Lavc[\d.]{1,10})?\x00?"
)
_APPLICATIONS = (b"JFIF\0", b"Adobe", b"SPIFF\0", b"AVI1", b"mrfx", b"HPCT")
_LONGEST_APPLICATION = 36


def check_fragments(data: bytes | mmap.mmap, start: int, stop: int, syntax: str) -> None:
    """Refuse pixel data whose compressed form carries a comment, or is a video.

    Parameters
    ----------
    start, stop : int
        The first item (offset table), and the end of the sequence's delimiter.
    syntax : str
        UID of the transfer syntax.

    Raises
    ------
    RefusedFileError
        A comment or application segment is there that no encoder writes by itself, or something
        before or behind the image.
    """
    if syntax in _VIDEO:
        raise RefusedFileError("It is a video, whose sound and titles are not looked at.")
    if not syntax.startswith(_JPEG):
        return
    position = start
    number = 0
    while position + 8 < stop:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8
        if number == 1 and data[position : position + 2] not in _STARTS:
            raise RefusedFileError("Its compressed pixel data do not begin as an image does.")
        if number > 0 and data[position : position + 1] == b"\xff":
            _check_segments(data, position, position + size, two_thousand=syntax in _JPEG_2000)
        number += 1
        position += size


def _check_segments(
    data: bytes | mmap.mmap, position: int, stop: int, *, two_thousand: bool
) -> None:
    comment, scan = (_COMMENT_2000, _SCAN_2000) if two_thousand else (_COMMENT, _SCAN)
    position += 2
    while position + 4 <= stop:
        prefix, marker = data[position], data[position + 1]
        if prefix != 0xFF or marker == scan:  # noqa: PLR2004 - every marker begins so
            # Coded data never hold an end marker, so the first one is the image's own.
            end = data.find(_END_OF_IMAGE, position, stop)
            if end >= 0 and data[end + 2 : stop].strip(_PADDING):
                raise RefusedFileError("Something follows the image in its compressed pixel data.")
            return
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : min(position + 2 + length, stop)]
        if marker == comment and _ENCODER.fullmatch(segment) is None:
            raise RefusedFileError("A comment stands inside its compressed pixel data.")
        if not two_thousand and marker in _APPLICATION and not _is_plain(segment):
            raise RefusedFileError("Application data stand inside its compressed pixel data.")
        position += 2 + length


def _is_plain(segment: bytes) -> bool:
    return len(segment) <= _LONGEST_APPLICATION and segment.startswith(_APPLICATIONS)
