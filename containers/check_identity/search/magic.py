"""Finds where a compressed stream may begin in the middle of a file.

Not here: whether one does (``streams.embedded``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import BinaryIO

import hyperscan

from containers.check_identity.search.matcher import WINDOW_BYTES, Region, Span
from containers.check_identity.search.streams import GLANCE, Packing, starts_well

# The pairs that RFC 1950 section 2.2 allows for windows from 4 kB on without a dictionary.
_ZLIB = (
    rb"\x48[\x0d\x4b\x89\xc7]|\x58[\x09\x47\x85\xc3]"
    rb"|\x68[\x05\x43\x81\xde]|\x78[\x01\x5e\x9c\xda]"
)
_MAGICS: tuple[tuple[bytes, Packing], ...] = (
    (rb"\x1f\x8b\x08[\x00-\x1f]", Packing.GZIP),
    (rb"PK\x03\x04", Packing.ZIP),
    (rb"BZh[1-9]1AY&SY", Packing.BZIP2),
    (rb"\xfd7zXZ\x00", Packing.XZ),
    (_ZLIB, Packing.ZLIB),
)
_LENGTHS = (4, 4, 10, 6, 2)
_OVERLAP = 16


@cache
def _database() -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[magic for magic, _ in _MAGICS],
        ids=list(range(len(_MAGICS))),
        elements=len(_MAGICS),
        flags=[hyperscan.HS_FLAG_DOTALL] * len(_MAGICS),
    )
    return database


def packed_places(
    stream: BinaryIO, spans: Sequence[Span], default: Region
) -> Iterator[tuple[int, Packing]]:
    """Yield offset and packing of what may be a compressed stream, outside voxels.

    The stream may be read elsewhere between two places.
    """
    if default is Region.VOXELS:
        return
    base = 0
    while True:
        if _all_voxels(base, base + WINDOW_BYTES + _OVERLAP, spans):
            base += WINDOW_BYTES
            continue
        stream.seek(base)
        window = stream.read(WINDOW_BYTES + _OVERLAP)
        found: list[tuple[int, Packing]] = []
        for begin, end in _outside_voxels(base, base + min(len(window), WINDOW_BYTES), spans):
            part = window[begin - base : end - base + _OVERLAP]
            found += ((begin + at, packing) for at, packing in _magics_in(part, end - begin))
        for start, packing in sorted(found):
            glance = window[start - base : start - base + GLANCE]
            # Two bytes stand everywhere by chance; it is quicker to try here than in the stream.
            if packing is Packing.ZLIB and len(glance) == GLANCE and not starts_well(glance):
                continue
            yield start, packing
        if len(window) <= WINDOW_BYTES:
            return
        base += WINDOW_BYTES


def _magics_in(part: bytes, length: int) -> list[tuple[int, Packing]]:
    """Return the places of magics that begin within the first so many bytes."""
    found: list[tuple[int, Packing]] = []

    def matched(identity: int, _start: int, end: int, _flags: int, _context: object) -> None:
        start = end - _LENGTHS[identity]
        if start < length:
            found.append((start, _MAGICS[identity][1]))

    if part:
        _database().scan(part, match_event_handler=matched)
    return found


def _outside_voxels(start: int, end: int, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return the ranges from a start to an end in which no voxels lie, in ascending order."""
    ranges: list[tuple[int, int]] = []
    for first, last in sorted((e.start, e.end) for e in spans if e.region is Region.VOXELS):
        if start < first:
            ranges.append((start, min(first, end)))
        start = max(start, last)
        if start >= end:
            break
    if start < end:
        ranges.append((start, end))
    return [(first, last) for first, last in ranges if first < last]


def _all_voxels(start: int, end: int, spans: Sequence[Span]) -> bool:
    return any(
        each.region is Region.VOXELS and each.start <= start and end <= each.end for each in spans
    )
