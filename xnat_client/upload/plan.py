"""The plan of an upload: one row for each unit, with where it goes and what is wrong with it.

Made from a survey by rules, changed by a map that a person edited. Nothing is contacted. Not here:
tables as files (``plan_table``), the checks (``plan_checks``), sending (``bulk``).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from xnat_client.errors import BadInputError
from xnat_client.upload.label_rules import Rules
from xnat_client.upload.plan_table import read_table, write_table
from xnat_client.upload.survey import Kind, Rejected, Survey, Unit

COLUMNS = (
    "source", "project", "subject", "session", "scan", "resource", "size", "action", "remark",
)  # fmt: skip
_EDITABLE = ("project", "subject", "session", "scan", "resource", "action")
_TOPICS = (
    ("STIMULI", ("stim",)),
    ("QUESTIONNAIRES", ("quest", "survey", "redcap")),
    ("PHYSIO", ("physio", "pulse", "resp", "ecg", "biopac", "eyelink", "eyetrack", "gaze")),
    ("BEHAVIOUR", ("beh", "psychopy", "presentation", "eprime", "logfile")),
)
"""Resource labels for data of other kinds, by words in their paths below the SOURCE."""
_PHYSIO_ENDS = (".puls", ".resp", ".ext", ".ecg", ".acq", ".smr", ".smrx", ".asc", ".edf")


class Action(StrEnum):
    """What becomes of a row."""

    SEND = "send"
    SKIP = "skip"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the plan.

    Empty labels mean the level above: without a session it is a resource of the subject, without
    a subject one of the project. ``scan`` is information for DICOM, where the server decides.

    Parameters
    ----------
    number : int
        As a spreadsheet counts: the first row below the header is 2.
    unit : Unit or None
        None for a rejected file.
    problems : tuple of str
        Why nothing can be sent; empty for a good row.
    notes : tuple of str
        What to know; forbids nothing.
    """

    number: int
    source: str
    unit: Unit | None
    project: str = ""
    subject: str = ""
    session: str = ""
    scan: str = ""
    resource: str = ""
    action: Action = Action.SEND
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Return the bytes of the row's files."""
        return self.unit.size_bytes if self.unit else 0

    @property
    def is_sent(self) -> bool:
        """Return whether the row's files are to be sent."""
        return self.action is Action.SEND and self.unit is not None

    @property
    def is_dicom(self) -> bool:
        """Return whether the server decides on scan and resource."""
        return self.unit is not None and self.unit.kind is Kind.DICOM

    @property
    def remark(self) -> str:
        """Return the text for the last column."""
        problems = self.problems if self.is_sent else ()
        return "; ".join([*(f"PROBLEM: {text}" for text in problems), *self.notes])

    def cells(self) -> list[str]:
        """Return the row for a table."""
        return [
            self.source, self.project, self.subject, self.session, self.scan, self.resource,
            str(self.size_bytes), str(self.action), self.remark,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upload would do."""

    rows: tuple[Row, ...]
    file_count: int

    @property
    def sent_rows(self) -> tuple[Row, ...]:
        """Return the rows to send."""
        return tuple(row for row in self.rows if row.is_sent)

    @property
    def problem_rows(self) -> tuple[Row, ...]:
        """Return the rows that forbid the upload."""
        return tuple(row for row in self.rows if row.problems and row.is_sent)

    def with_rows(self, rows: Iterable[Row]) -> Plan:
        """Return the plan with other rows."""
        return replace(self, rows=tuple(rows))


@dataclass(frozen=True, slots=True)
class MapRow:
    """A row of a map: a source, and the cells of the columns that the map has."""

    number: int
    source: str
    cells: Mapping[str, str]


def make_plan(
    found: Survey,
    project_id: str,
    rules: Rules,
    *,
    map_rows: Sequence[MapRow] | None = None,
    map_folder: Path | None = None,
) -> Plan:
    """Decide where every unit of a survey goes.

    Parameters
    ----------
    map_rows : sequence of MapRow or None
        What a person says (``read_map``); then units that no row names are skipped.
    map_folder : Path or None
        The map's folder, in which relative sources are looked for too.

    Raises
    ------
    BadInputError
        A row of the map names a source that was not found, or an unknown action.
    """
    rows = [_ruled(unit, project_id, rules) for unit in found.units]
    if map_rows is not None:
        rows = _mapped(rows, map_rows, found.roots, map_folder)
    rows = _number_scans(rows)
    rows += [_rejected(one, project_id) for one in found.rejected]
    numbered = (replace(row, number=number) for number, row in enumerate(rows, start=2))
    return Plan(tuple(numbered), found.file_count)


def read_map(path: Path) -> tuple[MapRow, ...]:
    """Read a map: a plan that was edited, or a table of one's own with the same columns.

    Raises
    ------
    BadInputError
        It cannot be read, lacks the column source, or names a source twice.
    """
    table = read_table(path, "map", known=COLUMNS, needed=("source",))
    rows: list[MapRow] = []
    seen: dict[str, int] = {}
    for number, cells in table:
        source = cells["source"]
        if not source:
            raise BadInputError(f"Row {number} of the map has no source.")
        if source in seen:
            raise BadInputError(f"Rows {seen[source]} and {number} of the map have one source.")
        seen[source] = number
        kept = {name: text.strip() for name, text in cells.items() if name in _EDITABLE}
        rows.append(MapRow(number, source, kept))
    return tuple(rows)


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as CSV or XLSX, readable by its owner only: paths may hold names."""
    write_table(path, COLUMNS, (row.cells() for row in plan.rows))


def _ruled(unit: Unit, project_id: str, rules: Rules) -> Row:
    subject, session, problem = rules.labels(unit)
    problems = tuple(text for text in (unit.problem, problem) if text)
    notes = tuple(text for text in (unit.note, unit.doubt) if text)
    number = unit.images[0].series_number if unit.images else None
    return Row(
        number=0,
        source=unit.source,
        unit=unit,
        project=project_id,
        subject=subject,
        session=session,
        scan="" if number is None else str(number),
        resource=_resource(unit),
        action=Action.SKIP if unit.doubt else Action.SEND,
        problems=problems,
        notes=notes,
    )


def _resource(unit: Unit) -> str:
    if unit.kind is Kind.DICOM:
        return "DICOM"
    if unit.bids_root is not None:
        return "BIDS"
    if unit.kind is Kind.IMAGE:
        return "NIFTI"
    if unit.kind is not Kind.OTHER:
        return str(unit.kind)
    below = os.fspath(unit.anchor).removeprefix(os.fspath(unit.root)).lower()
    for label, words in _TOPICS:
        if any(word in below for word in words):
            return label
    return "PHYSIO" if below.endswith(_PHYSIO_ENDS) else "OTHER"


def _rejected(one: Rejected, project_id: str) -> Row:
    return Row(
        number=0, source=os.fspath(one.path), unit=None, project=project_id,
        action=Action.REJECT, notes=(one.reason,),
    )  # fmt: skip


def _mapped(
    rows: list[Row],
    map_rows: Sequence[MapRow],
    roots: Sequence[Path],
    map_folder: Path | None,
) -> list[Row]:
    exact: dict[str, MapRow] = {}
    folders: dict[str, MapRow] = {}
    known = {_absolute(row.source) for row in rows}
    above = {_absolute(parent) for row in rows if row.unit for parent in row.unit.anchor.parents}
    above |= {_absolute(row.unit.anchor) for row in rows if row.unit}
    for one in map_rows:
        if one.cells.get("action", "").lower() == Action.REJECT:
            continue
        bases = [Path(), *roots, *([map_folder] if map_folder else [])]
        places = [_absolute(base / one.source) for base in bases]
        place = next((p for p in places if p in known), None)
        if place is not None:
            _claim(exact, place, one)
        place = place or next((p for p in places if p in above), None)
        if place is None:
            raise BadInputError(
                f"Row {one.number} of the map: nothing to upload was found at its source. Correct "
                "the source, or remove the row."
            )
        if place not in exact or place in above:
            _claim(folders, place, one)
    return [_apply(row, _row_for(row, exact, folders)) for row in rows]


def _claim(places: dict[str, MapRow], place: str, one: MapRow) -> None:
    other = places.setdefault(place, one)
    if other is not one:
        raise BadInputError(f"Rows {other.number} and {one.number} of the map have one source.")


def _absolute(path: Path | str) -> str:
    # Without resolving links: what stands in the plan is the path as it was walked.
    return os.path.normpath(Path(path).absolute())


def _row_for(row: Row, exact: Mapping[str, MapRow], folders: Mapping[str, MapRow]) -> MapRow | None:
    found = exact.get(_absolute(row.source))
    if found is not None or row.unit is None:
        return found
    anchor = Path(_absolute(row.unit.anchor))
    places = (os.fspath(place) for place in (anchor, *anchor.parents))
    return next((folders[place] for place in places if place in folders), None)


def _apply(row: Row, said: MapRow | None) -> Row:
    if said is None:
        return replace(row, action=Action.SKIP, problems=(), notes=(*row.notes, "not in the map"))
    word = said.cells.get("action", "").lower() or Action.SEND
    if word not in (Action.SEND, Action.SKIP):
        raise BadInputError(f"Row {said.number} of the map: the action must be send or skip.")
    problems = row.unit.problem if row.unit else ""
    labels = {name: said.cells.get(name, getattr(row, name)) for name in ("subject", "session")}
    given = "subject" in said.cells or "session" in said.cells
    kept = () if given else tuple(text for text in row.problems if text != problems)
    scan, resource = said.cells.get("scan", row.scan), said.cells.get("resource") or row.resource
    changed: tuple[str, ...] = ()
    if row.is_dicom:
        same = scan in ("", row.scan) and resource == row.resource
        changed = () if same else ("the server decides on scan and resource of DICOM",)
        scan = row.scan
    return replace(
        row,
        project=said.cells.get("project") or row.project,
        subject=labels["subject"],
        session=labels["session"],
        scan=scan,
        resource=resource,
        action=Action(word),
        problems=(*filter(None, [problems]), *kept, *changed) if word == Action.SEND else (),
    )


def _number_scans(rows: list[Row]) -> list[Row]:
    """Give recordings without a scan number the next free ones of their session."""
    taken: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.is_sent and row.scan:
            taken[row.project, row.session].add(row.scan)
    numbered = []
    for row in rows:
        wants = (
            row.is_sent
            and not row.scan
            and row.session
            and row.unit is not None
            and row.unit.kind in (Kind.EEG, Kind.MEG)
            and row.unit.bids_root is None
        )
        if wants:
            used = taken[row.project, row.session]
            scan = next(str(n) for n in range(1, len(used) + 2) if str(n) not in used)
            used.add(scan)
            numbered.append(replace(row, scan=scan))
        else:
            numbered.append(row)
    return numbered
