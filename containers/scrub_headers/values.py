"""Carries a decision out on one value: bytes in, clean bytes out, or nothing.

Not here: which decision holds (``rules``), how an element is written (``encoding``).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from pydicom.charset import python_encoding

from containers.scrub_headers.context import CleanContext
from containers.scrub_headers.rules import Action
from containers.scrub_headers.text import clean_terms, clean_text, clean_versions

# Numbers, several of them, the padding; PS3.5 section 6.2, DS and IS.
# Possessive, so that no value makes the search long.
_ONE = rb" *+(?:[-+]?(?:\d{1,16}+(?:\.\d{0,16}+)?+|\.\d{1,16}+)(?:[eE][-+]?\d{1,3}+)?+)?+ *+"
NUMBER_TEXT = re.compile(_ONE + rb"(?:\\" + _ONE + rb")*+\0?")
TEXT_IN_NUMBERS = re.compile(rb"[0-9A-Za-z ^._\-]{8}")
"""Eight such bytes in a row: no number in use has this form, but a name in its place would."""
_LONGEST_NUMBER_TEXT = 16
_LONG_WHOLE = re.compile(r"(?<![\d.])(?:\d{8,}|0*[1-9]\d{5,})")
"""Six digits before a decimal point: hardly a measure of an image is so large, but dates and
numbers of patients are so long."""
_VERY_LONG_WHOLE = re.compile(r"(?<![\d.])\d{8,}")
_LONG_NUMBERS = frozenset({0x00181074, 0x00181077, 0x00181078, 0x00181079})
"""Doses in becquerel, which are larger, and the times of their injection."""
_LARGE_NUMBERS = frozenset(
    {
        0x00181060, 0x00181063, 0x00181242, 0x00541300, 0x00541321,  # times in milliseconds
        0x00189073, 0x00189074, 0x00189220, 0x00209153, 0x0020930D,
        0x00200013, 0x00280008,  # numbers of images and frames
        0x00281050, 0x00281051, 0x00281052, 0x00281053,  # windows and scales of counts
    }
)  # fmt: skip
"""Of these, numbers of six and seven digits are usual."""
LONG_FROM, _VERY_LONG_FROM = 10**5, 10**7
_NO_COUNT = 10**20
"""Whole floating-point numbers beyond are marks of "no value"; no identifier has so many digits."""
_SUSPECT_DIGITS = re.compile(r"\d{5,}")
_LETTERS = re.compile(rb"[A-Za-z]{4,}")
WHOLE_NUMBERS = {"UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
FEW_BYTES = 1024
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_AGE = re.compile(r"(\d{3})([DWMY])")
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?::?[0-5]\d(?::?(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?")
_PADDING = " \0"
_PRINTABLE = re.compile(r"[ -~\u00a0-\U0010ffff]*")
_CODE_TAGS = frozenset({0x00080100, 0x00080104})
_CHARACTER_SETS = frozenset(python_encoding)
_LONGEST_UID = 64
_TERMS = {
    0x00100040: frozenset({"M", "F", "O"}),
    0x00200060: frozenset({"L", "R", "U", "B"}),
    0x00280301: frozenset({"YES", "NO"}),
    0x00280302: frozenset({"YES", "NO"}),
}
"""Values of terms that the standard enumerates; any other goes."""
_HIGHEST = {0x00101020: 3.0, 0x00101030: 500.0}
"""Size (m) and weight (kg) of a person; a higher number is none of these."""
_DUMMIES = {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "CS": "UNKNOWN"}


@cache
def registered_codes() -> frozenset[str]:
    """Return values and meanings of the codes of PS3.16; whatever is one of them is public."""
    # Large tables, of which most files need nothing.
    from pydicom.sr._concepts_dict import concepts  # noqa: PLC0415 - as the comment says
    from pydicom.sr._snomed_dict import mapping  # noqa: PLC0415 - large, and seldom asked for

    found: set[str] = set()
    tables: Any = concepts
    for scheme in tables.values():
        for codes in scheme.values():
            for code, (meaning, *_) in codes.items():
                found.update((code, meaning))
    for by_old_code in mapping.values():
        found.update(by_old_code)
    return frozenset(each for each in found if each.isascii())


def clean_value(
    action: Action, tag: int, vr: str, value: bytes, context: CleanContext
) -> bytes | None:
    """Return the value that may be written, not yet padded; None where the element goes.

    A value that is not what its representation promises goes too.
    """
    if action is Action.REMOVE:
        return None
    if action is Action.EMPTY:
        return b""
    if action is Action.BINARY:
        return value if _is_plain_binary(tag, vr, value, context) else None
    if action is Action.NUMBER:
        return _clean_number(tag, value, context)
    text = _decoded(value)
    if text is None:
        return None
    return _clean_by_text(action, tag, vr, text, context)


def _clean_by_text(
    action: Action, tag: int, vr: str, text: str, context: CleanContext
) -> bytes | None:
    if action is Action.TERM and tag in _TERMS:
        return text.encode("ascii") if text in _TERMS[tag] else b""
    if tag in _CODE_TAGS and text in registered_codes() and not context.known.touches(text):
        return text.encode("ascii")
    if action is Action.DUMMY:
        return _DUMMIES.get(vr, context.pseudonyms.pseudonym(f"{tag:08x}", text)).encode("ascii")
    result = _CLEANERS[action](text, context)
    if result is None:
        return None
    return result.encode("utf-8" if action is Action.CHECKED else "ascii")


def _decoded(value: bytes) -> str | None:
    """Return a value as text without its padding; None if bytes follow a NUL.

    Whatever is kept is ASCII, which all character sets share, except retained text, which is
    kept if it is UTF-8.
    """
    plain = value.rstrip(b" \0")
    if b"\0" in plain or b"\x1b" in plain:
        return None
    try:
        return plain.decode("utf-8").strip(_PADDING)
    except UnicodeDecodeError:
        return plain.decode("latin-1").strip(_PADDING)


def _clean_number(tag: int, value: bytes, context: CleanContext) -> bytes | None:
    if NUMBER_TEXT.fullmatch(value) is None:
        return None
    text = value.decode("ascii").rstrip(_PADDING)
    if any(len(each.strip()) > _LONGEST_NUMBER_TEXT for each in text.split("\\")):
        return None
    too_long = _VERY_LONG_WHOLE if tag in _LARGE_NUMBERS else _LONG_WHOLE
    if tag not in _LONG_NUMBERS and too_long.search(text):
        return None
    if context.known.texts and any(
        each in context.known.texts for each in _SUSPECT_DIGITS.findall(text)
    ):
        return None
    if tag in _HIGHEST and not _is_below(text, _HIGHEST[tag]):
        return b""
    return value


def _is_plain_binary(tag: int, vr: str, value: bytes, context: CleanContext) -> bool:
    """Return whether binary numbers hold neither text nor a known identity nor a long number."""
    if TEXT_IN_NUMBERS.search(value):
        return False
    if len(value) > FEW_BYTES:
        return True
    if context.known.texts and any(
        context.known.touches(run.decode("ascii")) for run in _LETTERS.findall(value)
    ):
        return False
    code = WHOLE_NUMBERS.get(vr)
    if code is None or len(value) % struct.calcsize(code):
        return True
    order = ">" if context.big_endian else "<"
    limit = _VERY_LONG_FROM if tag in _LARGE_NUMBERS else LONG_FROM
    return not any(
        math.isfinite(number)
        and (
            str(int(number)) in context.known.texts
            or (tag not in _LONG_NUMBERS and limit <= abs(number) < _NO_COUNT and not number % 1)
        )
        for (number,) in struct.iter_unpack(order + code, value)
    )


def _is_below(text: str, highest: float) -> bool:
    try:
        return not text.strip() or 0 <= float(text) <= highest
    except ValueError:
        return False


def _clean_uids(text: str, context: CleanContext) -> str | None:
    values = [each.strip(_PADDING) for each in text.split("\\")]
    if not all(_is_uid(each) for each in values if each):
        return None
    return "\\".join(context.pseudonyms.uid(each) if each else "" for each in values)


def _keep_uids(text: str, _context: CleanContext) -> str | None:
    values = [each.strip(_PADDING) for each in text.split("\\")]
    return "\\".join(values) if all(_is_uid(each) for each in values if each) else None


def _is_uid(text: str) -> bool:
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None and text.isascii()


def _clean_dates(text: str, context: CleanContext) -> str | None:
    shifted = [context.pseudonyms.shift_date(each) if each else "" for each in text.split("\\")]
    return "\\".join(each or "" for each in shifted).rstrip("\\")


def _clean_moments(text: str, context: CleanContext) -> str | None:
    if context.profile.times == "remove":
        text = "\\".join(each[:8] for each in text.split("\\"))
    shifted = [context.pseudonyms.shift_datetime(each) if each else "" for each in text.split("\\")]
    return "\\".join(each or "" for each in shifted).rstrip("\\")


def _clean_times(text: str, _context: CleanContext) -> str | None:
    good = all(_TIME.fullmatch(each) or not each for each in text.split("\\"))
    return text if good and text.isascii() else ""


def _clean_age(text: str, context: CleanContext) -> str | None:
    found = _AGE.fullmatch(text)
    if found is None or not text.isascii():
        return ""
    limit = context.profile.maximum_age_years
    years = int(found[1]) * {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1}[found[2]]
    return f"{limit + 1:03}Y" if years > limit else text


def _clean_retained(text: str, context: CleanContext) -> str | None:
    if _PRINTABLE.fullmatch(text) is None or context.known.touches(text):
        return ""
    return text if text.isascii() else "".join(e for e in text if e.isascii())


def _clean_charset(text: str, _context: CleanContext) -> str | None:
    values = [each.strip() for each in text.split("\\")]
    return "\\".join(values) if all(each in _CHARACTER_SETS for each in values) else None


_CLEANERS: dict[Action, Callable[[str, CleanContext], str | None]] = {
    Action.TERM: lambda text, context: clean_terms(text, context.known),
    Action.TEXT: lambda text, context: clean_text(text, context.known),
    Action.VERSION: lambda text, context: clean_versions(text, context.known),
    Action.CHECKED: _clean_retained,
    Action.UID: _clean_uids,
    Action.KEEP_UID: _keep_uids,
    Action.DATE: _clean_dates,
    Action.TIME: _clean_times,
    Action.DATETIME: _clean_moments,
    Action.AGE: _clean_age,
    Action.CHARSET: _clean_charset,
}
