"""Reads from one DICOM header whose it is and which strings identify that person.

A walk over the bytes for the usual encoding, pydicom for all others; values stay in memory. Not
here: judging or changing a file (``dicom_file``), which reads it again in full.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.multival import MultiValue

_NAMES = frozenset(
    {0x00100010, 0x00101001, 0x00101005, 0x00101060, 0x00102297, 0x00080090, 0x00081048,
     0x00081050, 0x00081060, 0x00081070, 0x00321032, 0x00400006, 0x0008009C}
)  # fmt: skip
_IDENTIFIERS = frozenset(
    {0x00100020, 0x00101000, 0x00101002, 0x00080050, 0x00101040, 0x00102154, 0x00102155,
     0x00101090, 0x00380010, 0x00401001, 0x00400253, 0x00200010, 0x001021F0}
)  # fmt: skip
_INSTITUTION = frozenset({0x00080080, 0x00080081})
_MAKERS = frozenset({
    "bruker", "canon", "canon_mec", "ge healthcare", "ge medical systems", "hitachi", "philips",
    "philips healthcare", "philips medical systems", "siemens", "siemens healthcare",
    "siemens healthineers", "toshiba", "toshiba_mec", "uih", "united imaging",
    "united imaging healthcare",
})  # fmt: skip
"""Makers of scanners. An institution that is called exactly so is the maker's own site; taken for
an identity, it would take the manufacturer out of every header, without which some images cannot
be converted. A person's name is never compared with these."""
_DEVICE = frozenset({0x00081010, 0x00181000})
_DATES = frozenset({0x00100030, 0x00080012, 0x00080020, 0x00080021, 0x00080022, 0x00080023})
_CHARACTER_SET, _SOP_INSTANCE, _PATIENT_ID = 0x00080005, 0x00080018, 0x00100020
_TEXTS = _NAMES | _IDENTIFIERS | _INSTITUTION | _DEVICE
_WANTED = _TEXTS | _DATES | {_CHARACTER_SET, _SOP_INSTANCE}
_LAST_GROUP = 0x0040
_META_GROUP = 0x0002
_TRANSFER_SYNTAX = 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_OTHERS = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"})
"""Transfer syntaxes that are not explicit little endian: implicit, big endian, deflated."""
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR",
                   b"UT", b"UV"})  # fmt: skip
_UNDEFINED = 0xFFFFFFFF
_FIRST_BYTES = 1 << 16
_MOST_BYTES = 1 << 22


@dataclass(frozen=True, slots=True, repr=False)
class HeaderIdentity:
    """Whose file it is, and what identifies that person; empty where the header says nothing."""

    patient_id: str = ""
    sop_instance_uid: str = ""
    names: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    institution: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "HeaderIdentity(withheld)"


def looks_like_dicom(start: bytes) -> bool:
    """Return whether the first 140 bytes are those of a DICOM file, with or without preamble."""
    if start[128:132] == b"DICM":
        return True
    group, element = struct.unpack_from("<2H", start.ljust(8, b"\xff"))
    return group in {0x0002, 0x0008} and element <= 0x0020  # noqa: PLR2004 - first elements


def read_identity(path: Path) -> HeaderIdentity:
    """Return the identity in a header; an empty one where it cannot be read.

    A file that cannot be read here is refused later, when all of it is read.
    """
    with path.open("rb") as stream:
        content = stream.read(_FIRST_BYTES)
        try:
            found = dict(_walk(content))
        except (_NeedsMoreError, struct.error):
            content += stream.read(_MOST_BYTES)
            try:
                found = dict(_walk(content))
            except (_OtherFormError, _NeedsMoreError, struct.error, RecursionError):
                return _with_pydicom(path)
        except (_OtherFormError, RecursionError):
            return _with_pydicom(path)
    return _identity({tag: _texts(tag, raw, found) for tag, raw in found.items()})


class _NeedsMoreError(Exception):
    """The header goes on after the bytes that were read."""


class _OtherFormError(Exception):
    """Not in the form that the walk understands."""


def _walk(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield wanted elements of the top level; sequences are stepped over."""
    if content[128:132] != b"DICM":
        raise _OtherFormError
    at, syntax = 132, None
    while True:
        tag, start, length = _element(content, at)
        if tag >> 16 > _META_GROUP and syntax is None:
            raise _OtherFormError
        if tag >> 16 > _LAST_GROUP:
            return
        at = _after_sequence(content, start) if length == _UNDEFINED else start + length
        if tag == _TRANSFER_SYNTAX:
            syntax = content[start:at].rstrip(b"\0 ").decode("latin-1")
            if syntax in _OTHERS:
                raise _OtherFormError
        elif tag in _WANTED and length != _UNDEFINED:
            if at > len(content):
                raise _NeedsMoreError
            yield tag, content[start:at]


def _element(content: bytes, at: int) -> tuple[int, int, int]:
    """Return tag, place of the value, and length of an element in explicit little endian."""
    group, element, vr, length = struct.unpack_from("<2H2sH", content, at)
    start = at + 8
    if vr in _LONG:
        (length,) = struct.unpack_from("<I", content, start)
        start += 4
    elif not vr.isalpha():
        raise _OtherFormError
    return group << 16 | element, start, length


def _after_sequence(content: bytes, at: int) -> int:
    """Return where a sequence of undefined length ends."""
    while True:
        group, element, length = struct.unpack_from("<2HI", content, at)
        tag, at = group << 16 | element, at + 8
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise _OtherFormError
        at = _after_item(content, at) if length == _UNDEFINED else at + length


def _after_item(content: bytes, at: int) -> int:
    while struct.unpack_from("<2H", content, at) != (_ITEM >> 16, _ITEM_END & 0xFFFF):
        _, start, length = _element(content, at)
        at = _after_sequence(content, start) if length == _UNDEFINED else start + length
    return at + 8


def _texts(tag: int, raw: bytes, found: dict[int, bytes]) -> list[str]:
    labels = found.get(_CHARACTER_SET, b"").decode("latin-1").strip("\0 ").split("\\")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if tag in _TEXTS:
            try:
                encodings = convert_encodings([each.strip() for each in labels])
                text = decode_bytes(raw, encodings, {0x5E, 0x3D, 0x5C})
            except (LookupError, ValueError):
                text = raw.decode("latin-1")
        else:
            text = raw.decode("latin-1")
    return [each.strip("\0 ") for each in text.split("\\")]


def _with_pydicom(path: Path) -> HeaderIdentity:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(
                path, force=True, stop_before_pixels=True, specific_tags=sorted(_WANTED)
            )
            texts = {}
            for element in dataset:
                value = element.value
                many = value if isinstance(value, MultiValue | list) else [value]
                texts[int(element.tag)] = ["" if each is None else str(each) for each in many]
        except Exception:  # noqa: BLE001 - pydicom raises nearly anything on damaged files
            return HeaderIdentity()
    return _identity(texts)


def _identity(texts: dict[int, list[str]]) -> HeaderIdentity:
    def of(tags: frozenset[int]) -> tuple[str, ...]:
        return tuple(each for tag in sorted(tags & texts.keys()) for each in texts[tag] if each)

    return HeaderIdentity(
        patient_id=next(iter(texts.get(_PATIENT_ID, [])), ""),
        sop_instance_uid=next(iter(texts.get(_SOP_INSTANCE, [])), ""),
        names=of(_NAMES),
        identifiers=of(_IDENTIFIERS),
        institution=tuple(
            each for each in of(_INSTITUTION) if each.strip().casefold() not in _MAKERS
        ),
        device=of(_DEVICE),
        dates=of(_DATES),
    )
