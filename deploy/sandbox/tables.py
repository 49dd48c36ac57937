"""The one writer of XNAT's tables: JSON ResultSet, CSV, XML. Not here: where rows come from."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from xml.sax.saxutils import escape

from starlette.responses import JSONResponse, Response

from deploy.sandbox.call import Call
from deploy.sandbox.errors import HttpError, bad_request, not_implemented

Row = Sequence[Any]
_CSV_TYPE = "text/csv; charset=utf-8"
_CELL_END, _COMMA = "\x1f", "\x1e"
_XNAT_FORMATS = frozenset({"html", "txt", "xar", "xcat", "xlist"})
_MAX_JOINED = 100
_MAX_QUOTED = 32
_PORTION = 2_000
_QUOTED_CELL = re.compile(r'"(?:[^"]|"")*+"')


def cell_text(value: Any) -> str:
    """Return a cell as XNAT prints it: always text, empty for null, booleans as words."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def answer_table(  # noqa: PLR0913 - a table has these facets, all by name
    call: Call,
    columns: Sequence[str],
    rows: Iterable[Row],
    *,
    title: str | None = None,
    xsi_type: str | None = None,
    count: bool = True,
    extra: dict[str, Any] | None = None,
) -> Response:
    """Answer a table in the format the request names (default JSON).

    Parameters
    ----------
    columns : sequence of str
        Headers as clients see them.
    rows : iterable of sequences
        Cells in the order of the columns; converted to text here.
    count : bool
        Whether JSON holds ``totalRecords`` (the files table of XNAT has none).
    extra : dict, optional
        Further members of the ResultSet.

    Raises
    ------
    HttpError
        400 for a format that tables do not have.
    """
    text_rows = ([cell_text(value) for value in row] for row in rows)
    facets = _Facets(title, xsi_type, count=count, extra=extra)
    return _answer(call, columns, text_rows, facets)


def answer_query(  # noqa: PLR0913 - as above
    call: Call,
    columns: Sequence[str],
    statement: str,
    parameters: Sequence[Any],
    *,
    title: str | None = None,
    xsi_type: str | None = None,
    count: bool = True,
    extra: dict[str, Any] | None = None,
    joined: str | None = None,
) -> Response:
    """Answer the rows of an SQL statement as a table; see ``answer_table``.

    Parameters
    ----------
    joined : str, optional
        A statement with the same parameters and rows, the cells of each as ``joined_cells``.

    Notes
    -----
    For lists of 100,000 rows and more: as CSV the rows go from SQLite to the text without a step
    of Python for each cell. Values of SQLite are text, numbers or null.
    """
    cursor = call.site.store.connection.cursor()
    cursor.row_factory = None
    is_csv = call.query.get("format", "json").lower() == "csv"
    if is_csv and joined is not None:
        rows_text = (row for (row,) in cursor.execute(joined, parameters))
        portions = [portion.encode() for portion in csv_of_joined(columns, rows_text)]
        return Response(b"".join(portions), media_type=_CSV_TYPE)
    rows: Iterable[Row] = cursor.execute(statement, parameters)
    if not is_csv:
        rows = (
            ["" if cell is None else cell if cell.__class__ is str else str(cell) for cell in row]
            for row in rows
        )
    return _answer(call, columns, rows, _Facets(title, xsi_type, count=count, extra=extra))


@dataclass(frozen=True, slots=True)
class _Facets:
    title: str | None
    xsi_type: str | None
    count: bool
    extra: dict[str, Any] | None


def _answer(call: Call, columns: Sequence[str], rows: Iterable[Row], facets: _Facets) -> Response:
    """Answer rows of text; of whatever ``csv`` prints as text too when CSV is asked for."""
    kind = call.query.get("format", "json").lower()
    if kind == "json":
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        result: dict[str, Any] = {"Result": found}
        if facets.title is not None:
            result["title"] = facets.title
        if facets.count:
            result["totalRecords"] = str(len(found))
        if facets.xsi_type is not None:
            result["xsiType"] = facets.xsi_type
        return JSONResponse({"ResultSet": {**result, **(facets.extra or {})}})
    if kind == "csv":
        return Response(_csv(columns, rows), media_type=_CSV_TYPE)
    if kind == "xml":
        return Response(
            _xml(columns, list(rows), facets.title), media_type="text/xml; charset=utf-8"
        )
    raise other_format("This table is available as json, csv or xml.", kind)


def other_format(available: str, kind: str) -> HttpError:
    """Return the refusal of a format: 501 when a full XNAT has it, else 400."""
    if kind in _XNAT_FORMATS:
        return not_implemented(f"the format {kind}. {available.removesuffix('.')}")
    return bad_request(available)


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Return a table as CSV, of no columns its rows alone."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    counter = itertools.count(1 if columns else 0)
    writer.writerows(map(itemgetter(0), zip(rows, counter, strict=False)))
    text = buffer.getvalue()
    if text.count("\n") == next(counter) and "\r" not in text:
        return text
    # Rare: a cell holds line breaks, which XNAT replaces by blanks.
    return _QUOTED_CELL.sub(_on_one_line, text).replace("\r", " ")


def joined_cells(cells: Sequence[str]) -> str | None:
    """Return the SQL of one text for all cells of a row, or None when they are too many for it.

    SQLite hands over one text much faster than many; U+001F is between them.
    """
    if len(cells) > _MAX_JOINED:  # SQLite's limit for the arguments of a function is 127
        return None
    return f"printf('{_CELL_END.join(['%s'] * len(cells))}', {', '.join(cells)})"


def csv_of_joined(
    columns: Sequence[str], rows: Iterable[str], portion: int = _PORTION
) -> Iterator[str]:
    """Yield rows of joined cells as CSV, so many at a time, headers first.

    A portion is small enough for the processor's cache, where several steps over its text cost
    less than one over a text of many megabytes.
    """
    yield _csv(columns, ())
    remaining = iter(rows)
    while taken := list(itertools.islice(remaining, portion)):
        yield _rows_of_joined(columns, taken)


def _rows_of_joined(columns: Sequence[str], rows: Sequence[str]) -> str:
    """Return rows of joined cells as CSV, in a few steps over the whole text if that can be."""
    text = "\n".join(("", *rows, ""))
    is_regular = (
        text.count("\n") == len(rows) + 1
        and text.count(_CELL_END) == len(rows) * (len(columns) - 1)
        and not any(mark in text for mark in ('"', "\r", _COMMA))
        and len(columns) > 1
    )
    quoted = _with_commas_quoted(text) if is_regular else None
    if quoted is None:
        return _csv((), (row.split(_CELL_END) for row in rows))
    return quoted.replace(_CELL_END, ",").replace(_COMMA, ",")[1:]


def _with_commas_quoted(text: str) -> str | None:
    """Return the text with the cells that hold a comma quoted; None when they are too various.

    Cells like a series' description are the same in thousands of rows. Between two cells is the
    mark, before and after a row a line break.
    """
    for _ in range(_MAX_QUOTED):
        found = text.find(",")
        if found < 0:
            return text
        start = max(text.rfind(_CELL_END, 0, found), text.rfind("\n", 0, found))
        line_end = text.index("\n", found)
        end = text.find(_CELL_END, found, line_end)
        end = line_end if end < 0 else end
        quoted = '"' + text[start + 1 : end].replace(",", _COMMA) + '"'
        text = text.replace(text[start : end + 1], f"{text[start]}{quoted}{text[end]}")
    return None


def _on_one_line(cell: re.Match[str]) -> str:
    return " ".join(cell[0].splitlines())


def _xml(columns: Sequence[str], rows: Sequence[Row], title: str | None) -> str:
    head = "".join(f"<column>{escape(column)}</column>" for column in columns)
    body = "".join(
        "<row>" + "".join(f"<cell>{escape(cell)}</cell>" for cell in row) + "</row>" for row in rows
    )
    name = escape(title or "", {'"': "&quot;"})
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<ResultSet title="{name}" totalRecords="{len(rows)}"><results>'
        f"<columns>{head}</columns><rows>{body}</rows></results></ResultSet>"
    )
