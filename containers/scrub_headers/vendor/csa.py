"""Siemens CSA headers, (0029,xx10) and (0029,xx20): read, and rebuilt from the items that stay.

The form is "CSA2" of nibabel's ``nicom.csareader`` documentation, which begins with the mark SV10.
Nothing of the source is passed on but values of named items: names are written from our list,
unused bytes as zeros. A header that is not completely understood is removed; so is the older
"CSA1" without the mark, of which the lengths are not certain and which dcm2niix does not read.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from containers.scrub_headers.vendor.protocol_text import clean_protocol_text
from containers.scrub_headers.vendor.recent import RecentBlocks
from containers.scrub_headers.vendor.tables import vendor_terms
from containers.scrub_headers.vendor.values import (
    LONGEST_NUMBER,
    Known,
    is_coded,
    is_number,
    matches,
)

_MARK: Final = b"SV10"
_CHECKS: Final = frozenset({77, 205})
_CHECK: Final = 77
_FIRST_TAG: Final = 16
_TAG = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<4i")
_LENGTHS = struct.Struct("<II")
_MOST_TAGS: Final = 512
_MOST_ITEMS: Final = 4096
NUMBER_VRS: Final = frozenset({b"IS", b"DS", b"FD", b"FL", b"US", b"UL", b"SL", b"SS"})
TEXT_VRS: Final = frozenset({b"LO", b"SH", b"CS"})
_PROTOCOL_VRS: Final = frozenset({b"UN", b"UT", b"LT", b"OB"})
# Siemens' numbers of the value representations; readers go by the letters.
_SYNGO_TYPES: Final = {
    b"DS": 3, b"FD": 4, b"FL": 5, b"IS": 6, b"SL": 9, b"SS": 10, b"UL": 12, b"US": 13,
    b"CS": 16, b"LO": 19, b"SH": 22,
}  # fmt: skip


class _MalformedHeaderError(Exception):
    """The bytes are no complete CSA header."""


class _Tag(NamedTuple):
    name: bytes
    vm: int
    vr: bytes
    values: list[bytes]


class _Memory:
    """The tags of the last header, as they stood there and cleaned, for one set of identities."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.tags: list[tuple[bytes, bytes]] = []


class CsaCleaner:
    """Cleans one header after another; what equals the header before is not cleaned again.

    Headers of a series differ in few of their hundred tags, and each tag's bytes are compared as
    a whole, so the result never depends on what came before.
    """

    def __init__(self) -> None:
        self._memory: _Memory | None = None

    def __call__(self, header: bytes, known: Known) -> bytes | None:
        """Return a header with the items of the list, or None where it is not understood or empty.

        The number of values of an item and their text stay as they are, so that readers find
        slice times, directions, and the protocol where they were.
        """
        memory = self._memory
        if memory is None or memory.known is not known:
            self._memory = memory = _Memory(known)
        try:
            return _clean(header, memory)
        except (_MalformedHeaderError, struct.error):
            return None


clean_csa_header = CsaCleaner()
clean_series_header = RecentBlocks(CsaCleaner())
"""For the series header, which is the same in every file of a series."""


def _clean(header: bytes, memory: _Memory) -> bytes | None:
    if header[:4] != _MARK:
        raise _MalformedHeaderError
    count, check = _LENGTHS.unpack_from(header, 8)
    if check != _CHECK or not 0 < count <= _MOST_TAGS:
        raise _MalformedHeaderError
    kept: list[bytes] = []
    place, last, remembered = _FIRST_TAG, memory.tags, []
    for number in range(count):
        tag = last[number] if number < len(last) else (b"\0", b"")
        if not header.startswith(tag[0], place):
            end = _end_of_tag(header, place)
            tag = (header[place:end], _clean_tag(header, place, memory.known))
        remembered.append(tag)
        place += len(tag[0])
        if tag[1]:
            kept.append(tag[1])
    memory.tags = remembered
    if not kept:
        return None
    return b"".join((_MARK, b"\4\3\2\1", _LENGTHS.pack(len(kept), _CHECK), *kept))


def _end_of_tag(header: bytes, place: int) -> int:
    items, check = _LENGTHS.unpack_from(header, place + 76)
    if check not in _CHECKS or items > _MOST_ITEMS:
        raise _MalformedHeaderError
    place, end = place + _TAG.size, len(header)
    for _ in range(items):
        length = _ITEM.unpack_from(header, place)[1]
        place += _ITEM.size + ((length + 3) & ~3)
        if length < 0 or place > end + 3:
            raise _MalformedHeaderError
    return place


def _clean_tag(header: bytes, place: int, known: Known) -> bytes:
    """Return a tag as it stays; empty where it goes."""
    name, vm, vr, _type, items, _check = _TAG.unpack_from(header, place)
    name = name.split(b"\0", 1)[0]
    kind = vendor_terms().csa_items.get(name)
    if kind is None:
        return b""
    place += _TAG.size
    values = []
    for _ in range(items):
        length = _ITEM.unpack_from(header, place)[1]
        place += _ITEM.size
        value = header[place : place + length]
        if len(value) != length:
            raise _MalformedHeaderError
        values.append(value)
        place += (length + 3) & ~3
    tag = _Tag(name, vm if 0 <= vm <= _MOST_ITEMS else 0, vr[:2], values)
    kept = _kept_protocol(tag, known) if kind == "protocol text" else _kept_values(tag, kind, known)
    return b"" if kept is None else _pack(tag, kept)


def _kept_values(tag: _Tag, kind: str, known: Known) -> list[bytes] | None:
    if tag.vr not in (NUMBER_VRS if kind == "number" else TEXT_VRS):
        return None
    digits = vendor_terms().long_numbers.get(tag.name.decode("ascii"), LONGEST_NUMBER)
    kept = []
    for value in tag.values:
        plain = value.split(b"\0", 1)[0]
        if plain and not _is_kept(kind, plain, known, digits):
            return None
        kept.append(plain.ljust(len(value), b"\0"))
    return kept


def _is_kept(kind: str, value: bytes, known: Known, digits: int) -> bool:
    text = value.decode("latin-1").strip(" ")
    if not text:
        return True
    if kind == "number":
        return is_number(text, known, digits)
    if kind == "coded":
        return is_coded(text, known)
    return matches(kind, text, known)


def _kept_protocol(tag: _Tag, known: Known) -> list[bytes] | None:
    if tag.vr not in _PROTOCOL_VRS or not tag.values:
        return None
    cleaned = clean_protocol_text(tag.values[0], known)
    return None if cleaned is None else [cleaned + b"\0", *(b"" for _ in tag.values[1:])]


def _pack(tag: _Tag, values: list[bytes]) -> bytes:
    syngo_type = _SYNGO_TYPES.get(tag.vr, 0)
    parts = [_TAG.pack(tag.name, tag.vm, tag.vr, syngo_type, len(values), _CHECK)]
    for value in values:
        length = len(value)
        parts += (_ITEM.pack(length, length, _CHECK, length), value, b"\0" * (-length % 4))
    return b"".join(parts)
