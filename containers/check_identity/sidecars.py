"""Reads JSON sidecars, tables and plain text of a BIDS dataset.

Not here: binary recordings (``recordings``) and pages (``pictures``).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import BinaryIO

from containers.check_identity.context import FileContext, TextValue
from containers.check_identity.patterns import dates_in

_MAX_BYTES = 256 << 20
_MAX_JSON = 64 << 20
_PIECE = 1 << 20
_PIECE_OVERLAP = 200
_LAST_SHIFTED_YEAR = 1925
_OLDEST_AGE = 90.0
_MIN_GROUP = 5
_IDENTIFYING_KEY = re.compile(
    r"(?:patient|subject|participant)_?(?:name|id|birth\w*|address|weight|size|age|sex|comments?"
    r"|telephone\w*|mother\w*|religio\w*)$"
    r"|.*(?:physician|operator|technician|radiographer|experimenter|referr)\w*(?:name|s)?"
    r"|institution\w*|station_?name|deviceserial\w*|device_?serial\w*|\w*serial_?number"
    r"|accession\w*|study_?id|medical_?record\w*|nhs\w*|mrn|hospital\w*|other_?patient\w*"
    r"|(?:acquisition|study|series|content|instance_?creation|performed\w*|scheduled\w*)_?(?:date|datetime)"
    r"|\w*birth_?date|dob|(?:study|series|sop_?instance|frame_?of_?reference|media\w*)_?(?:instance)?_?uid"
    r"|image_?comments|requesting\w*|requested_?procedure_?id|performed_?procedure_?step_?(?:id|description)"
    r"|procedure_?step_?description|consistency_?info|\w*address|\w*telephone\w*|e_?mail|host_?name|user_?name",
    re.IGNORECASE,
)  # fmt: skip
_CLOCK_KEY = re.compile(r"(?:acquisition|study|series|content)_?time", re.IGNORECASE)
_AGE_KEY = re.compile(r"(?:patient_?|participant_?|subject_?)?age(?:_?at_?\w+)?", re.IGNORECASE)
_PLACE_KEY = re.compile(
    r"(?:post_?code|zip|city|town|county|country|region|address|occupation|job|ethnic\w*|race"
    r"|religion|nationality)",
    re.IGNORECASE,
)
_OLD_ID_COLUMN = re.compile(
    r"(?:nhs|mrn|hospital|patient|original|source|xnat|scan(?:ner)?|accession|booking|dicom|old"
    r"|recruit\w*|consent|calpendo|case)[ _-]?(?:id|no|number|label|code|name)|surname|forename"
    r"|(?:first|last|family|given|full)[ _-]?name|initials|dob|nhs|mrn|e-?mail|phone\w*",
    re.IGNORECASE,
)
_COLUMN_NAMES = """
participant_id session_id sample_id species age sex gender handedness group site strain
strain_rrid scanner education diagnosis
"""
_USUAL_COLUMNS = frozenset(_COLUMN_NAMES.split())
_GROUPING = frozenset({"age", "sex", "gender", "handedness", "site", "group", "diagnosis"})
_CHANGES_LINE = re.compile(r"^\S+ \d{4}-\d\d-\d\d$", re.MULTILINE)


def read_json(stream: BinaryIO, context: FileContext) -> None:
    """Hold a JSON file against the criteria, nested keys included."""
    context.apply(29, 12)
    data = stream.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        context.doubt(26, "", "a JSON file too large to be read")
        return
    document = json.loads(_decoded(data, context), object_pairs_hook=_Pairs)
    _walk_json(document, "", context)


class _Pairs(list[tuple[str, object]]):
    """The members of an object, repeated keys kept."""


def _walk_json(value: object, at: str, context: FileContext) -> None:
    pending: list[tuple[object, str]] = [(value, at)]
    while pending:
        each, place = pending.pop()
        if isinstance(each, _Pairs):
            for key, inner in each:
                shown = context.mask(key) if re.fullmatch(r"[\w .\-]{1,64}", key) else "(key)"
                below = f"{place}.{shown}" if place else shown
                context.texts.append(TextValue(f"{place} key", key))
                _check_pair(key, inner, below, context)
                pending.append((inner, below))
        elif isinstance(each, list):
            pending += [(inner, f"{place}[{index}]") for index, inner in enumerate(each)]
        elif isinstance(each, str):
            context.texts.append(TextValue(place, each))


def _check_pair(key: str, value: object, at: str, context: FileContext) -> None:
    if value in (None, "", [], "n/a", "N/A"):
        return
    if isinstance(value, _Pairs | list) and not isinstance(value, _Pairs) and not value:
        return
    is_description = isinstance(value, _Pairs)
    if _IDENTIFYING_KEY.fullmatch(key) and not is_description:
        context.fail(29, at, "a key that identifies a person, place, device or day", str(value))
    if _CLOCK_KEY.fullmatch(key) and isinstance(value, str):
        context.apply(11)
        context.fail(11, at, "a clock time", value)
    if _AGE_KEY.fullmatch(key):
        _check_age(str(value), at, context)
    if _PLACE_KEY.fullmatch(key) and not is_description:
        context.apply(32)
        context.fail(32, at, "a place, occupation or ethnicity", str(value))


def _check_age(text: str, at: str, context: FileContext) -> None:
    try:
        age = float(text.rstrip("Yy+"))
    except ValueError:
        return
    context.apply(12, 13)
    if age > _OLDEST_AGE:
        context.fail(12, at, "an age above 89 that is not shown as 90", text)
    if age != int(age):
        context.fail(13, at, "an age that is not in whole years", text)


def read_table(stream: BinaryIO, context: FileContext) -> None:
    """Hold a table against the criteria; all cells are looked at as text."""
    context.apply(4, 10)
    data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        context.doubt(26, "", "a table too large to be read")
        return
    text = _decoded(data, context)
    delimiter = "," if PurePath(context.name).suffix.lower() == ".csv" else "\t"
    lines = text.splitlines()
    header = next(csv.reader(lines[:1], delimiter=delimiter), [])
    _add_pieces(text, "rows", context, is_date=True)
    for found in dates_in(text):
        # BIDS has shifted dates before 1926, which tell nothing.
        year = re.search(r"(?:19|20)\d\d", found.text)
        if year is None or int(year[0]) > _LAST_SHIFTED_YEAR:
            context.fail(
                10, f"character {found.start}", "a text that looks like a date", found.text
            )
    for index, name in enumerate(header):
        at = f"column {index + 1}"
        if _OLD_ID_COLUMN.fullmatch(name.strip()):
            context.fail(4, at, "a column for a person's identifier", name)
        if _PLACE_KEY.fullmatch(name.strip()):
            context.apply(32)
            context.fail(32, at, "a place, occupation or ethnicity", name)
    is_people = PurePath(context.name).name == "participants.tsv" or "phenotype" in context.path
    has_dates = any("acq_time" in each or "date" in each.lower() for each in header)
    if is_people or has_dates or any(_AGE_KEY.fullmatch(each.strip()) for each in header):
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))[1:]
        _check_columns(header, rows, context)
        if is_people:
            _check_groups(header, rows, context)


def _check_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], context: FileContext
) -> None:
    for index, name in enumerate(header):
        cells = [row[index] for row in rows if index < len(row)]
        for number, cell in enumerate(cells, start=2):
            at = f"row {number}, column {index + 1}"
            if _AGE_KEY.fullmatch(name.strip()):
                _check_age(cell, at, context)
            if "acq_time" in name or "date" in name.lower():
                context.apply(30)
                year = re.match(r"(\d{4})-\d\d", cell)
                if cell not in {"n/a", ""} and (year is None or int(year[1]) > _LAST_SHIFTED_YEAR):
                    context.fail(30, at, "a date after 1925", cell)


def _check_groups(
    header: Sequence[str], rows: Sequence[Sequence[str]], context: FileContext
) -> None:
    context.apply(31)
    for index, name in enumerate(header):
        if name.strip().lower() not in _USUAL_COLUMNS:
            context.fail(31, f"column {index + 1}", "a column that is not a usual one", name)
    chosen = [index for index, name in enumerate(header) if name.strip().lower() in _GROUPING]
    groups = Counter(
        tuple(_banded(header[index], row[index]) for index in chosen if index < len(row))
        for row in rows
    )
    rare = sum(1 for count in groups.values() if count < _MIN_GROUP)
    if chosen and rare:
        context.fail(31, "rows", f"{rare} combinations of fewer than {_MIN_GROUP} people")


def _banded(name: str, cell: str) -> str:
    """Return ages in bands of ten years, other cells as they are."""
    if name.strip().lower() != "age":
        return cell
    try:
        return str(int(float(cell)) // 10)
    except ValueError:
        return cell


def read_text(stream: BinaryIO, context: FileContext) -> None:
    """Give a plain text to the search, in pieces."""
    context.apply(10, 36)
    is_changes = PurePath(context.name).stem == "CHANGES"
    data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        context.doubt(26, "", "a text too large to be read")
        return
    text = _decoded(data, context)
    if is_changes:
        # BIDS has the dates of versions in this file, and they say nothing of a person.
        text = _CHANGES_LINE.sub("", text)
    _add_pieces(text, "text", context, is_date=False)


def _add_pieces(text: str, at: str, context: FileContext, *, is_date: bool) -> None:
    for index, piece in enumerate(_pieces(text)):
        context.texts.append(TextValue(f"{at}, part {index + 1}", piece, is_date=is_date))


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[max(0, start - _PIECE_OVERLAP) : start + _PIECE]


def _decoded(data: bytes, context: FileContext) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        context.doubt(26, "", "a text that is not UTF-8")
        return data.decode("latin-1")
