"""Tables that people edit: CSV and XLSX, written so that a spreadsheet runs none of their cells.

A cell that begins like a formula is written as text: in CSV with an apostrophe before it, in XLSX
as a string. Not here: what the columns mean (``plan``, ``label_rules``).

References
----------
OWASP, "CSV Injection": cells that begin with ``= + - @``, a tab or a carriage return.
"""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from xnat_client.errors import BadInputError

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_BROKEN = (KeyError, ValueError, IndexError, TypeError, SyntaxError)
"""What openpyxl raises for files that only look like XLSX; SyntaxError is that of XML."""
_MOST_ROWS = 1_000_000
_ENCODING_SAMPLE = 4096

Table = list[tuple[int, dict[str, str]]]
"""Row numbers as a spreadsheet shows them, with the cells by column."""


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table, readable by its owner only: CSV, or XLSX by the file's ending.

    Raises
    ------
    BadInputError
        The ending is neither, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".xlsx"):
        raise BadInputError("A plan is written as .csv or .xlsx; give the file one of these ends.")
    part_path = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(part_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.close(descriptor)
        if suffix == ".csv":
            _write_csv(part_path, columns, rows)
        else:
            _write_xlsx(part_path, columns, rows)
        part_path.replace(path)
    except OSError as error:
        part_path.unlink(missing_ok=True)
        raise BadInputError(
            f"The plan cannot be written ({error.strerror or type(error).__name__})."
        ) from error


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([guarded(cell) for cell in row] for row in rows)


def guarded(cell: str) -> str:
    """Return a cell for CSV that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith((*_FORMULA_STARTS, "'")) else cell


def _write_xlsx(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from openpyxl import Workbook  # noqa: PLC0415  # takes long to import, and few need it
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415  # see above
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415  # see above

    book = Workbook(write_only=True)
    sheet = book.create_sheet("plan")
    sheet.freeze_panes = "A2"
    for row in [columns, *rows]:
        cells = []
        for text in row:
            if ILLEGAL_CHARACTERS_RE.search(text) or not text.isprintable():
                raise BadInputError(
                    "A file name has characters that a spreadsheet cannot hold. Write the plan as "
                    ".csv, or rename the file."
                )
            cell = WriteOnlyCell(sheet, value=text)
            cell.data_type = "s"  # else "=..." would become a formula
            cell.number_format = "@"  # else the spreadsheet makes 1 of 001 when it is edited
            cells.append(cell)
        sheet.append(cells)
    book.save(path)


def read_table(path: Path, what: str, *, known: Sequence[str], needed: Sequence[str]) -> Table:
    """Read a table whose first row names the columns.

    Parameters
    ----------
    what : str
        The word for messages, such as ``map``.
    known, needed : sequence of str
        Columns that may be there, and those that must be.

    Raises
    ------
    BadInputError
        The file cannot be read as a table, or its columns are others.
    """
    try:
        rows = _read_xlsx(path) if path.suffix.lower() == ".xlsx" else _read_csv(path)
        listed = list(rows)
    except OSError as error:
        raise BadInputError(
            f"The {what} cannot be read ({error.strerror or type(error).__name__})."
        ) from error
    except (UnicodeDecodeError, csv.Error, zipfile.BadZipFile, *_BROKEN) as error:
        raise BadInputError(
            f"The {what} is not a table that can be read ({type(error).__name__}); it must be CSV "
            "in UTF-8, or XLSX."
        ) from error
    if not listed:
        raise BadInputError(f"The {what} is empty.")
    header = [cell.strip().lower() for cell in listed[0]]
    while header and not header[-1]:
        header.pop()
    _check_header(header, what, known, needed)
    table: Table = []
    for number, cells in enumerate(listed[1:], start=2):
        if not any(cells):
            continue
        if any(cells[len(header) :]):
            raise BadInputError(
                f"Row {number} of the {what} has more cells than there are columns."
            )
        padded = [*cells, *[""] * (len(header) - len(cells))]
        table.append((number, dict(zip(header, padded, strict=False))))
    if len(table) > _MOST_ROWS:
        raise BadInputError(f"The {what} has more than {_MOST_ROWS} rows.")
    return table


def _check_header(
    header: Sequence[str], what: str, known: Sequence[str], needed: Sequence[str]
) -> None:
    missing = [name for name in needed if name not in header]
    if missing:
        raise BadInputError(
            f"The {what} lacks the column {missing[0]}. Its first row must name the columns: "
            f"{', '.join(known)}."
        )
    unknown = [n for n, name in enumerate(header, start=1) if name not in known]
    if unknown:
        raise BadInputError(
            f"Column {unknown[0]} of the {what} has a name that is not known. Known are: "
            f"{', '.join(known)}."
        )
    if len(set(header)) != len(header):
        raise BadInputError(f"The {what} names a column twice.")


def _read_csv(path: Path) -> Iterator[list[str]]:
    with path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        head = stream.readline(_ENCODING_SAMPLE)
        # Spreadsheets write a semicolon where the comma is the decimal sign.
        delimiter = max(",;\t", key=head.count)
        stream.seek(0)
        for row in csv.reader(stream, delimiter=delimiter, strict=True):
            yield [_unguarded(cell) for cell in row]


def _unguarded(cell: str) -> str:
    if cell.startswith("'") and cell[1:].startswith((*_FORMULA_STARTS, "'")):
        return cell[1:]
    return cell


def _read_xlsx(path: Path) -> Iterator[list[str]]:
    from openpyxl import load_workbook  # noqa: PLC0415  # takes long to import, and few need it

    book = load_workbook(path, read_only=True, data_only=True)
    try:
        for row in book.worksheets[0].iter_rows(values_only=True):
            yield [_text(cell) for cell in row]
    finally:
        book.close()


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def cells_of(values: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """Return a row's cells in the order of the columns."""
    return [values.get(name, "") for name in columns]
