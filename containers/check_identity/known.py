"""The identity strings of a study that must be found nowhere; read from files or originals.

Values are never shown: neither ``repr`` nor an error repeats one. Not here: how a string is
varied (``variants``) or encoded (``encodings``).
"""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.multival import MultiValue

from containers.check_identity.dicom_words import is_plain_wording
from containers.check_identity.patterns import is_replacement
from containers.check_identity.tables import actions, options_of
from containers.contract import BadInputError

MIN_LENGTH = 3
"""Characters below which a string is found everywhere, so that finding it says nothing."""
_LEFT_TO_RULES = re.compile(
    r".|\d{1,2}|\d{1,3} ?[DWMY]|(?:fe)?male|other|man|woman|left|right|(?:left|right)-?handed",
    re.IGNORECASE,
)
"""Sex, age, hand, ordinals, single letters: criteria judge them by where they stand (12, 13, 31,
32), for as strings they are found in every file."""
_COMMON = """
head brain body neck test none male female unknown other phantom human patient subject name
anon anonymous anonymized anonymised removed null empty true false scan scanner field image
left right hand foot mr mri mrs miss ms dr prof sir lady the and for not non may march june
april august summer young old long short white black green brown grey gray day king bishop
page case series study session run task rest bold sense coil art ant van von der den los las
del della san std max min mean sum box art ray axial sagittal coronal hospital university
centre center department research clinic institute imaging oxford london
"""
COMMON_WORDS = frozenset(_COMMON.split())
"""Words that stand in every header; alone they identify nobody."""
_COLUMN_KINDS = (
    ("date", re.compile(r"birth|dob|date", re.IGNORECASE)),
    ("phone", re.compile(r"phone|tel|mobile|fax", re.IGNORECASE)),
    ("email", re.compile(r"mail", re.IGNORECASE)),
    ("address", re.compile(r"address|postcode|street|zip", re.IGNORECASE)),
    ("uid", re.compile(r"uid$", re.IGNORECASE)),
    ("id", re.compile(r"id$|number|nhs|mrn|accession|booking|code", re.IGNORECASE)),
    ("name", re.compile(r"name|surname|initials|operator|physician", re.IGNORECASE)),
)
_DATE = re.compile(r"\d{4}[-/.]?\d{2}[-/.]?\d{2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")


class KnownKind(StrEnum):
    """What a known string is; decides how it is varied."""

    NAME = "name"
    ID = "id"
    DATE = "date"
    ADDRESS = "address"
    PHONE = "phone"
    EMAIL = "email"
    UID = "uid"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class KnownString:
    """One identity string of the study."""

    kind: KnownKind
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KnownStrings:
    """All known identity strings of a study, without repeats.

    ``too_short`` counts the strings that were given but are too short to be searched for;
    ``left_to_rules`` those that are sex, age, hand, an ordinal or a single letter, which criteria
    judge by their place; ``has_originals`` says that all values of the original headers are among
    them.
    """

    strings: tuple[KnownString, ...] = field(default=(), repr=False)
    too_short: int = 0
    has_originals: bool = False
    left_to_rules: int = 0

    @classmethod
    def of(
        cls,
        strings: Iterable[KnownString],
        *,
        has_originals: bool = False,
        is_from_headers: bool = False,
    ) -> KnownStrings:
        """Return the strings that can be searched for, and the count of those that cannot.

        Parameters
        ----------
        has_originals : bool
            The strings are all those of the original headers.
        is_from_headers : bool
            The strings are some of the original headers. Of these, as of all, nobody chose any,
            so those of one or two characters or of one common word, which headers are full of,
            are not counted.
        """
        is_from_headers = is_from_headers or has_originals
        kept: dict[KnownString, None] = {}
        too_short = left_to_rules = 0
        for each in strings:
            text = " ".join(each.text.split())
            # What replaced a name in an earlier run identifies nobody.
            if not text or is_replacement(text):
                continue
            if text.isascii() and _LEFT_TO_RULES.fullmatch(text):
                left_to_rules += 1
            elif len(text) < (MIN_LENGTH if text.isascii() else 2):
                too_short += 1
            elif not is_from_headers or text.casefold() not in COMMON_WORDS:
                kept[KnownString(each.kind, text)] = None
        if is_from_headers:
            too_short = left_to_rules = 0
        return cls(tuple(kept), too_short, has_originals, left_to_rules)

    def __add__(self, other: KnownStrings) -> KnownStrings:
        """Return the strings of both."""
        merged = KnownStrings.of((*self.strings, *other.strings))
        return KnownStrings(
            merged.strings,
            self.too_short + other.too_short,
            self.has_originals or other.has_originals,
            self.left_to_rules + other.left_to_rules,
        )

    @classmethod
    def from_file(cls, path: Path) -> KnownStrings:
        """Read a JSON, CSV, TSV or text file of known strings (docs/check-identity.md).

        Raises
        ------
        BadInputError
            The file cannot be read, is of none of these forms, or holds no string.
        """
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(
                f"Cannot read the file of known strings: {type(error).__name__}. It must be "
                "readable UTF-8 text."
            ) from None
        suffix = path.suffix.lower()
        try:
            if suffix == ".json":
                strings = list(_from_json(json.loads(text)))
            elif suffix in {".csv", ".tsv"}:
                strings = list(_from_table(text, "\t" if suffix == ".tsv" else ","))
            else:
                strings = [_from_line(line) for line in text.splitlines() if line.strip()]
        except (ValueError, csv.Error, RecursionError):
            raise BadInputError(
                "Cannot read the file of known strings: it is not in the form that its suffix "
                "says (.json, .csv, .tsv, or one string a line). See docs/check-identity.md."
            ) from None
        found = cls.of(strings)
        if not found.strings:
            raise BadInputError(
                "The file of known strings holds none that can be searched for "
                f"({found.too_short} too short). Give the study's names and numbers."
            )
        return found

    @classmethod
    def from_dicom(cls, folder: Path) -> KnownStrings:
        """Collect every identifier from the headers of an original DICOM folder.

        Person names, identifiers, dates, UIDs, and every text of an attribute that the basic
        profile of PS3.15 removes or replaces, at any depth; not descriptions of scans, and no
        value of one or two characters.

        Raises
        ------
        BadInputError
            No file of the folder is DICOM, or one is damaged, so that identifiers would be missed.
        """
        found: dict[KnownString, None] = {}
        read = 0
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            dataset = _headers(path)
            if dataset is not None:
                read += 1
                found.update(dict.fromkeys(_identifiers(dataset)))
        if not read:
            raise BadInputError(
                "Cannot collect known strings: the folder of originals has no DICOM file. "
                "Name the folder that was scrubbed."
            )
        return cls.of(found, has_originals=True)


def _from_json(document: object) -> Iterator[KnownString]:
    if isinstance(document, Mapping) and isinstance(document.get("strings"), list):
        document = document["strings"]
    if isinstance(document, Mapping):
        for kind, values in document.items():
            for value in values if isinstance(values, list) else [values]:
                yield KnownString(KnownKind(str(kind)), _scalar(value))
        return
    if not isinstance(document, list):
        raise ValueError  # noqa: TRY004 - what the file holds, not how this is called
    for each in document:
        if isinstance(each, Mapping):
            yield KnownString(KnownKind(each.get("kind", "text")), _scalar(each.get("text", "")))
        else:
            yield _from_line(_scalar(each))


def _scalar(value: object) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise ValueError


def _from_table(text: str, delimiter: str) -> Iterator[KnownString]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = [cell.strip().lower() for cell in next(rows, [])]
    if header == ["kind", "text"]:
        for row in rows:
            if row:
                kind, value = row
                yield KnownString(KnownKind(kind.strip().lower()), value)
        return
    kinds = [_column_kind(cell) for cell in header]
    for row in rows:
        for kind, value in zip(kinds, row, strict=False):
            yield KnownString(kind, value)


def _column_kind(name: str) -> KnownKind:
    return next(
        (KnownKind(kind) for kind, rule in _COLUMN_KINDS if rule.search(name)), KnownKind.ID
    )


def _from_line(line: str) -> KnownString:
    head, colon, rest = line.strip().partition(":")
    if colon and head.strip().lower() in set(KnownKind):
        return KnownString(KnownKind(head.strip().lower()), rest.strip())
    text = line.strip()
    if _DATE.fullmatch(text):
        return KnownString(KnownKind.DATE, text)
    if "@" in text:
        return KnownString(KnownKind.EMAIL, text)
    is_name = "^" in text or ("," in text and not any(map(str.isdigit, text)))
    return KnownString(KnownKind.NAME if is_name else KnownKind.TEXT, text)


def _headers(path: Path) -> Dataset | None:
    try:
        with path.open("rb") as stream:
            stream.seek(128)
            if stream.read(4) != b"DICM":
                return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError, EOFError, NotImplementedError):
        raise BadInputError(
            "Cannot collect known strings: a DICOM file among the originals is damaged or may "
            "not be read, so that its identifiers are not known. Remove or mend it."
        ) from None


_TEXT_VRS = {"LO", "SH", "ST", "LT", "UT", "UC", "AE", "CS"}
_ID_WORDS = re.compile(r"ID$|IDs$|Number|Identifier")
_NEVER = {"PatientSex", "PatientAge", "StudyID"}


def _identifiers(dataset: Dataset) -> Iterator[KnownString]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for element in dataset.iterall():
            for text in _texts(element.value):
                kind = _element_kind(f"{element.tag:08X}", element.VR, element.keyword, text)
                if kind is not None and len(text) >= MIN_LENGTH:
                    yield KnownString(kind, text)


def _texts(value: object) -> Iterator[str]:
    many = value if isinstance(value, MultiValue | list) else [value]
    for each in many:
        if each is not None and not isinstance(each, bytes | Dataset):
            yield str(each).strip("\0 ")


def _element_kind(  # noqa: PLR0911 - one return for each kind
    tag: str, vr: str, keyword: str, text: str
) -> KnownKind | None:
    action = actions().get(tag)
    if vr == "PN":
        return KnownKind.NAME
    if action is None or keyword in _NEVER:
        return None
    if vr in {"DA", "DT"}:
        return KnownKind.DATE if len(text) >= len("20200101") else None
    if vr == "UI":
        return KnownKind.UID if "U" in action and len(text) > len("1.2.840.10008") else None
    if vr not in _TEXT_VRS or "clean_descriptors" in options_of(tag):
        return None
    if "Telephone" in keyword:
        return KnownKind.PHONE
    if "Address" in keyword:
        return KnownKind.ADDRESS
    # One of a closed list of words is no identifier.
    if vr == "CS":
        return None
    if _ID_WORDS.search(keyword):
        return KnownKind.ID
    # A place called "FMRI" is no identity; words of imaging stand in every description.
    is_wording = not any(map(str.isdigit, text)) and is_plain_wording(text)
    return None if is_wording else KnownKind.TEXT
