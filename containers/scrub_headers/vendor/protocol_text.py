"""Siemens protocol text: the ASCCONV part of the Phoenix protocol, cut to what cannot identify.

The text stands in the CSA series header as ``MrPhoenixProtocol`` and, from software XA on, in
(0021,xx19) of SIEMENS MR SDS 01. It holds reference UIDs with date and serial number, the names
of the protocol and of the people's coils and sequences, comments as character codes, and numbers.
In real files a numeric line even holds the scan date (``sSpecPara.lFinalMatrixSizePhase``).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Final

from containers.scrub_headers.vendor.tables import vendor_terms
from containers.scrub_headers.vendor.values import (
    LONGEST_NUMBER,
    Known,
    is_date,
    is_number,
    is_pulse_sequence,
)

_BEGIN: Final = b"### ASCCONV BEGIN"
_END: Final = b"### ASCCONV END"
LARGEST_TEXT: Final = 8_000_000
"""Bytes; a protocol text is 50 to 200 kB, and one of an array coil's 32 elements below 1 MB."""
_KEY = re.compile(r"[A-Za-z_][\w.\[\]]{0,200}", re.ASCII)
_LONGEST_TEXT: Final = 300
_MOST_LINES: Final = 50_000
_LONGEST_LINE: Final = 600
_INDEX = re.compile(r"\[(?:\d{1,4}|__attribute__)\]")
_PLAIN_INDEX = re.compile(r"\d{1,3}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,8}", re.ASCII)
_QUOTED = re.compile(r'""([^"]*)""|"([^"]*)"')
_SEQUENCE_FILE = re.compile(r"(?:%(?:SiemensSeq|CustomerSeq|ServiceSeq)%[\\/])?([\w+\-]{1,64})")


def clean_protocol_text(text: bytes, known: Known) -> bytes | None:
    """Return the kept lines of the first ASCCONV part, or None where there is no whole one.

    A line stays when every part of its key is a word of the list and its value is a number, or
    one of the few texts that conversion needs (coil, sequence, software) and of the vendor's
    vocabulary.
    """
    start = text.find(_BEGIN)
    end = text.find(_END, start)
    if start < 0 or end < 0 or end - start > LARGEST_TEXT:
        return None
    lines, numbers = _memory_under(known)
    source = text[start:end].split(b"\n")
    new = set(source) - lines.keys()
    if len(lines) + len(new) > _MOST_LINES:
        lines.clear()
        numbers.clear()
        new = set(source)
    for line in new:
        lines[line] = _cleaned(line, known, numbers)
    # dcm2niix leaves out the first byte of a text that is no part of a CSA header.
    kept = [b"", b"### ASCCONV BEGIN ###"]
    kept += [clean for clean in map(lines.__getitem__, source) if clean is not None]
    kept.append(b"### ASCCONV END ###\n")
    return b"\n".join(kept)


def _cleaned(line: bytes, known: Known, numbers: _Numbers) -> bytes | None:
    """Return a line as it stays, or None where it goes."""
    if len(line) > _LONGEST_LINE:
        return None
    key, _, value = line.decode("latin-1").partition("=")
    key, value = key.strip(" \t"), value.lstrip(" \t").rstrip(" \t\r")
    if not 0 < len(value) <= _LONGEST_TEXT or "\r" in value or _KEY.fullmatch(key) is None:
        return None
    return _clean_line(key, value, known, numbers)


_Lines = dict[bytes, bytes | None]
_Numbers = dict[tuple[str, int], bool]
_latest: list[tuple[Known, _Lines, _Numbers]] = []


def _memory_under(known: Known) -> tuple[_Lines, _Numbers]:
    """Return what became of lines and numbers under the same known identities.

    The protocols of a session share most lines, and the lines most numbers.
    """
    if not _latest or _latest[0][0] is not known:
        _latest[:] = [(known, {}, {})]
    return _latest[0][1:]


def _clean_line(key: str, value: str, known: Known, numbers: _Numbers) -> bytes | None:
    last = _known_key(key)
    if last is None:
        return None
    if not (value.startswith('"') and _text_is_kept(last, value, known)) and not _number_is_kept(
        last, value, known, numbers
    ):
        return None
    return f"{key}\t = \t{value}".encode("latin-1")


@cache
def _words() -> frozenset[str]:
    terms = vendor_terms()
    return terms.protocol_keys | frozenset(terms.protocol_texts)


def _known_key(key: str) -> str | None:
    """Return the last word of a key of which every word is in the list, else None."""
    return _last_word(_INDEX.sub("", key) if "[" in key else key)


@lru_cache(maxsize=8192)
def _last_word(key: str) -> str | None:
    words = _words()
    last = None
    for word in key.split("."):
        if word in words:
            last = word
        elif last is None or _PLAIN_INDEX.fullmatch(word) is None:
            return None
    return last


def _number_is_kept(word: str, value: str, known: Known, numbers: _Numbers) -> bool:
    longest = vendor_terms().long_numbers.get(word, LONGEST_NUMBER)
    kept = numbers.get((value, longest))
    if kept is None:
        if _HEX.fullmatch(value):
            digits = str(int(value, 16))
            kept = not is_date(digits) and not known.touches(digits)
        else:
            kept = is_number(value, known, longest)
        numbers[value, longest] = kept
    return kept


def _text_is_kept(word: str, value: str, known: Known) -> bool:
    pattern = vendor_terms().protocol_texts.get(word)
    found = _QUOTED.fullmatch(value)
    if pattern is None or found is None:
        return False
    text = found[1] if found[1] is not None else found[2]
    if known.touches(text):
        return False
    if pattern == "sequence file":
        file = _SEQUENCE_FILE.fullmatch(text)
        return file is not None and is_pulse_sequence(file[1], known)
    return vendor_terms().patterns[pattern].fullmatch(text) is not None
