"""Checks of single values: plain numbers, and texts of the manufacturer's vocabulary.

A number can hide an identity too: a date, a hospital number, or characters laid over the bytes of
floating-point values. What could be one of these is no number for this module.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, Protocol

from containers.scrub_headers.vendor.tables import vendor_terms

BINARY_FORMATS: Final = {"FL": "f", "FD": "d", "SS": "h", "US": "H", "SL": "i", "UL": "I"}
LONGEST_NUMBER: Final = 7
"""Digits of a whole number that is kept without a rule of its own; identifiers have more."""
_NUMBER = re.compile(
    r"[+-]?(?:(\d{1,10})(?:\.\d{0,16})?|\.\d{1,16})(?:[eE][+-]?\d{1,3})?", re.ASCII
)
_DATE = re.compile(r"(?:18|19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_DATE_BACKWARDS = re.compile(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:18|19|20|21)\d\d")
_DATE_AMERICAN = re.compile(r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:18|19|20|21)\d\d")
# Characters of names and identifiers; real numbers hit so long a run of them about once in 10^7.
_TEXT_RUN = re.compile(rb"[A-Za-z0-9 ,.^_\-]{12}")
_ALL_TEXT = re.compile(rb"[A-Za-z0-9 ,.^_\-=/\\:;]{8,}")
_WIDE_TEXT_RUN = re.compile(rb"(?:[A-Za-z0-9]\x00){5}|(?:\x00[A-Za-z0-9]){5}")
_LARGEST: Final = 2.0e9
_SMALLEST: Final = 1e-15
# Philips writes this where a floating-point attribute has no value (about half of the largest).
_NO_VALUE: Final = 1.6e38
_FOUR_DIGITS: Final = 9999
_TWO_FLOATS: Final = 8
_SHORT: Final = frozenset("hH")


class Known(Protocol):
    """What a check asks of the study's identity strings."""

    def touches(self, text: str) -> bool:
        """Return whether a text holds one of them."""


def is_date(digits: str) -> bool:
    """Return whether eight digits can be read as a day from 1800 on, in one of three orders."""
    return bool(
        _DATE.fullmatch(digits)
        or _DATE_BACKWARDS.fullmatch(digits)
        or _DATE_AMERICAN.fullmatch(digits)
    )


def is_number(text: str, known: Known, digits: int = LONGEST_NUMBER) -> bool:
    """Return whether a text is one plain number of limited length, no date and no identifier.

    ``digits`` limits the digits before the decimal point; leading zeros count.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        return False
    whole = found[1] or ""
    if len(whole) > digits or (len(whole) == len("YYYYMMDD") and is_date(whole)):
        return False
    return len(text) <= len("9999") or not known.touches(text.lstrip("+-"))


def numbers(text: str, known: Known, *, empty: bool = True) -> bool:
    """Return whether a DICOM text holds only numbers, divided by backslashes."""
    return all(
        (empty and not part) or is_number(part, known)
        for part in (each.strip(" \0") for each in text.split("\\"))
    )


def _floats_are_plain(values: Iterator[tuple[float]], known: Known) -> bool:
    for (value,) in values:
        size = abs(value)
        if not (size == 0 or _SMALLEST <= size <= _LARGEST or size > _NO_VALUE):
            return False  # also for "not a number"
        if _FOUR_DIGITS < size <= _LARGEST and not _whole_is_plain(str(round(size)), known):
            return False
    return True


def _whole_is_plain(digits: str, known: Known) -> bool:
    if len(digits) == len("YYYYMMDD") and is_date(digits):
        return False
    return len(digits) <= len("9999") or not known.touches(digits)


def looks_like_text(value: bytes) -> bool:
    """Return whether bytes that should be binary numbers read as characters."""
    plain = value.rstrip(b"\0 ")
    return bool(
        _ALL_TEXT.fullmatch(plain) or _TEXT_RUN.search(value) or _WIDE_TEXT_RUN.search(value)
    )


def is_binary_number(vr: str, value: bytes, *, big_endian: bool, known: Known) -> bool:
    """Return whether bytes are plain binary numbers of a value representation.

    Integers of four bytes are checked like numbers in text: no dates, no known identifiers.
    """
    code = BINARY_FORMATS[vr]
    order = ">" if big_endian else "<"
    size = struct.calcsize(order + code)
    if len(value) % size:
        return False
    if code in _SHORT:
        return not looks_like_text(value) if len(value) > size else True
    if len(value) >= _TWO_FLOATS and looks_like_text(value):
        return False
    content = struct.iter_unpack(order + code, value)
    if code in "fd":
        return _floats_are_plain(content, known)
    return all(_whole_is_plain(str(abs(number)), known) for (number,) in content)


def is_coded(text: str, known: Known) -> bool:
    """Return whether a text holds only terms of the list, divided by backslashes."""
    terms = vendor_terms().coded_terms
    return all(
        not part or part in terms for part in (each.strip(" \0") for each in text.split("\\"))
    ) and not known.touches(text)


def is_pulse_sequence(text: str, known: Known) -> bool:
    """Return whether the name of a pulse sequence consists of words of the list.

    A name of a research sequence may hold its author's name; such a name is no vocabulary.
    """
    words = vendor_terms().pulse_sequence_words
    plain = text.strip(" \0").lower()
    if known.touches(text):
        return False
    return plain in words or all(
        part in words or re.fullmatch(r"[a-z]?\d{0,3}", part)
        for part in re.split(r"[\s_\-+*.]+", plain)
    )


def matches(pattern: str, text: str, known: Known) -> bool:
    """Return whether every part of a DICOM text is of a named pattern."""
    if pattern == "numbers":
        return numbers(text, known)
    if pattern == "pulse sequence":
        return is_pulse_sequence(text, known)
    expected = vendor_terms().patterns[pattern]
    return all(
        not part or expected.fullmatch(part)
        for part in (each.strip(" \0") for each in text.split("\\"))
    ) and not known.touches(text)
