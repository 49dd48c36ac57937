"""Cleans free text: only words of the vocabulary and short numbers stay.

A text is cut into words; a word stays if every piece of it (letters apart from digits) is in
``data/vocabulary.txt`` or is a short number, and if it touches no known identity. Dates,
telephone numbers and other long runs of digits go first. Not here: which attribute is text.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from containers.scrub_headers.known import KnownIdentities

_WORD = re.compile(r"[A-Za-z0-9.]+")
_PRINTABLE = re.compile(r"[ -~]*")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PIECE = re.compile(r"[A-Za-z]+|[0-9]+|\.")
_LONGEST_NUMBER = 4
_MOST_ATOMS = 3
"""Single letters that may follow one another: more could spell a name."""
# A run of digits with the separators of dates and telephone numbers. Six digits and more are one.
_DIGIT_RUN = re.compile(r"[+(]?(?<![A-Za-z\d.])\d(?:[\s./:()_-]{0,3}\d)+")
_DATE = re.compile(
    r"(?<![A-Za-z\d.])(?:\d{1,4}[\s./_:-]\s*\d{1,2}[\s./_:-]\s*\d{1,4})(?!\d)"
    r"|(?i:(?<![a-z])(?:january|february|march|april|june|july|august|september|october"
    r"|november|december|jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)(?![a-z]))"
)
_FEWEST_DIGITS_OF_A_NUMBER = 6
# Ages from 90 on, which HIPAA's safe harbour does not let stay.
_OLD_AGE = re.compile(
    r"(?<![\d.])(?:9\d|1[0-3]\d)[\s_-]{0,2}(?:y|yr|yrs|yo|years?|y/o)(?![A-Za-z])", re.IGNORECASE
)
_VERSION = re.compile(
    r"\d{1,4}(?:\.\d{1,4}){0,5}"
    r"|(?:syngo )?(?:MR ?)?(?:[A-Z]{1,2}\d{2}[A-Z]?\d?)(?:[ -]SP\d{2})?"
    r"|LX|GEMS"
    r"|(?:MR Software release:)?(?:MR|DV|RX|HD|EX)?\d{1,2}(?:\.\d{1,2}){0,3}"
    r"(?:_[A-Z]{1,2}\d{0,2})?_\d{4}\.[a-z]"
    r"|(?:V|R|uMR ?)\d{1,3}(?:\.\d{1,4}){0,5}"
)
_PADDING = " \0"
# Terms of PS3.3 for coded strings that are given names elsewhere, so that no vocabulary for free
# text may hold them: phase encoding reordering (C.8.3.1.1.4).
_DEFINED_TERMS = frozenset({"PER"})


@cache
def vocabulary() -> frozenset[str]:
    """Return the words that may stay, in lower case."""
    text = (resources.files("containers.scrub_headers") / "data" / "vocabulary.txt").read_text(
        encoding="utf-8"
    )
    lines = (each for each in text.splitlines() if not each.startswith("#"))
    words = (word for line in lines for word in re.split(r"[\s_-]+", line.lower()))
    pieces = (piece for word in words for piece in _PIECE.findall(word) if piece.isalpha())
    return frozenset(pieces)


def clean_text(text: str, known: KnownIdentities, words: frozenset[str] | None = None) -> str:
    """Return what of a text may stay, with its separators; empty where nothing is left.

    Only ASCII is kept. A text with an escape character, which switches character sets, goes
    as a whole. ``words`` are those that may stay, where they are not the usual ones.
    """
    allowed = vocabulary() if words is None else words
    plain = text.strip(_PADDING)
    if not plain or "\x1b" in plain or "\0" in plain:
        return ""
    shorter = _OLD_AGE.sub(" ", _DATE.sub(" ", _without_long_numbers(plain)))
    kept: list[str] = []
    dropped = shorter != plain or not _PRINTABLE.fullmatch(shorter)
    end = 0
    for found in _WORD.finditer(shorter):
        # A letter beyond ASCII at either side makes the word part of a longer, unknown one.
        around = shorter[max(found.start() - 1, 0) : found.start()]
        around += shorter[found.end() : found.end() + 1]
        if around.isascii() and _may_stay(found[0], known, allowed):
            if kept:
                kept.append(_separator(shorter[end : found.start()]))
            kept.append(found[0])
        else:
            dropped = True
        end = found.end()
    if not kept or _spells(kept):
        return ""
    result = "".join(kept) if dropped else plain
    return "" if known.touches(result) else result


def clean_terms(text: str, known: KnownIdentities) -> str:
    """Return the values of a coded string whose every word may stay; others become ``OTHER``.

    The number of values is kept, since programs find a term by its place. Empty where no value
    is left.
    """
    values = [each.strip(_PADDING) for each in text.split("\\")]
    cleaned = [each if is_term(each, known) else "OTHER" for each in values]
    if all(each in {"OTHER", ""} for each in cleaned) and cleaned != values:
        return ""
    return "\\".join(cleaned)


def is_term(text: str, known: KnownIdentities) -> bool:
    """Return whether a value consists of words of the vocabulary alone."""
    return (
        not text
        or (text in _DEFINED_TERMS and not known.touches(text))
        or (text.isascii() and clean_text(text, known) == text and not re.search(r"\d{5}", text))
    )


def clean_versions(text: str, known: KnownIdentities) -> str:
    """Return the values of a list of software versions that look like one; others become empty."""
    values = [each.strip(_PADDING) for each in text.split("\\")]
    kept = [each if _VERSION.fullmatch(each) and not known.touches(each) else "" for each in values]
    return "\\".join(kept).rstrip("\\")


def _without_long_numbers(text: str) -> str:
    def shorten(found: re.Match[str]) -> str:
        digits = sum(each.isdigit() for each in found[0])
        return " " if digits >= _FEWEST_DIGITS_OF_A_NUMBER else found[0]

    return _DIGIT_RUN.sub(shorten, text)


def _may_stay(word: str, known: KnownIdentities, words: frozenset[str]) -> bool:
    pieces = _PIECE.findall(word)
    for piece in pieces:
        if piece.isalpha():
            if piece.lower() not in words and not _joins_words(piece, words):
                return False
        elif piece != "." and len(piece) > _LONGEST_NUMBER:
            return False
    if sum(len(each) == 1 and each.isalpha() for each in pieces) > _MOST_ATOMS:
        return False
    return any(each != "." for each in pieces) and not known.touches(word)


def _joins_words(piece: str, words: frozenset[str]) -> bool:
    """Return whether a piece is words of the vocabulary joined by capitals."""
    parts = _CAMEL.findall(piece)
    return len(parts) > 1 and all(len(e) > 1 and e.lower() in words for e in parts)


def _separator(text: str) -> str:
    """Return one character for what stood between two words that stay."""
    found = re.search(r"[_^\\+=/*#-]", text)
    return found[0] if found else " "


def _spells(parts: list[str]) -> bool:
    """Return whether single letters follow one another as in a word written apart."""
    run = 0
    for each in parts:
        if len(each) == 1 and each.isalpha():
            run += 1
            if run > _MOST_ATOMS:
                return True
        elif each.isalnum():
            run = 0
    return False
