"""How one identity string is written by people and programs: names, dates, telephones, places.

From a known string to the texts that are searched for, each with how sure a match is. Not here:
encodings (``encodings``) and searching (``search``).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum

from containers.check_identity.known import COMMON_WORDS, KnownKind, KnownString

SURE_LENGTH = 6
"""Characters from which a text with a letter in it is searched for inside other words too."""
_PART_LENGTH = 3
_SEPARATORS = ("", " ", "^", ",", ", ", ".", "_", "-", "+", "/")
_MAX_PARTS = 5
_SURE_DIGITS = 6
_LAST_DAY = 31
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


class Edge(Enum):
    """Where a text counts as found."""

    ANYWHERE = 1
    WORD = 2
    NUMBER = 3
    """As a whole number: no digit right before or after, and not the end of a UID or fraction."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One text to search for."""

    text: str
    edge: Edge
    is_primary: bool = True
    """Whether it is searched for in escapes and base64 too, not in plain encodings only."""


def variants_of(known: KnownString) -> frozenset[Variant]:
    """Return all texts that stand for a known string; empty where all are common words."""
    texts = {_folded(each) for each in _MAKERS[known.kind](known.text)}
    texts |= {_ascii(each) for each in texts}
    return frozenset(
        Variant(text, _edge(text, known.kind), is_primary=_is_primary(text, known))
        for text in texts
        if is_long_enough(text) and text.casefold() not in COMMON_WORDS
    )


def is_long_enough(text: str) -> bool:
    """Return whether finding a text says anything; two ideographs do, two letters do not."""
    return len(text) >= (_PART_LENGTH if text.isascii() else 2)


def _is_primary(text: str, known: KnownString) -> bool:
    if known.kind is KnownKind.DATE:
        return bool(re.fullmatch(r"\d{8}|\d{4}-\d{2}-\d{2}|\d{2}/\d{2}/\d{4}", text))
    is_part = not re.search(r"[\s.,_+/-]", text)
    return is_part or text == known.text


def _edge(text: str, kind: KnownKind) -> Edge:
    if kind in {KnownKind.UID, KnownKind.DATE} or not any(map(str.isalpha, text)):
        return Edge.NUMBER
    if not text.isascii():
        return Edge.ANYWHERE
    return Edge.ANYWHERE if len(text) >= SURE_LENGTH else Edge.WORD


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def _ascii(text: str) -> str:
    plain = text.replace("ß", "ss").replace("ø", "o").replace("Ø", "O").replace("ł", "l")
    parts = unicodedata.normalize("NFKD", plain)
    kept = "".join(each for each in parts if not unicodedata.combining(each))
    return kept if kept.isascii() else text


def _name(text: str) -> Iterator[str]:
    for group in text.split("="):
        yield group.strip("^ ")
        parts = [each for each in re.split(r"[\^\s,.;_]+", group) if each]
        parts = [each for each in parts if each.casefold().strip(".") not in _TITLES]
        yield from (each for each in parts if is_long_enough(each))
        for pair in itertools.permutations(parts[:_MAX_PARTS], 2):
            if min(map(len, pair)) > 1:
                yield from (separator.join(pair) for separator in _SEPARATORS)
            else:
                # An initial and a surname: only joined, or parted by what login names use.
                yield from (separator.join(pair) for separator in ("", ".", "_", "^", " "))


_TITLES = frozenset({"mr", "mrs", "ms", "miss", "dr", "prof", "sir"})


def _identifier(text: str) -> Iterator[str]:
    yield text
    plain = re.sub(r"[\s\-_/.]+", "", text)
    if len(plain) >= _PART_LENGTH:
        yield plain
    if plain.isdigit() and len(plain) == len("1234567890"):
        yield from _grouped(plain, (3, 3, 4))
    for separator in "-_ ":
        yield re.sub(r"[\s\-_]+", separator, text)
    if "^" in text:
        yield from (part for part in text.split("^") if len(part) >= SURE_LENGTH)


def _grouped(digits: str, sizes: tuple[int, ...]) -> Iterator[str]:
    cuts = list(itertools.accumulate(sizes, initial=0))
    groups = [digits[a:b] for a, b in itertools.pairwise(cuts)]
    yield from (separator.join(groups) for separator in " -")


def _date(text: str) -> Iterator[str]:
    for day in _days(text):
        y, m, d = day.year, day.month, day.day
        for separator in ("", "-", "/", ".", "_", " ", ":"):
            yield f"{y:04}{separator}{m:02}{separator}{d:02}"
            yield f"{d:02}{separator}{m:02}{separator}{y:04}"
            yield f"{m:02}{separator}{d:02}{separator}{y:04}"
        for separator in "-/.":
            yield f"{y}{separator}{m}{separator}{d}"
            yield f"{d}{separator}{m}{separator}{y}"
            yield f"{m}{separator}{d}{separator}{y}"
            yield f"{d:02}{separator}{m:02}{separator}{y % 100:02}"
            yield f"{m:02}{separator}{d:02}{separator}{y % 100:02}"
            yield f"{y % 100:02}{separator}{m:02}{separator}{d:02}"
        for month in {_MONTHS[m - 1], _MONTHS[m - 1][:3]}:
            for shown in {f"{d}", f"{d:02}"}:
                for separator in (" ", "-", ".", "", "/", "_"):
                    yield f"{shown}{separator}{month}{separator}{y}"
                yield f"{month} {shown} {y}"
                yield f"{month} {shown}, {y}"
                yield f"{shown}-{month}-{y % 100:02}"


def _days(text: str) -> Iterator[date]:
    numbers = [int(each) for each in re.findall(r"\d+", text[: len("2020-01-01")])]
    whole = re.match(r"(\d{4})(\d{2})(\d{2})", text)
    if whole:
        numbers = [int(each) for each in whole.groups()]
    if len(numbers) < 3:  # noqa: PLR2004 - day, month and year
        return
    first, second, third = numbers[:3]
    orders = (
        {(first, second, third)}
        if first > _LAST_DAY
        else {(third, second, first), (third, first, second)}
    )
    for year, month, day in sorted(orders):
        try:
            yield date(year, month, day)
        except ValueError:
            continue


def _phone(text: str) -> Iterator[str]:
    yield text
    digits = re.sub(r"\D", "", text)
    for prefix, other in (("0044", "44"), ("44", "44")):
        if digits.startswith(prefix):
            digits = "0" + digits.removeprefix(prefix).removeprefix("0")
            del other
            break
    if len(digits) < _SURE_DIGITS:
        return
    forms = {digits}
    if digits.startswith("0"):
        forms |= {"+44" + digits[1:], "0044" + digits[1:], digits[1:]}
        for sizes in ((5, 6), (5, 3, 3), (4, 3, 4), (3, 4, 4)):
            if sum(sizes) == len(digits):
                forms |= set(_grouped(digits, sizes))
                forms |= {"+44 " + each[1:] for each in _grouped(digits, sizes)}
    yield from forms


def _address(text: str) -> Iterator[str]:
    yield text
    for line in re.split(r"[,;\n^\\]+", text):
        if len(line.strip()) >= SURE_LENGTH:
            yield line.strip()
    for postcode in re.findall(r"\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b", text.upper()):
        yield postcode
        yield postcode.replace(" ", "")


def _as_is(text: str) -> Iterator[str]:
    yield text
    if " " in text:
        yield text.replace(" ", "_")
        yield text.replace(" ", "")


def _text(text: str) -> Iterator[str]:
    yield from _as_is(text)
    if "^" in text:
        yield from _name(text)
    if _ID_LIKE.fullmatch(text):
        yield from _identifier(text)


_ID_LIKE = re.compile(r"[\w\-/.]*\d[\w\-/.]*")
_MAKERS = {
    KnownKind.NAME: _name,
    KnownKind.ID: _identifier,
    KnownKind.DATE: _date,
    KnownKind.PHONE: _phone,
    KnownKind.ADDRESS: _address,
    KnownKind.EMAIL: _as_is,
    KnownKind.UID: _as_is,
    KnownKind.TEXT: _text,
}
