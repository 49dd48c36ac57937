"""Siemens protocol text: the ASCCONV part of the Phoenix protocol, cut to what cannot identify.

The text stands in the CSA series header as ``MrPhoenixProtocol`` and, from software XA on, in
(0021,xx19) of SIEMENS MR SDS 01. It holds reference UIDs with date and serial number, the names
of the protocol and of the people's coils and sequences, comments as character codes, and numbers.
In real files a numeric line even holds the scan date (``sSpecPara.lFinalMatrixSizePhase``).
"""

from __future__ import annotations

import re
from functools import cache
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
_LINE = re.compile(
    rb"^[ \t]*([A-Za-z_][\w.\[\]]{0,200})[ \t]*=[ \t]*([^\r\n]{1,300}?)[ \t\r]*$", re.MULTILINE
)
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
    # dcm2niix leaves out the first byte of a text that is no part of a CSA header.
    kept = [b"", b"### ASCCONV BEGIN ###"]
    for key, value in _LINE.findall(text[start:end]):
        line = _clean_line(key.decode("latin-1"), value.decode("latin-1"), known)
        if line is not None:
            kept.append(line)
    kept.append(b"### ASCCONV END ###\n")
    return b"\n".join(kept)


def _clean_line(key: str, value: str, known: Known) -> bytes | None:
    last = _known_key(key)
    if last is None:
        return None
    if not (value.startswith('"') and _text_is_kept(last, value, known)) and not _number_is_kept(
        last, value, known
    ):
        return None
    return f"{key}\t = \t{value}".encode("latin-1")


@cache
def _words() -> frozenset[str]:
    terms = vendor_terms()
    return terms.protocol_keys | frozenset(terms.protocol_texts)


def _known_key(key: str) -> str | None:
    """Return the last word of a key of which every word is in the list, else None."""
    words = _words()
    last = None
    for part in key.split("."):
        word = _INDEX.sub("", part)
        if word in words:
            last = word
        elif last is None or _PLAIN_INDEX.fullmatch(word) is None:
            return None
    return last


def _number_is_kept(word: str, value: str, known: Known) -> bool:
    if _HEX.fullmatch(value):
        digits = str(int(value, 16))
        return not is_date(digits) and not known.touches(digits)
    return is_number(value, known, vendor_terms().long_numbers.get(word, LONGEST_NUMBER))


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
