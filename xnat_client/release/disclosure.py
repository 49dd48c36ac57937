"""Whether the tables of a release could single somebody out.

Groups that share all quasi-identifiers must be of five people at least (k-anonymity, L. Sweeney,
Int. J. Uncertain. Fuzz. 10 (2002) 557), ages above 89 one group, no dates, no free text. A column
that nobody vouches for in a table of people counts as one by which people could be told apart.
Not here: secret strings (``search``).
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from xnat_client.sharing.levels import OLDEST_AGE_YEARS, SMALLEST_GROUP

_MISSING = frozenset({"", "n/a", "nan", "NaN"})
_DATE = re.compile(
    r"\b(?:(?:1[89]|20)\d{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:1[89]|20)\d{2})\b"
    r"|(?<![\d.])(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\d.])"
)
_DATE_COLUMN = re.compile(r"(?i)(^|_)(date|dob|birth\w*|acq_time|time_?stamp|datetime)(_|$)")
_AGE_COLUMN = re.compile(r"(?i)(^|_)age(_|$)")
_NAMING_COLUMN = re.compile(
    r"(?i)(^|_)(name|surname|first_?name|last_?name|initials|mrn|nhs|address|post_?code|zip|phone"
    r"|e?mail|hospital|patient_?id|subject_?code|booking|accession)(_|$)"
)
_OF_SENSORS = re.compile(r"_(channels|electrodes|optodes)\.tsv$")
"""Tables in which BIDS calls the name of a sensor ``name``."""
_WORDS_OF_PROSE = 4
_BAND = re.compile(r"(\d{1,3})-(\d{1,3})")
_NARROWEST_BAND_YEARS = 5
_PERSON_KEYS = re.compile(
    r"^(Patient(?!Position)|(Age|Sex|Gender|Weight|Height|Handedness|Race|Ethnic\w*|Occupation)$)"
)
_LARGEST_TABLE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What was found in tables; places are paths and columns, never a value or a person.

    ``smallest_group`` is the size of the smallest group of people that are alike, None where no
    column tells people apart.
    """

    problems: tuple[str, ...]
    tables: int
    people: int
    smallest_group: int | None
    columns: tuple[str, ...]

    @property
    def is_safe(self) -> bool:
        """Tell whether nothing speaks against the tables."""
        return not self.problems


def check_tables(root: Path) -> Disclosure:
    """Look at all tables and sidecars below a release folder."""
    problems: list[str] = []
    tables = 0
    people: dict[str, dict[str, str]] = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if not path.is_file() or relative.parts[0] == "evidence":
            continue
        if path.name.endswith((".tsv", ".tsv.gz", ".csv")):
            tables += 1
            try:
                rows = _rows(path)
            except (OSError, ValueError, EOFError, csv.Error):
                problems.append(f"{relative.as_posix()}: cannot be read as a table")
                continue
            problems += _of_table(relative.as_posix(), rows)
            _collect_people(relative.as_posix(), rows, people)
        elif path.name.endswith(".json") and relative.parts[0].startswith("sub-"):
            problems += _of_sidecar(path, relative.as_posix())
    columns = sorted({column for row in people.values() for column in row})
    smallest = smallest_group(list(people.values()), columns)
    if smallest is not None and smallest < SMALLEST_GROUP:
        problems.append(
            f"people: by {', '.join(columns)} the smallest group has fewer than {SMALLEST_GROUP} "
            "people; ask for fewer columns"
        )
    return Disclosure(tuple(problems), tables, len(people), smallest, tuple(columns))


def smallest_group(people: Sequence[dict[str, str]], columns: Sequence[str]) -> int | None:
    """Return the size of the smallest group alike in all columns; None without columns or people.

    A missing value is a value of its own: that it is missing tells people apart, too.
    """
    if not columns or not people:
        return None
    groups = Counter(tuple(row.get(column, "n/a") for column in columns) for row in people)
    return min(groups.values())


def _rows(path: Path) -> list[list[str]]:
    if path.stat().st_size > _LARGEST_TABLE_BYTES:
        raise ValueError("too large")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    delimiter = "," if path.suffix == ".csv" else "\t"
    text = data.decode("utf-8-sig")
    rows = list(csv.reader(text.splitlines(), delimiter=delimiter, quoting=csv.QUOTE_NONE))
    return [row for row in rows if row]


def _of_table(shown: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    # Recordings (.tsv.gz) have no line of names.
    has_names = not shown.endswith(".gz")
    names = list(rows[0]) if rows and has_names else []
    for number, name in enumerate(names, start=1):
        if _DATE_COLUMN.search(name):
            values = (row[number - 1] for row in rows[1:] if len(row) >= number)
            if any(value not in _MISSING for value in values):
                yield f"{shown}: column {number} is of dates"
        if _NAMING_COLUMN.search(name) and not (name == "name" and _OF_SENSORS.search(shown)):
            yield f"{shown}: column {number} is named for what identifies"
        if _DATE.search(name) or len(name.split()) >= _WORDS_OF_PROSE:
            yield f"{shown}: the name of column {number} is a date or prose"
    said: set[tuple[int, str]] = set()
    for row in rows[1:] if has_names else rows:
        for number, value in enumerate(row, start=1):
            column = names[number - 1] if number <= len(names) else ""
            what = _of_cell(column, value)
            if what and (number, what) not in said:
                said.add((number, what))
                yield f"{shown}: column {number} {what}"


def _of_cell(column: str, value: str) -> str:
    if value in _MISSING:
        return ""
    if _DATE.search(value):
        return "holds a date"
    if len(value.split()) >= _WORDS_OF_PROSE:
        return "holds free text"
    if _AGE_COLUMN.search(column):
        return _of_age(value)
    return ""


def _of_age(value: str) -> str:
    if value == f"{OLDEST_AGE_YEARS}+":
        return ""
    band = _BAND.fullmatch(value)
    try:
        oldest = int(band[2]) if band else float(value)
    except ValueError:
        return "is of ages, but holds something else"
    if oldest > OLDEST_AGE_YEARS:
        return f"holds an age above {OLDEST_AGE_YEARS}"
    if band and int(band[2]) - int(band[1]) + 1 < _NARROWEST_BAND_YEARS:
        return "holds bands of age of less than five years"
    return ""


def _collect_people(
    shown: str, rows: Sequence[Sequence[str]], people: dict[str, dict[str, str]]
) -> None:
    """Add what a table says of people: participants, sessions and phenotype tables.

    Of a column of a phenotype or sessions table nobody here knows whether it tells people apart,
    so it counts as if it did.
    """
    path = PurePosixPath(shown)
    is_of_people = (
        path.name in {"participants.tsv", "phenotype.tsv"}
        or path.name.endswith("_sessions.tsv")
        or path.parts[0] == "phenotype"
    )
    if not is_of_people or not rows:
        return
    names = list(rows[0])
    per_person: Counter[str] = Counter()
    for row in rows[1:]:
        cells = dict(zip(names, row, strict=False))
        who = cells.pop("participant_id", "") or path.parts[0]
        cells.pop("session_id", None)
        per_person[who] += 1
        # A person's second line in the same table is a fact of its own.
        mark = "" if path.name == "participants.tsv" else f"{path.name} {per_person[who]} "
        people.setdefault(who, {}).update({f"{mark}{key}": cells[key] for key in cells})


def _of_sidecar(path: Path, shown: str) -> Iterator[str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        yield f"{shown}: cannot be read as JSON"
        return
    if any(_PERSON_KEYS.search(key) for key in _keys(document)):
        yield f"{shown}: has a key that is about the person"


def _keys(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield str(key)
            yield from _keys(value)
    elif isinstance(document, list):
        for value in document:
            yield from _keys(value)
