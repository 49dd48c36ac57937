r"""What looks like an identity in text, without knowing whose: dates, numbers, addresses, paths.

Used on text only: values parsed from a format, text files, names. Among voxels and other binary
numbers, eight digits in a row or an @ come by chance. Not here: known strings (``search``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum

_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_NUMERIC_DATES = (
    # year, month, day; none is a version such as 1.0.20240101 or Siemens' VE11C_LATEST_20160120,
    # nor a part of a longer number
    re.compile(
        r"(?<!\d)(?<!\d\.)(?<!LATEST_)"
        r"(?P<y>\d{4})(?P<s>[-/._ :]?)(?P<m>\d{2})(?P=s)(?P<d>\d{2})(?!\d)"
    ),
    re.compile(
        r"(?<![\d])(?<!\d[.-])(?P<d>\d{1,2})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<y>\d{4})(?![\d])"
    ),
)
_WORD_DATES = re.compile(
    rf"(?<![a-z0-9])(?:\d{{1,2}}(?:st|nd|rd|th)?[-. _/]*{_MONTH}[-., _/]*(?:19|20)\d\d"
    rf"|{_MONTH}[-. _]+\d{{1,2}}(?:st|nd|rd|th)?[-., _]+(?:19|20)\d\d)(?!\d)",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
# Links to papers and licences identify nobody; those to a person's or an internal place may.
_LINK = re.compile(
    r"\b(?:(?:ftps?|file|smb|afp|sftp|ssh)://[^\s\"'<>]{3,}|https?://(?:[^\s\"'<>/@]+@|localhost|"
    r"(?:\d{1,3}\.){3}\d{1,3}|[\w-]+[:/]|[\w.-]+\.(?:local|internal|lan|intranet|corp)\b)[^\s\"'<>]*)",
    re.IGNORECASE,
)
_HOME = re.compile(
    r"(?:/(?:home|Users|export/home|vols/Data|mnt/home)/[\w.-]+|\b[A-Za-z]:\\+Users\\+[\w.-]+"
    r"|\\\\[\w.-]+\\[\w$.-]+)"
)
_IP = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d{2}[ (-]{0,2}\d[\d ()-]{7,13}\d|0\d{2,4}[ -)]{1,2}\d{3,4}[ -]?\d{3,4}"
    r"|0[127]\d{9}|\(0\d{2,4}\) ?\d{3,4}[ -]?\d{3,4})(?![\w.])"
)
_NHS = re.compile(r"(?<![\w.-])(\d{3}([ -]?)\d{3}\2\d{4})(?![\w.]|-\d)")
_POSTCODE = re.compile(r"\b[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}\b")
_RECORD_NUMBER = re.compile(
    r"\b(?:MRN|NHS|PID|hospital (?:no|number)|patient (?:id|no|number|name)|surname|forename"
    r"|date of birth|d\.?o\.?b)\b\.?[ \t]*[:=#][ \t]*[\"']?\w",
    re.IGNORECASE,
)
VENDOR_UID = re.compile(
    r"(?:1\.3\.12\.2\.1107\.5|1\.2\.840\.113619|1\.3\.46\.670589|1\.2\.392\.200036\.9116"
    r"|1\.2\.156\.112605|1\.2\.826\.0\.1\.3680043\.2\.\d+)\.[\d.]{5,64}"
)
_LONG_PART = re.compile(r"\.(?:\d{5,}|30000\d+)")
_UID_ROOT_PARTS = 8


class Look(Enum):
    """What a text looks like; the value completes "looks like ..."."""

    DATE = "a date"
    EMAIL = "an e-mail address"
    LINK = "a link"
    HOME = "a path of somebody's folder"
    IP = "an address of a machine"
    PHONE = "a telephone number"
    NHS = "an NHS number"
    POSTCODE = "a postcode"
    RECORD = "a labelled identifier"
    VENDOR_UID = "a vendor's UID with a serial number or date"


@dataclass(frozen=True, slots=True)
class Looks:
    """A stretch of a text that looks like something."""

    look: Look
    start: int
    text: str
    is_weak: bool = False
    """Whether numbers of machines often look so: ten digits, or letters and digits, in a row."""


def looks_in(text: str) -> Iterator[Looks]:
    """Yield what a text seems to hold; nothing goes across the end of a line."""
    yield from dates_in(text)
    for look, rule in (
        (Look.EMAIL, _EMAIL),
        (Look.LINK, _LINK),
        (Look.HOME, _HOME),
        (Look.PHONE, _PHONE),
        (Look.POSTCODE, _POSTCODE),
        (Look.RECORD, _RECORD_NUMBER),
    ):
        for found in rule.finditer(text):
            is_weak = look is Look.POSTCODE
            yield Looks(look, found.start(), found.group(), is_weak=is_weak)
    for found in _IP.finditer(text):
        parts = [int(part) for part in found.group().split(".")]
        # Versions of programs are mostly small numbers; addresses are not.
        if max(parts) <= 255 and parts[0] >= 10:  # noqa: PLR2004 - a byte each
            yield Looks(Look.IP, found.start(), found.group())
    for found in _NHS.finditer(text):
        if is_nhs_number(re.sub(r"\D", "", found.group())):
            yield Looks(Look.NHS, found.start(), found.group(), is_weak=found.group().isdigit())
    for found in VENDOR_UID.finditer(text):
        if is_telling_uid(found.group()):
            yield Looks(Look.VENDOR_UID, found.start(), found.group())


def dates_in(text: str) -> Iterator[Looks]:
    """Yield full dates from 1900 to 2100."""
    for rule in _NUMERIC_DATES:
        for found in rule.finditer(text):
            year, one, other = (int(found[name]) for name in "ymd")
            if _is_day(year, one, other) or (found["s"] in "/.-" and _is_day(year, other, one)):
                yield Looks(Look.DATE, found.start(), found.group())
    for found in _WORD_DATES.finditer(text):
        yield Looks(Look.DATE, found.start(), found.group())


def _is_day(year: int, month: int, day: int) -> bool:
    if not _FIRST_YEAR <= year < _LAST_YEAR:
        return False
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def is_nhs_number(digits: str) -> bool:
    """Return whether ten digits are an NHS number by its check digit (modulus 11).

    References
    ----------
    NHS Data Model and Dictionary, "NHS Number": weights 10 to 2; 11 counts as 0, 10 is invalid.
    """
    if len(digits) != 10 or len(set(digits)) == 1:  # noqa: PLR2004 - its length
        return False
    total = sum(
        int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)
    )
    return (11 - total % 11) % 11 == int(digits[9])


def is_telling_uid(uid: str) -> bool:
    """Return whether a vendor's UID holds a number long enough for a serial number or date."""
    root = VENDOR_UID.match(uid)
    if root is None:
        return False
    parts = uid.split(".")
    head = ".".join(parts[: 4 if uid.startswith("1.2.840.113619") else _UID_ROOT_PARTS])
    return bool(_LONG_PART.search(uid[len(head) :])) or len(parts) > _UID_ROOT_PARTS + 4


def is_pseudonym(text: str) -> bool:
    """Return whether a name or identifier looks like a label given in exchange.

    Letters, digits, ``-`` and ``_`` without the parts of a person name; whether it is a label of
    the study's own is for the search of known strings to tell.
    """
    return not text or bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text))


def is_replacement(text: str) -> bool:
    """Return whether a value says of itself that it replaces another."""
    return bool(
        re.fullmatch(
            r"\s*|[xX*0-]+|(?i:anon(?:ym\w*)?|removed|redacted|unknown|none|null|n/?a|dummy"
            r"|de-?identified|pseudonym\w*|replaced|other|not available|ph?antom)",
            text.strip("\0 ^"),
        )
    )
