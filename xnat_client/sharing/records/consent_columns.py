"""Which column of an export means what: a mapping file, and reading one row by it.

Whatever a cell says that the mapping does not name refuses the row; nothing is guessed. Texts name
columns, never what stands in them. Not here: files and histories (``consent_import``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from xnat_client.errors import BadInputError
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.records.mappings import fields_of, read_yaml
from xnat_client.sharing.vocabulary import ConsentEvent, DataType, Level

_TICKED = frozenset({"1", "checked", "yes", "true"})
_UNTICKED = frozenset({"0", "unchecked", "no", "false", ""})
_DATE_PARTS = re.compile(r"%(.)")
_SAFE_DATE_PARTS = frozenset("YmdHMSbB%")
T = TypeVar("T")


class RowRefusedError(Exception):
    """A row that cannot be taken over; the text says why without what it holds."""


@dataclass(frozen=True)
class Coded(Generic[T]):
    """A value for each code of a column, or one value for all rows (``column`` empty)."""

    column: str
    values: Mapping[str, T]
    fixed: T | None = None

    def read(self, row: Mapping[str, str]) -> T:
        """Return what a row means.

        Raises
        ------
        RowRefusedError
            The cell is empty or holds a code that the mapping does not name.
        """
        if self.fixed is not None:
            return self.fixed
        code = row[self.column].strip()
        if not code:
            raise RowRefusedError(f"column '{self.column}' is empty")
        if code not in self.values:
            raise RowRefusedError(f"column '{self.column}' holds a code that the mapping lacks")
        return self.values[code]


@dataclass(frozen=True)
class Ticks(Generic[T]):
    """Checkbox columns (REDCap: ``field___code``), each with what its tick means."""

    columns: Mapping[str, T]

    def read(self, row: Mapping[str, str]) -> list[T]:
        """Return what is ticked.

        Raises
        ------
        RowRefusedError
            A cell is neither a tick nor none, or no cell says anything.
        """
        cells = {column: row[column].strip().casefold() for column in self.columns}
        odd = sorted(name for name, cell in cells.items() if cell not in _TICKED | _UNTICKED)
        if odd:
            raise RowRefusedError(f"checkbox column '{odd[0]}' holds neither 0 nor 1")
        if not any(cells.values()):
            raise RowRefusedError(f"the checkbox columns of '{next(iter(cells))}' are all empty")
        return [self.columns[name] for name, cell in cells.items() if cell in _TICKED]


@dataclass(frozen=True)
class TypeList:
    """A column that lists kinds of data, separated by a sign, each by a code."""

    column: str
    separator: str
    values: Mapping[str, DataType]

    def read(self, row: Mapping[str, str]) -> list[DataType]:
        """Return the kinds that a cell lists; an empty cell lists none.

        Raises
        ------
        RowRefusedError
            A code is not in the mapping.
        """
        codes = [code.strip() for code in row[self.column].split(self.separator)]
        if any(code and code not in self.values for code in codes):
            raise RowRefusedError(f"column '{self.column}' holds a code that the mapping lacks")
        return [self.values[code] for code in codes if code]


@dataclass(frozen=True)
class ConsentColumns:
    """What the columns of an export mean.

    Attributes
    ----------
    participant, given_on : str
        Columns of the participant's source label and of the date of consent.
    date_format : str
        As ``strptime`` has it; years are written with four digits.
    form_id, version : Coded of str
        The form that was signed, and its version.
    event : Coded of ConsentEvent
        What was said; ``given`` for all rows unless the mapping says otherwise.
    level : Coded of Level, or Ticks of Level
        The highest level said yes to.
    higher_includes_lower : bool
        Whether a tick at a level means the lower ones too; else such a row is a contradiction.
    data_types : Coded, Ticks or TypeList
        The kinds of data said yes to.
    only_rows : mapping of str to frozenset of str
        Columns and the values that a row must have there to be a consent at all.
    """

    participant: str
    given_on: str
    date_format: str
    form_id: Coded[str]
    version: Coded[str]
    event: Coded[ConsentEvent]
    level: Coded[Level] | Ticks[Level]
    higher_includes_lower: bool
    data_types: Coded[tuple[DataType, ...]] | Ticks[DataType] | TypeList
    only_rows: Mapping[str, frozenset[str]]

    def needed(self) -> set[str]:
        """Return the columns that an export must have."""
        named = {self.participant, self.given_on, *self.only_rows}
        for one in (self.form_id, self.version, self.event, self.level, self.data_types):
            named |= set(one.columns) if isinstance(one, Ticks) else {one.column}
        return named - {""}

    def is_consent(self, row: Mapping[str, str]) -> bool:
        """Tell whether a row is one of those that the mapping speaks of."""
        return all(row[name].strip() in values for name, values in self.only_rows.items())

    def label(self, row: Mapping[str, str]) -> str:
        """Return the participant's source label.

        Raises
        ------
        RowRefusedError
            The cell is empty or no label.
        """
        label = row[self.participant].strip()
        if not label or not label.isprintable() or len(label) > 120:  # noqa: PLR2004  # as the table
            raise RowRefusedError(f"column '{self.participant}' holds no label of a participant")
        return label

    def line(self, row: Mapping[str, str], origin: str) -> ConsentLine:
        """Return what a row says.

        Raises
        ------
        RowRefusedError
            A cell is empty, of another form, or says what the mapping does not know.
        """
        event, given_on = self.event.read(row), self._date(row)
        if event is not ConsentEvent.GIVEN:
            return ConsentLine(event, given_on, origin=origin)
        level = self._level(row)
        kinds = self.data_types.read(row)
        if level > Level.PRIVATE and not kinds:
            raise RowRefusedError("it says yes to sharing but to no kind of data")
        return ConsentLine(
            event,
            given_on,
            self.form_id.read(row),
            self.version.read(row),
            level,
            tuple(sorted(set(kinds))),
            origin,
        )

    def _date(self, row: Mapping[str, str]) -> Any:
        text = row[self.given_on].strip()
        if not text:
            raise RowRefusedError(f"column '{self.given_on}' is empty")
        try:
            return datetime.strptime(text, self.date_format).replace(tzinfo=UTC).date()
        except ValueError as error:
            raise RowRefusedError(f"column '{self.given_on}' holds no date of its form") from error

    def _level(self, row: Mapping[str, str]) -> Level:
        if isinstance(self.level, Coded):
            return self.level.read(row)
        ticked = set(self.level.read(row))
        if not ticked:
            return Level.PRIVATE
        highest = max(ticked)
        asked = {level for level in self.level.columns.values() if level <= highest}
        if asked - ticked and not self.higher_includes_lower:
            raise RowRefusedError(
                f"it says yes to '{highest.word}' but not to a lower level, a contradiction "
                "unless the mapping says higher_includes_lower: true"
            )
        return highest


_LEVELS: Mapping[str, Level] = MappingProxyType({level.word: level for level in Level})
_KINDS: Mapping[str, DataType] = MappingProxyType({kind.value: kind for kind in DataType})
_EVENTS: Mapping[str, ConsentEvent] = MappingProxyType({e.value: e for e in ConsentEvent})


def read_columns(path: Path) -> ConsentColumns:
    """Read a mapping file (see ``winxnat share template consent-columns``).

    Raises
    ------
    BadInputError
        A field is missing, unknown, or has no value of its form.
    """
    required = {"participant", "date", "form", "version", "level", "data_types"}
    optional = {"date_format", "event", "only_rows", "higher_includes_lower"}
    fields = fields_of(read_yaml(path), "the mapping", required, optional)
    includes = fields.get("higher_includes_lower", False)
    if not isinstance(includes, bool):
        raise BadInputError("In the mapping, 'higher_includes_lower' must be true or false.")
    event = fields.get("event", {"value": ConsentEvent.GIVEN.value})
    return ConsentColumns(
        participant=_name(fields["participant"], "participant"),
        given_on=_name(fields["date"], "date"),
        date_format=_date_format(fields.get("date_format", "%Y-%m-%d")),
        form_id=_coded_text(fields["form"], "form"),
        version=_coded_text(fields["version"], "version"),
        event=_coded(event, "event", _EVENTS),
        level=_level_columns(fields["level"]),
        higher_includes_lower=includes,
        data_types=_type_columns(fields["data_types"]),
        only_rows=_only_rows(fields.get("only_rows") or {}),
    )


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadInputError(f"In the mapping, '{where}' must be the name of a column, as a text.")
    return value.strip()


def _date_format(value: Any) -> str:
    parts = _DATE_PARTS.findall(value) if isinstance(value, str) else []
    if not {"Y", "d"} <= {*parts} <= _SAFE_DATE_PARTS or not {"m", "b", "B"} & {*parts}:
        raise BadInputError(
            "In the mapping, 'date_format' must name year (%Y, four digits), month (%m) and "
            "day (%d), such as '%d/%m/%Y'."
        )
    return str(value)


def _code(value: Any, where: str) -> str:
    # Without quotes YAML turns 01 into 1 and yes into true.
    if not isinstance(value, str):
        raise BadInputError(f"In the mapping, the codes of '{where}' must be between quotes.")
    return value.strip()


def _word(value: Any, known: Mapping[str, T], where: str) -> T:
    if not isinstance(value, str) or value not in known:
        raise BadInputError(
            f"In the mapping, '{where}' names something else than {', '.join(known)}."
        )
    return known[value]


def _coded(value: Any, where: str, known: Mapping[str, T]) -> Coded[T]:
    fields = fields_of(value, f"the mapping, '{where}'", set(), {"column", "values", "value"})
    if set(fields) == {"value"}:
        return Coded("", {}, _word(fields["value"], known, where))
    if set(fields) != {"column", "values"} or not isinstance(fields["values"], dict):
        raise BadInputError(
            f"In the mapping, '{where}' needs 'column' and 'values' (code: word), or 'value'."
        )
    values = {
        _code(code, where): _word(word, known, where) for code, word in fields["values"].items()
    }
    return Coded(_name(fields["column"], where), values)


class _AnyText(dict[str, str]):
    """Codes that stand for themselves."""

    def __missing__(self, key: str) -> str:
        return key

    def __contains__(self, key: object) -> bool:
        return True


def _coded_text(value: Any, where: str) -> Coded[str]:
    fields = fields_of(value, f"the mapping, '{where}'", set(), {"column", "values", "value"})
    if set(fields) == {"value"}:
        return Coded("", {}, _code(fields["value"], where))
    if set(fields) == {"column"}:
        return Coded(_name(fields["column"], where), _AnyText())
    if set(fields) != {"column", "values"} or not isinstance(fields["values"], dict):
        raise BadInputError(
            f"In the mapping, '{where}' needs 'column', with or without 'values', or 'value'."
        )
    values = {_code(code, where): _code(text, where) for code, text in fields["values"].items()}
    return Coded(_name(fields["column"], where), values)


def _ticks(value: Any, where: str, known: Mapping[str, T]) -> Ticks[T]:
    if not isinstance(value, dict) or not value:
        raise BadInputError(f"In the mapping, the checkboxes of '{where}' are 'column: word'.")
    return Ticks(
        {_name(column, where): _word(word, known, where) for column, word in value.items()}
    )


def _level_columns(value: Any) -> Coded[Level] | Ticks[Level]:
    if isinstance(value, dict) and "checkboxes" in value:
        fields = fields_of(value, "the mapping, 'level'", {"checkboxes"})
        return _ticks(fields["checkboxes"], "level", _LEVELS)
    return _coded(value, "level", _LEVELS)


def _type_columns(value: Any) -> Coded[tuple[DataType, ...]] | Ticks[DataType] | TypeList:
    where = "data_types"
    optional = {"checkboxes", "value", "column", "separator", "values"}
    fields = fields_of(value, f"the mapping, '{where}'", set(), optional)
    if set(fields) == {"checkboxes"}:
        return _ticks(fields["checkboxes"], where, _KINDS)
    if set(fields) == {"value"} and isinstance(fields["value"], list) and fields["value"]:
        return Coded("", {}, tuple(_word(word, _KINDS, where) for word in fields["value"]))
    if set(fields) >= {"column", "values"} and isinstance(fields["values"], dict):
        values = {
            _code(code, where): _word(word, _KINDS, where)
            for code, word in fields["values"].items()
        }
        separator = _code(fields.get("separator", ";"), where) or " "
        return TypeList(_name(fields["column"], where), separator, values)
    raise BadInputError(
        "In the mapping, 'data_types' needs 'checkboxes', or 'column' and 'values', or a list "
        "as 'value'."
    )


def _only_rows(value: Any) -> dict[str, frozenset[str]]:
    if not isinstance(value, dict):
        raise BadInputError("In the mapping, 'only_rows' is 'column: value' or a list of values.")
    found: dict[str, frozenset[str]] = {}
    for column, wanted in value.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        found[_name(column, "only_rows")] = frozenset(_code(one, "only_rows") for one in values)
    return found
