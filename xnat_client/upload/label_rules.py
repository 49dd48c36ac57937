"""Rules that give a unit its subject and session: path pattern, DICOM elements, lookup table.

Not here: whether the labels are acceptable (``plan_checks``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xnat_client.errors import BadInputError, UsageError
from xnat_client.upload.plan_table import read_table
from xnat_client.upload.survey import Unit

_FIELD = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-z_]+")
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_OWN = ("subject", "session", "date")
_LOOKUP_COLUMNS = ("subject", "folder", "date", "session")
_BIDS_PART = re.compile(r"(sub|ses)-([A-Za-z0-9]+)")


class MissingFieldError(Exception):
    """A template needs a field that the unit has not; the text is the field's name."""


@dataclass(frozen=True, slots=True)
class LookupRow:
    """One row of a lookup table; ``folder`` is compared with the ends of folders' paths."""

    number: int
    folder: tuple[str, ...]
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """How labels are made.

    Parameters
    ----------
    subject, session : str
        Templates such as ``{subject}``, ``C{PatientID}``, ``{subject}_{date}``; empty for the
        defaults.
    pattern : str
        Path below the SOURCE, such as ``{subject}/{session}/...``.
    lookup : tuple of LookupRow
        From a table with the columns subject, folder, date (and session).
    """

    subject: str = ""
    session: str = ""
    pattern: str = ""
    lookup: tuple[LookupRow, ...] = ()

    def __post_init__(self) -> None:
        if self.pattern:
            _compiled(self.pattern)
        for template in (self.subject, self.session):
            for name in _FIELD.findall(template):
                if name not in _OWN and not _NAME.fullmatch(name):
                    _keyword(name)

    @property
    def elements(self) -> tuple[str, ...]:
        """Return the keywords of the DICOM elements that the templates name."""
        names = _FIELD.findall(self.subject + self.session)
        known = [_keyword(name) for name in names if not _NAME.fullmatch(name)]
        return tuple(dict.fromkeys(known))

    def labels(self, unit: Unit) -> tuple[str, str, str]:
        """Return subject, session and a problem (empty if there is none) of a unit."""
        try:
            fields = self._fields(unit)
        except BadInputError as error:
            return "", "", str(error)
        if unit.bids_root is not None and not fields.get("subject") and not self.subject:
            return "", "", ""  # a file of the whole dataset
        try:
            subject = _fill(self.subject or "{subject}", fields)
            session = _fill(self.session or _default_session(fields, unit), fields)
        except MissingFieldError as missing:
            return "", "", _no_rule(str(missing))
        return subject, session, ""

    def _fields(self, unit: Unit) -> dict[str, str]:
        fields: dict[str, str] = {}
        if unit.bids_root is not None:
            for part in unit.anchor.relative_to(unit.bids_root).parts[:-1]:
                found = _BIDS_PART.fullmatch(part)
                if found is not None:
                    key = "subject" if found.group(1) == "sub" else "session"
                    fields.setdefault(key, found.group(2))
        if unit.images:
            for name, value in unit.images[0].elements:
                if any(dict(image.elements).get(name) != value for image in unit.images):
                    raise BadInputError(f"its images differ in the element {name}")
                fields[name] = value
        if self.pattern:
            fields |= self._matched(unit)
        if self.lookup:
            fields |= self._looked_up(unit)
        return fields

    def _matched(self, unit: Unit) -> dict[str, str]:
        found = _compiled(self.pattern).match(_relative(unit))
        return {key: value for key, value in found.groupdict().items() if value} if found else {}

    def unused_rows(self, units: Iterable[Unit]) -> list[int]:
        """Return the numbers of the rows of the lookup table into whose folder no unit falls."""
        folders = {_folder_parts(unit) for unit in units}
        return [
            row.number
            for row in self.lookup
            if not any(_contains(parts, row.folder) for parts in folders)
        ]

    def _looked_up(self, unit: Unit) -> dict[str, str]:
        parts = _folder_parts(unit)
        best: list[LookupRow] = []
        for row in self.lookup:
            if _contains(parts, row.folder):
                if not best or len(row.folder) > len(best[0].folder):
                    best = [row]
                elif len(row.folder) == len(best[0].folder):
                    best.append(row)
        if len(best) > 1:
            raise BadInputError(f"rows {best[0].number} and {best[1].number} of the lookup fit it")
        if not best:
            return {}
        [row] = best
        _check_date(unit, row)
        return dict(row.fields)


def _folder_parts(unit: Unit) -> tuple[str, ...]:
    folder = unit.anchor if unit.mark or not unit.files else unit.anchor.parent
    return Path(os.path.normpath(folder.absolute())).parts


def read_lookup(path: Path) -> tuple[LookupRow, ...]:
    """Read a lookup table (CSV or XLSX) with the columns subject, folder, date.

    Raises
    ------
    BadInputError
        A column is missing, a cell is empty, or two rows name the same folder.
    """
    table = read_table(path, "lookup table", known=_LOOKUP_COLUMNS, needed=("subject", "folder"))
    rows: list[LookupRow] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, cells in table:
        if not cells["subject"] or not cells["folder"]:
            raise BadInputError(f"Row {number} of the lookup table lacks its subject or folder.")
        folder = PurePosixPath(cells["folder"].replace("\\", "/"))
        parts = tuple(part for part in folder.parts if part not in ("/", "."))
        if not parts or ".." in parts:
            raise BadInputError(f"Row {number} of the lookup table has no usable folder.")
        if parts in seen:
            raise BadInputError(
                f"Rows {seen[parts]} and {number} of the lookup table name the same folder."
            )
        seen[parts] = number
        fields = {key: cells.get(key, "") for key in ("subject", "session")}
        fields["date"] = _plain_date(cells.get("date", ""), number)
        kept = {key: value for key, value in fields.items() if value}
        rows.append(LookupRow(number, parts, kept))
    return tuple(rows)


def _plain_date(text: str, number: int) -> str:
    if not text:
        return ""
    found = re.fullmatch(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?:[T ]00:00:00)?", text)
    if found is None:
        raise BadInputError(
            f"Row {number} of the lookup table has a date that is not written like 2024-01-31."
        )
    return "".join(found.groups())


def _check_date(unit: Unit, row: LookupRow) -> None:
    wanted = row.fields.get("date", "")
    dates = {image.study_date for image in unit.images if image.study_date}
    if wanted and dates - {wanted}:
        raise BadInputError(
            f"row {row.number} of the lookup has another date than (0008,0020) StudyDate"
        )


def _contains(parts: tuple[str, ...], folder: tuple[str, ...]) -> bool:
    width = len(folder)
    return any(parts[n : n + width] == folder for n in range(len(parts) - width + 1))


def _default_session(fields: Mapping[str, str], unit: Unit) -> str:
    if fields.get("session"):
        return "{subject}_{session}" if unit.bids_root is not None else "{session}"
    if fields.get("date"):
        return "{subject}_{date}"
    return "{subject}_01" if unit.bids_root is not None else "{session}"


def _fill(template: str, fields: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        key = name if name in fields or _NAME.fullmatch(name) else _keyword(name)
        if not fields.get(key):
            raise MissingFieldError(name)
        return fields[key]

    return _FIELD.sub(value, template)


def _no_rule(field: str) -> str:
    if field in ("subject", "session"):
        return f"no rule gives its {field}; use --{field}, --pattern, --lookup or the plan"
    return f"it has no {field}, from which its label is made"


def _relative(unit: Unit) -> str:
    text = unit.anchor.name
    if unit.anchor != unit.root:
        text = unit.anchor.relative_to(unit.root).as_posix()
    return f"{text}/" if unit.mark else text  # a series stands for a folder


def _compiled(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    for piece in re.split(r"(\{[^{}]*\}|\.\.\.|\*\*|\*)", pattern.strip("/")):
        field = _FIELD.fullmatch(piece)
        if field is not None:
            name = field.group(1)
            if name not in _OWN or f"(?P<{name}>" in "".join(parts):
                raise UsageError(
                    "--pattern may hold {subject}, {session} and {date}, each once, * "
                    "for a folder and ... for the rest."
                )
            parts.append(rf"(?P<{name}>[^/]+?)")
        elif piece in ("...", "**"):
            parts.append(".*")
        else:
            parts.append("[^/]*" if piece == "*" else re.escape(piece))
    return re.compile("".join(parts) + r"(?:/.*)?$")


def _keyword(name: str) -> str:
    # pydicom takes longer to import than most uploads of other data take to begin.
    from pydicom.datadict import keyword_for_tag, tag_for_keyword  # noqa: PLC0415  # see above

    found = _TAG.fullmatch(name)
    keyword = keyword_for_tag(int("".join(found.groups()), 16)) if found else name
    if not keyword or tag_for_keyword(keyword) is None:
        raise UsageError(
            "A label template names something that is neither a field (subject, session, date) "
            "nor a DICOM element, such as {AccessionNumber} or {0008,0050}."
        )
    return keyword
