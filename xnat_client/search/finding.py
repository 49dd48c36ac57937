"""Searching: from what is asked for to the rows that fit.

The server narrows where it can; whether a row fits is decided here, so that the same question has
the same answer on every server. Not here: where rows come from (``sources``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xnat_client.address import check_project_id
from xnat_client.conditions import SIGNS, Condition, split_condition
from xnat_client.errors import UsageError
from xnat_client.projects import require_project
from xnat_client.search.fields import (
    CUSTOM,
    FIELDS,
    IDENTITY,
    VARIABLE,
    Field,
    Level,
    find_field,
    subject_field,
    unknown_field,
    variable_field,
)
from xnat_client.search.sources import (
    Row,
    add_custom_fields,
    listed_rows,
    searched_rows,
    type_cells,
)

if TYPE_CHECKING:
    from xnat_client.transport import Transport

_DISPLAY_FIELD = re.compile(r"[A-Z][A-Z0-9_]{1,63}")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: values as text, in the order of the columns, sorted."""

    level: Level
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_dicts(self) -> list[dict[str, str]]:
        """Return the rows with the names of their columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def read_conditions(level: Level | str, texts: Iterable[str]) -> tuple[Condition, ...]:
    """Read conditions on objects of a level, such as ``date>=2026-01-01``.

    Raises
    ------
    UsageError
        A text is no condition, or there is no such field.

    Examples
    --------
    >>> read_conditions("scans", ["quality != usable"])
    (Condition(column='quality', sign='!=', value='usable'),)
    """
    conditions = []
    for text in texts:
        condition = split_condition(text)
        if condition is None:
            raise UsageError(
                f"A condition must be written FIELD SIGN VALUE, with a sign of {SIGNS}; for "
                "example: date>=2026-01-01"
            )
        field = _field(Level(level), condition.column)
        conditions.append(Condition(field.name, condition.sign, condition.value))
    return tuple(conditions)


def check_columns(
    level: Level | str, columns: Sequence[str], conditions: Sequence[Condition]
) -> None:
    """Raise ``UsageError`` if columns are not fields of a level, or cannot be asked for."""
    _shown(Level(level), columns, conditions)


def search(
    transport: Transport,
    level: Level | str,
    *,
    projects: Sequence[str] = (),
    where: Sequence[Condition | str] = (),
    columns: Sequence[str] = (),
) -> Found:
    """Find projects, subjects, sessions or scans that this account may read.

    Parameters
    ----------
    projects : sequence of str
        Only in these; then shared objects are found too, under the labels that they have there.
    where : sequence of Condition or str
        All of them must hold.
    columns : sequence of str
        Fields to return; empty for the usual ones and those of the conditions.

    Raises
    ------
    UsageError
        A field or condition is not understood.
    NotFoundError
        A project does not exist or is hidden.
    """
    level = Level(level)
    texts = [one for one in where if isinstance(one, str)]
    conditions = [one for one in where if isinstance(one, Condition)]
    conditions += read_conditions(level, texts)
    shown = _shown(level, columns, conditions)
    if level is Level.PROJECTS and projects:
        raise UsageError("Projects are searched on the whole site. Use --where project=ID.")
    for project in projects:
        check_project_id(project)
        require_project(transport, project)
    fields = _needed(level, shown, conditions)
    rows = _rows(transport, level, fields, conditions, projects)
    now = [one for one in conditions if not one.column.startswith(CUSTOM)]
    rows = _fitting(level, rows, now)
    add_custom_fields(transport, level, rows, fields)
    later = [one for one in conditions if one.column.startswith(CUSTOM)]
    rows = [row for row in rows if all(one.holds([row[one.column]]) for one in later)]
    # By project, subject, session, scan; the accession number says nothing to people.
    order = [field.name for field in FIELDS[level] if field.name != "id"]
    rows.sort(key=lambda row: [_natural(row.get(name, "")) for name in order])
    names = tuple(field.name for field in shown)
    return Found(level, names, tuple(tuple(row[name] for name in names) for row in rows))


def _field(level: Level, name: str) -> Field:
    """Return a field by what people call it, or raise the error that says what there is."""
    known = find_field(level, name)
    if known is not None:
        return known
    of_subject = subject_field(level, name.casefold())
    if of_subject is not None:
        return of_subject
    if name.casefold().startswith(VARIABLE):
        return variable_field(level, name.casefold())
    if name.casefold().startswith(CUSTOM) and len(name) > len(CUSTOM):
        return Field(CUSTOM + name[len(CUSTOM) :], "", about="custom field")
    if level is not Level.SCANS and _DISPLAY_FIELD.fullmatch(name):
        return Field(name, "", name, "display field of the server")
    raise unknown_field(level, name)


def _shown(level: Level, columns: Sequence[str], conditions: Sequence[Condition]) -> list[Field]:
    if columns:
        chosen = [_field(level, name) for name in columns]
    else:
        asked = [_field(level, one.column) for one in conditions]
        usual = [field for field in FIELDS[level] if field.is_shown]
        # A session has many scans: which of them fitted is a question about scans.
        chosen = [*usual, *(one for one in asked if not (level is Level.SESSIONS and one.of_scans))]
    if level is Level.SESSIONS and any(field.of_scans for field in chosen):
        raise UsageError("A session has many scans. To see their fields, search scans.")
    return list({field.name: field for field in chosen}.values())


def _needed(level: Level, shown: Sequence[Field], conditions: Sequence[Condition]) -> list[Field]:
    fields = [
        *(field for name in IDENTITY[level] if (field := find_field(level, name)) is not None),
        *shown,
        *(_field(level, one.column) for one in conditions),
    ]
    return list({field.name: field for field in fields}.values())


def _rows(
    transport: Transport,
    level: Level,
    fields: Sequence[Field],
    conditions: Sequence[Condition],
    projects: Sequence[str],
) -> list[Row]:
    own = [field for field in fields if field.search and not field.listing]
    listed = [
        field for field in fields if field.listing and not field.search and field.name != "type"
    ]
    if own and listed:
        raise UsageError(
            f"The server cannot show {own[0].name} and {listed[0].name} together. Ask for one of "
            "them at a time."
        )
    by_listing = listed or projects or level in (Level.PROJECTS, Level.SCANS)
    found: list[Row] = []
    for project in projects or ("",):
        if own or not by_listing:
            found += searched_rows(transport, level, fields, _asked(conditions), project)
        else:
            found += listed_rows(transport, level, fields, project)
    return found


def _asked(conditions: Sequence[Condition]) -> list[Condition]:
    return [one for one in conditions if not one.column.startswith(CUSTOM)]


def _fitting(level: Level, rows: Iterable[Row], conditions: Sequence[Condition]) -> list[Row]:
    """Return the rows that fit, each object once.

    Of a session with conditions on its scans there is one row for each scan: one scan must fulfil
    all of them that say what is so; those that say what is not must hold for every scan.
    """
    grouped: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if level is not Level.SCANS or row["scan"]:  # sessions without scans are listed too
            grouped[tuple(row[name] for name in IDENTITY[level])].append(row)
    of_scans = {field.name for field in FIELDS[level] if field.of_scans}
    every = [c for c in conditions if c.is_negative and c.column in of_scans]
    some = [c for c in conditions if c not in every]
    return [
        members[0]
        for members in grouped.values()
        if any(all(one.holds(_cells(row, one.column)) for one in some) for row in members)
        and all(one.holds(_cells(row, one.column)) for one in every for row in members)
    ]


def _cells(row: Row, column: str) -> list[str]:
    return list(type_cells(row[column])) if column == "type" else [row[column]]


def _natural(text: str) -> list[Any]:
    """Return a key by which 2 comes before 10."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())
        for part in re.split(r"([0-9]+)", text)
        if part
    ]
