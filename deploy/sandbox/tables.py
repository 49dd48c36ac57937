"""The one writer of XNAT's tables: JSON ResultSet, CSV, XML. Not here: where rows come from."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from xml.sax.saxutils import escape

from starlette.responses import JSONResponse, Response

from deploy.sandbox.call import Call
from deploy.sandbox.errors import HttpError

Row = Sequence[Any]
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
) -> Response:
    """Answer the rows of an SQL statement as a table; see ``answer_table``.

    Notes
    -----
    For lists of 100,000 rows and more: as CSV the rows go from SQLite to the text without a step
    of Python for each cell. Values of SQLite are text, numbers or null.
    """
    cursor = call.site.store.connection.cursor()
    cursor.row_factory = None
    rows: Iterable[Row] = cursor.execute(statement, parameters)
    if call.query.get("format", "json").lower() != "csv":
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
        return Response(_csv(columns, rows), media_type="text/csv; charset=utf-8")
    if kind == "xml":
        return Response(
            _xml(columns, list(rows), facets.title), media_type="text/xml; charset=utf-8"
        )
    raise HttpError(400, "This table is available as json, csv or xml.")


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    counter = itertools.count(1)
    writer.writerows(map(itemgetter(0), zip(rows, counter, strict=False)))
    text = buffer.getvalue()
    if text.count("\n") == next(counter) and "\r" not in text:
        return text
    # Rare: a cell holds line breaks, which XNAT replaces by blanks.
    return _QUOTED_CELL.sub(_on_one_line, text).replace("\r", " ")


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
