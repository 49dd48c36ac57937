r"""How a text can be written as bytes: character sets, and escapes such as base64 or ``\u``.

Each form is given with the width of its unit and whether letter case counts, which the search
needs to judge a match. Not here: compressed streams (``streams``).
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import codepoint2name

_CHARACTER_SETS = (
    "latin-1", "cp1252", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6",
    "iso8859-7", "iso8859-8", "iso8859-9", "iso8859-15", "cp1251", "koi8-r", "tis-620",
    "shift_jis", "euc_jp", "euc_kr", "gb18030", "big5", "iso2022_jp", "iso2022_jp_2",
    "iso2022_kr", "mac_roman", "cp850",
)  # fmt: skip
_ISO_2022_ESCAPES = re.compile(rb"\x1b[\x20-\x2f]+[\x30-\x7e]|[\x0e\x0f]")
_MIN_BYTES = 3
_WIDEST = 4
_MIN_WIDE_BYTES = 4
_MIN_CODED_BYTES = 6


@dataclass(frozen=True, slots=True)
class EncodedForm:
    """A byte string that stands for a text.

    ``unit`` is the bytes of one character of plain text (1, 2 or 4); ``is_escaped`` says that
    the form is an escape, whose neighbours tell nothing about words.
    """

    name: str
    data: bytes
    unit: int = 1
    caseless: bool = True
    is_escaped: bool = False


def encoded_forms(text: str, *, is_primary: bool = True) -> Iterator[EncodedForm]:
    """Yield every form of a text that is searched for; the same bytes may come twice.

    Parameters
    ----------
    is_primary : bool
        False leaves out UTF-32, escapes and base64.
    """
    for cased in _cases(text):
        for name, unit in (
            ("utf-8", 1),
            ("utf-16-le", 2),
            ("utf-16-be", 2),
            ("utf-32-le", 4),
            ("utf-32-be", 4),
        ):
            if is_primary or unit < _WIDEST:
                yield EncodedForm(name, cased.encode(name), unit)
        if not cased.isascii():
            yield from _character_sets(cased)
    if not is_primary:
        return
    yield from _escapes(text)
    for cased in {text, text.upper(), text.lower(), text.title()}:
        yield from _base64(cased)


def _cases(text: str) -> set[str]:
    """Return the spellings that a search without regard to ASCII case does not join."""
    if text.isascii():
        return {text}
    spelled = {text, text.upper(), text.lower(), text.title()}
    return spelled | {unicodedata.normalize("NFD", each) for each in spelled}


def _character_sets(text: str) -> Iterator[EncodedForm]:
    for name in _CHARACTER_SETS:
        try:
            data = text.encode(name)
        except UnicodeEncodeError:
            continue
        # The escapes that select a set are written by some and left out by others.
        for part in _ISO_2022_ESCAPES.split(data):
            if len(part) >= _MIN_WIDE_BYTES or (len(part) >= _MIN_BYTES and part == data):
                is_seven_bit = name.startswith("iso2022") and part != data
                yield EncodedForm(name, part, caseless=not is_seven_bit)


def _escapes(text: str) -> Iterator[EncodedForm]:
    utf8 = text.encode()
    forms = {
        "percent": "".join(f"%{byte:02X}" for byte in utf8),
        "percent (latin-1)": "".join(f"%{byte:02X}" for byte in text.encode("latin-1", "ignore")),
        "json": "".join(f"\\u{unit:04x}" for unit in _utf16_units(text)),
        "html (decimal)": "".join(f"&#{ord(each)};" for each in text),
        "html (hexadecimal)": "".join(f"&#x{ord(each):x};" for each in text),
        "hexadecimal": utf8.hex(),
        "hexadecimal (spaced)": utf8.hex(" "),
        "hexadecimal (utf-16)": text.encode("utf-16-le").hex(),
    }
    if not text.isalnum() or not text.isascii():
        partly = {
            "percent": "".join(_percent(each) for each in text),
            "plus": "".join("+" if each == " " else _percent(each) for each in text),
            "html": "".join(_entity(each) for each in text),
            "html (escaped)": html.escape(text),
            "quoted-printable": "".join(
                chr(byte) if byte < 127 and byte != 61 else f"={byte:02X}"  # noqa: PLR2004 - RFC 2045 6.7
                for byte in utf8
            ),
        }
        for cased in _cases(text):
            partly[f"json {len(partly)}"] = "".join(
                each if each.isascii() else "".join(f"\\u{unit:04x}" for unit in _utf16_units(each))
                for each in cased
            )
        forms |= {f"{name} (where needed)": form for name, form in partly.items()}
    for name, form in forms.items():
        if len(form) >= _MIN_BYTES and form != text:
            yield EncodedForm(name, form.encode(), is_escaped=form.lower() != text.lower())


def _percent(character: str) -> str:
    if character.isascii() and (character.isalnum() or character in "-_.~"):
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _entity(character: str) -> str:
    if character.isascii():
        return html.escape(character)
    named = codepoint2name.get(ord(character))
    return f"&{named};" if named else f"&#{ord(character)};"


def _utf16_units(text: str) -> tuple[int, ...]:
    data = text.encode("utf-16-be", "surrogatepass")
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


def _base64(text: str) -> Iterator[EncodedForm]:
    """Yield the characters of base64 that do not depend on what stands before and after."""
    for name, data in (("utf-8", text.encode()), ("utf-16-le", text.encode("utf-16-le"))):
        for before in range(3):
            coded = base64.b64encode(b"\0" * before + data)
            first = (0, 2, 3)[before]
            # The last character that this text alone decides: 6 bits each.
            last = (before + len(data)) * 8 // 6
            inner = coded[first:last]
            if len(inner) >= _MIN_CODED_BYTES:
                form = f"base64 of {name}"
                yield EncodedForm(form, inner, caseless=False, is_escaped=True)
