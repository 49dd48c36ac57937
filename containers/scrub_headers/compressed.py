"""Looks into compressed pixel data for what is no image: comments, offsets that are none, tails.

The fragments are read by their markers and never changed. Not here: unpacking pixels.

References
----------
ITU-T T.81 annex B (JPEG), T.87 annex C (JPEG-LS), T.800 annex A (JPEG 2000); DICOM PS3.5
sections A.4 (offset table, fragments) and G (RLE).
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator

from containers.scrub_headers.encoding import Data
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.image_policy import ImageFacts
from containers.scrub_headers.walk import forget

_JPEG = "1.2.840.10008.1.2.4."
_RLE = "1.2.840.10008.1.2.5"
_RLE_HEADER = struct.Struct("<16I")
_NO_OPERATION = 128
_NOTHING = b"\0\x80"
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


def check_fragments(data: Data, start: int, stop: int, syntax: str, image: ImageFacts) -> None:
    """Refuse pixel data whose compressed form holds more than the image, or is a video.

    Parameters
    ----------
    start, stop : int
        The first item (offset table), and the end of the sequence's delimiter.
    syntax : str
        UID of the transfer syntax.
    image : ImageFacts
        What the header says.

    Raises
    ------
    RefusedFileError
        A comment or application segment is there that no encoder writes by itself, or something
        before or behind the image, or the syntax is none whose content is known here.
    """
    if syntax in _VIDEO:
        raise RefusedFileError("It is a video, whose sound and titles are not looked at.")
    if not syntax.startswith(_JPEG) and syntax != _RLE:
        raise RefusedFileError("Its pixel data are compressed in a way that is not understood.")
    items = _items(data, start, stop)
    _check_offsets(data, *next(items, (start, start)), stop - start)
    for number, (position, end) in enumerate(items):
        if syntax == _RLE:
            _check_rle(data[position:end], image.rows * image.columns)
        elif number == 0 and data[position : position + 2] not in _STARTS:
            raise RefusedFileError("Its compressed pixel data do not begin as an image does.")
        elif data[position : position + 1] == b"\xff":
            _check_segments(data, position, end, two_thousand=syntax in _JPEG_2000)


def _items(data: Data, position: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield where the content of each item begins and ends; the walk has found them whole."""
    let_go = position
    while position + 8 < stop:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8
        yield position, position + size
        position += size
        let_go = forget(data, let_go, position)


def _check_offsets(data: Data, position: int, end: int, length: int) -> None:
    """Refuse a table of offsets that holds anything else (PS3.5 section A.4)."""
    offsets = struct.unpack(
        f"<{(end - position) // 4}I", data[position : end - (end - position) % 4]
    )
    ascending = all(one < two for one, two in itertools.pairwise(offsets))
    if (end - position) % 4 or (offsets and (offsets[0] or offsets[-1] >= length or not ascending)):
        raise RefusedFileError("The table of offsets of its pixel data is not well-formed.")


def _check_rle(frame: bytes, pixels: int) -> None:
    """Refuse a frame with anything behind its segments, or one that unpacks to another length."""
    if len(frame) < _RLE_HEADER.size:
        raise RefusedFileError("A frame of its pixel data is cut short.")
    count, *offsets = _RLE_HEADER.unpack_from(frame)
    used = offsets[:count]
    if not 0 < count <= len(offsets) or any(offsets[count:]) or used[0] != _RLE_HEADER.size:
        raise RefusedFileError("A frame of its pixel data has no valid table of segments.")
    for start, stop in itertools.pairwise((*used, len(frame))):
        end = _end_of_runs(frame, start, stop, pixels)
        if stop < start or stop - end > 1 or frame[end:stop].strip(_NOTHING):
            raise RefusedFileError("Something follows a segment of its pixel data.")


def _end_of_runs(frame: bytes, position: int, stop: int, pixels: int) -> int:
    """Return where so many bytes have been unpacked (PS3.5 section G.3.1)."""
    done = 0
    while done < pixels and position < stop:
        control = frame[position]
        if control < _NO_OPERATION:
            done += control + 1
            position += control + 2
        elif control > _NO_OPERATION:
            done += 257 - control
            position += 2
        else:
            position += 1
    if done != pixels or position > stop:
        raise RefusedFileError("A segment of its pixel data is longer or shorter than its image.")
    return position


def _check_segments(data: Data, position: int, stop: int, *, two_thousand: bool) -> None:
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
