"""Searches: a ``xdat:bundle`` in, a table out.

Not here: searches that are stored or kept for paging (``stored_searches``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from xml.etree import ElementTree as ET

from starlette.responses import Response

from deploy.sandbox.call import Call
from deploy.sandbox.columns import Column, ColumnSet
from deploy.sandbox.datatypes import EXPERIMENT, PROJECT, SUBJECT
from deploy.sandbox.display_fields import field_ids, find_field
from deploy.sandbox.errors import bad_request, forbidden, unprocessable
from deploy.sandbox.filters import DATED, NUMERIC, condition, iso_day
from deploy.sandbox.objects import Kind
from deploy.sandbox.paging import order_clause, page_clause
from deploy.sandbox.routing import Routes
from deploy.sandbox.search_rows import keep
from deploy.sandbox.sources import Source, everywhere, visible_projects
from deploy.sandbox.tables import answer_query
from deploy.sandbox.xml_documents import parse_xml

ROUTES = Routes()

MAX_CRITERIA = 500
_COMPARISONS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_ORDER = {PROJECT: "p.rowid", SUBJECT: "s.rowid", EXPERIMENT: "e.rowid"}
_BUNDLES = frozenset({"bundle", "stored_search"})


@dataclass(frozen=True, slots=True)
class Search:
    """A search that can be run: its type and the SQL of its rows, those that the caller may read.

    ``order`` is what the rows are ordered by when nobody asks for another order.
    """

    root_type: str
    headers: tuple[str, ...]
    statement: str
    parameters: tuple[Any, ...]
    order: str


@ROUTES.add("POST", "/data/search", body=True)
def search(call: Call) -> Response:
    """Run a search and answer its table; with ``cache=true`` also keep it for reading in pages."""
    found = prepare(call, call.body)
    kept = keep(call, call.body) if call.flag("cache") else None
    return answer_search(call, found, kept)


def prepare(call: Call, document: bytes) -> Search:
    """Return the search that a document describes, restricted to what the caller may read.

    Raises
    ------
    HttpError
        422 for another document, 400 for fields and comparisons that do not exist, 403 for types
        that cannot be searched.
    """
    if call.user.is_guest and call.site.get("requireLogin"):
        raise forbidden("Log in to search.")
    bundle = parse_xml(document)
    root_type = call.site.types.find(_text(bundle, "root_element_name"))
    if _local(bundle) not in _BUNDLES or root_type is None:
        raise unprocessable("The body is not a search document (xdat:bundle).")
    level = call.site.types.root(root_type)
    source = _source(call, level, root_type)
    columns = ColumnSet(
        call.site.types,
        level,
        root_type,
        source.readable,
        source.readable_parameters,
        partial(call.site.rights.visible_projects, call.user),
    )
    chosen = _columns(columns, bundle)
    where, parameters = _criteria(columns, bundle)
    statement = (
        f"SELECT {', '.join(column.sql for column in chosen)} FROM {source.tables}"  # noqa: S608 - SQL of ours; clients' values are parameters
        f" {columns.joins} WHERE {' AND '.join([*source.where, where])}"
    )
    return Search(
        root_type,
        tuple(column.header for column in chosen),
        statement,
        (
            *(value for column in chosen for value in column.parameters),
            *source.parameters,
            *columns.join_parameters,
            *source.where_parameters,
            *parameters,
        ),
        _ORDER[level],
    )


def answer_search(call: Call, found: Search, kept: str | None = None) -> Response:
    """Answer the table of a search; ``kept`` is the ID under which it can be read again."""
    extra: dict[str, Any] = {
        "Columns": [
            {"key": name, "header": name, "element_name": found.root_type, "type": "string"}
            for name in found.headers
        ],
        "rootElementName": found.root_type,
    }
    if kept is not None:
        extra["ID"] = kept
    page = page_clause(call)
    if page:
        total = call.site.store.connection.execute(
            f"SELECT count(*) FROM ({found.statement})",  # noqa: S608 - SQL of ours
            found.parameters,
        ).fetchone()[0]
        extra["totalRecords"] = str(total)
    statement = f"{found.statement} ORDER BY {order_clause(call, found.headers, found.order)}{page}"
    return answer_query(call, found.headers, statement, found.parameters, extra=extra)


def _local(node: ET.Element) -> str:
    return node.tag.rpartition("}")[2]


def _text(node: ET.Element, name: str) -> str:
    return next(((child.text or "").strip() for child in node if _local(child) == name), "")


def _source(call: Call, level: str, root_type: str) -> Source:
    if level == PROJECT:
        return visible_projects(call)
    if level not in {SUBJECT, EXPERIMENT}:
        raise forbidden(f"{root_type} cannot be searched.")
    source = everywhere(call, Kind.SUBJECT if level == SUBJECT else Kind.EXPERIMENT)
    if level == EXPERIMENT:
        names = call.site.types.subtypes(root_type)
        source.require(f"e.xsi_type IN ({', '.join('?' * len(names))})", *names)
    return source


def _columns(columns: ColumnSet, bundle: ET.Element) -> list[Column]:
    """Return the columns asked for, all of the type's when none is; headers are field IDs."""
    asked = [
        (_text(node, "element_name"), _text(node, "field_ID"))
        for node in bundle
        if _local(node) == "search_field"
    ]
    if len(asked) > MAX_CRITERIA:
        raise bad_request(f"A search has {MAX_CRITERIA} columns at most.")
    if not asked:
        asked = [(columns.root_type, field_id) for field_id in field_ids(columns.level)]
    if columns.level != PROJECT:
        asked.append((columns.root_type, "QUARANTINE_STATUS"))  # as XNAT adds it
    chosen: dict[str, Column] = {}
    for element, name in asked:
        header = _header(columns, element, name)
        chosen.setdefault(header, replace(_find(columns, element, name), header=header))
    return list(chosen.values())


def _header(columns: ColumnSet, element: str, name: str) -> str:
    """Return the header of a field: its ID in lower case, also if it was asked for by path."""
    level = columns.types.root(columns.types.find(element) or columns.root_type)
    found = name.lower()
    if "/" in name:
        relative = name.partition("/")[2].lower()
        same = (
            field_id.lower()
            for field_id, path in field_ids(level).items()
            if path.partition("/")[2].lower() == relative
        )
        found = next(same, found)
    return found if level == columns.level else f"{element.replace(':', '_')}_{found}".lower()


def _find(columns: ColumnSet, element: str, name: str) -> Column:
    found = columns.types.find(element)
    if found is not None and ":" in name.partition("/")[0]:
        column = columns.find(name)  # a full path
    else:
        column = find_field(columns, found, name) if found is not None and name else None
    if column is None:
        raise bad_request(f"'{element[:80]}/{name[:80]}' is not a field that can be searched.")
    return column


def _criteria(columns: ColumnSet, bundle: ET.Element) -> tuple[str, list[Any]]:
    parts, parameters = ["1"], []
    for node in bundle:
        if _local(node) == "search_where":
            sql, values = _criteria_set(columns, node)
            parts.append(sql)
            parameters += values
    return f"({' AND '.join(parts)})", parameters


def _criteria_set(columns: ColumnSet, node: ET.Element) -> tuple[str, list[Any]]:
    method = node.get("method", "AND").upper()
    if method not in {"AND", "OR"}:
        raise unprocessable("Criteria are joined by AND or OR.")
    if len(node) > MAX_CRITERIA:
        raise bad_request(f"A search has {MAX_CRITERIA} criteria at most in one set.")
    parts: list[str] = []
    parameters: list[Any] = []
    for child in node:
        if _local(child) == "criteria":
            sql, values = _criterion(columns, child)
        elif _local(child) == "child_set":
            sql, values = _criteria_set(columns, child)
        else:
            continue
        parts.append(sql)
        parameters += values
    return (f"({f' {method} '.join(parts)})" if parts else "1"), parameters


def _criterion(  # noqa: PLR0911 - one for each comparison
    columns: ColumnSet, node: ET.Element
) -> tuple[str, list[Any]]:
    element, _, name = _text(node, "schema_field").partition("/")
    column = _find(columns, element, name)
    comparison = _text(node, "comparison_type").upper() or "="
    value = _text(node, "value")
    own = list(column.parameters)
    if comparison in {"LIKE", "NOT LIKE"}:
        word = "NOT LIKE" if comparison == "NOT LIKE" else "LIKE"
        return f"{column.sql} {word} ?", [*own, value.replace("*", "%")]
    if comparison in {"IS NULL", "IS NOT NULL"}:
        return f"{column.sql} {comparison}", own
    if comparison == "IN":
        names = [part.strip().strip("'\"") for part in value.strip("()").split(",")]
        return f"{column.sql} IN ({', '.join('?' * len(names))})", [*own, *names]
    if comparison == "BETWEEN":
        low, word, high = value.partition(" AND ")
        if not word:
            raise bad_request("BETWEEN needs a value of the form 'a AND b'.")
        return condition(column, f"{low.strip()}-{high.strip()}")
    if comparison not in _COMPARISONS:
        raise bad_request("The search has a comparison that XNAT does not have.")
    if comparison == "=" and not value:
        return f"{column.sql} IS NULL", own
    if column.value_type in NUMERIC:
        return f"CAST({column.sql} AS REAL) {comparison} CAST(? AS REAL)", [*own, value]
    if column.value_type in DATED:
        return f"substr({column.sql}, 1, 10) {comparison} ?", [*own, iso_day(value)]
    return f"CAST({column.sql} AS TEXT) {comparison} ?", [*own, value]
