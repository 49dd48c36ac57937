"""The ways in which one secret string may be written, and the bytes that each makes.

A date stands in headers, names and logs in dozens of forms, a name in both orders, a number with
and without separators. Not here: which strings are secret (``secret_strings``), finding them
(``search``).
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from urllib.parse import quote

_MONTH_NAMES = """
January February March April May June July August September October November December
"""
_MONTHS = tuple(_MONTH_NAMES.split())
_NAME_PARTS = re.compile(r"[\s^=,;._-]+")
_SEPARATORS = re.compile(r"[\s._/:-]+")
_NAME_JOINTS = (" ", "^", ", ", ",", "_", "-", ".", "")
_ID_JOINTS = ("", "-", "_", " ", ".")
_LEADING_ZEROS = re.compile(r"0+(?=\d{5,}\Z)")
_SHORTEST_ENCODED = 6
"""Characters below which a text is not looked for in base64 and hexadecimal."""
_LONGEST_NAME_PARTS = 4
_SHORTEST_JOINED = 5
MOST_JOINED_PARTS = 6


class SecretKind(StrEnum):
    """What a secret string is; decides how it is varied."""

    NAME = "name"
    ID = "id"
    DATE = "date"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret string; never shown, not even by ``repr``."""

    kind: SecretKind
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way to write a secret.

    Attributes
    ----------
    text : str
    is_part : bool
        A part of a name alone. It may be an ordinary word, so it counts only where no prose is.
    is_whole : bool
        The secret as it was given; also looked for in base64 and hexadecimal.
    """

    text: str = field(repr=False)
    is_part: bool = False
    is_whole: bool = False


def spellings(secret: Secret) -> Iterator[Spelling]:
    """Yield the ways to write a secret, the given one first."""
    text = " ".join(unicodedata.normalize("NFC", secret.text).split())
    if not text:
        return
    yield Spelling(text, is_whole=True)
    if secret.kind is SecretKind.DATE:
        found = parse_date(text)
        if found:
            yield from (Spelling(each) for each in sorted(date_forms(found)))
    elif secret.kind is SecretKind.NAME:
        yield from _name_forms(text)
    elif secret.kind is SecretKind.ID:
        yield from (Spelling(each) for each in sorted(_id_forms(text)))


def parse_date(text: str) -> date | None:
    """Return the day that a text begins with: ``2017-08-13``, ``20170813``, ``2017/08/13``."""
    matched = re.match(r"(\d{4})([-/.]?)(\d{2})\2(\d{2})(?!\d{3})", text)
    if matched is None:
        return None
    try:
        return date(int(matched[1]), int(matched[3]), int(matched[4]))
    except ValueError:
        return None


def date_forms(day: date) -> set[str]:
    """Return a day in the forms that people and programs write it.

    Years of two digits only with separators or as six digits; the latter are looked for as whole
    numbers in text only, because short numbers are everywhere.
    """
    year, short, month, number = day.year, f"{day.year % 100:02d}", day.month, day.day
    forms: set[str] = set()
    for mark in ("-", "/", ".", "_", " ", ":"):
        for m, d in ((f"{month:02d}", f"{number:02d}"), (str(month), str(number))):
            forms |= {f"{year}{mark}{m}{mark}{d}", f"{d}{mark}{m}{mark}{year}"}
            forms.add(f"{m}{mark}{d}{mark}{year}")
            # 1.2.13 may be the version of a program; with zeros it is none.
            if mark == "/" or (mark in "-." and len(m) == len(d) == len(short)):
                forms |= {f"{d}{mark}{m}{mark}{short}", f"{m}{mark}{d}{mark}{short}"}
                forms.add(f"{short}{mark}{m}{mark}{d}")
    forms |= {f"{year}{month:02d}{number:02d}", f"{number:02d}{month:02d}{year}"}
    forms |= {f"{month:02d}{number:02d}{year}", f"{short}{month:02d}{number:02d}"}
    forms.add(f"{number:02d}{month:02d}{short}")
    for name in (_MONTHS[month - 1], _MONTHS[month - 1][:3]):
        for d in {f"{number:02d}", str(number)}:
            forms |= {f"{d} {name} {year}", f"{d}-{name}-{year}", f"{d}{name}{year}"}
            forms |= {f"{name} {d}, {year}", f"{name} {d} {year}", f"{d}. {name} {year}"}
            forms |= {f"{d}-{name}-{short}", f"{d} {name} {short}", f"{year}-{name}-{d}"}
    return forms


def _name_forms(text: str) -> Iterator[Spelling]:
    parts = [part for part in _NAME_PARTS.split(text) if part][:_LONGEST_NAME_PARTS]
    for variant in sorted({*parts, *map(plain, parts)}):
        yield Spelling(variant, is_part=len(parts) > 1)
    lists = [parts, [plain(part) for part in parts]]
    for each in lists:
        for pair in itertools.permutations(each, 2):
            yield from (Spelling(joint.join(pair)) for joint in _NAME_JOINTS)
            yield from _initial_forms(*pair)
        if len(each) > 2:  # noqa: PLR2004  # pairs are done
            yield from (Spelling(joint.join(each)) for joint in _NAME_JOINTS)


def _initial_forms(first: str, last: str) -> Iterator[Spelling]:
    """Yield a name with an initial; it may make an ordinary word, so it is no more than a part."""
    for mark in (".", ". ", " ", ""):
        if len(last) >= (_SHORTEST_JOINED if not mark else 1):
            yield Spelling(f"{first[0]}{mark}{last}", is_part=True)
            yield Spelling(f"{last}{mark}{first[0]}", is_part=True)


def _id_forms(text: str) -> set[str]:
    parts = [part for part in _SEPARATORS.split(text) if part]
    forms = {text, plain(text), _LEADING_ZEROS.sub("", text)}
    if 1 < len(parts) <= MOST_JOINED_PARTS:
        forms |= {joint.join(parts) for joint in _ID_JOINTS}
    return forms - {""}


def plain(text: str) -> str:
    """Return a text without accents."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(each for each in decomposed if not unicodedata.combining(each))


def encoded(spelling: Spelling) -> set[bytes]:
    """Return the bytes by which a spelling stands in files, all with ASCII in lower case.

    The haystack is lowered in the same way, so that case does not matter; letters beyond ASCII
    are given in both cases. Base64 is lowered too, which finds a little too much rather than too
    little.
    """
    found: set[bytes] = set()
    for text in _cases(spelling.text):
        found |= {text.encode(name).lower() for name in ("utf-8", "utf-16-le", "utf-16-be")}
        if not text.isascii():
            found |= set(_not_ascii(text))
        percent = quote(text, safe="")
        if percent != text:
            found |= {percent.encode().lower(), text.replace(" ", "+").encode().lower()}
    if spelling.is_whole and len(spelling.text) >= _SHORTEST_ENCODED:
        raw = spelling.text.encode()
        found |= {each for each in _base64_forms(raw) if len(each) >= _SHORTEST_ENCODED}
        found.add(raw.hex().encode())
    return found


def _cases(text: str) -> set[str]:
    if text.isascii():
        return {text}
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    return {made for one in forms for made in (one, one.lower(), one.upper(), one.title())}


def _not_ascii(text: str) -> Iterable[bytes]:
    for name in ("latin-1", "cp1250", "iso8859-5", "shift-jis", "gb18030"):
        try:
            yield text.encode(name).lower()
        except UnicodeEncodeError:
            continue
    yield json.dumps(text)[1:-1].encode().lower()
    yield text.encode("ascii", "xmlcharrefreplace").lower()


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """Yield what stands in base64 wherever ``raw`` begins: the characters that it alone decides."""
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        first = -(-shift * 8 // 6)
        last = (shift + len(raw)) * 8 // 6
        yield text[first:last].lower()
