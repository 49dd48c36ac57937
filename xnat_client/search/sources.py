"""Where rows come from: XNAT's listings, its search, and its custom fields.

Listings show objects as one project sees them (shared ones too) and know custom variables and
scans, but come whole. The search takes criteria and pages, knows display fields, and shows each
object once, in the project that owns it. Not here: which of them to ask (``finding``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from xnat_client.address import path_of
from xnat_client.conditions import Condition
from xnat_client.errors import NotAllowedError, NotFoundError, RefusedError, UsageError
from xnat_client.listings import list_rows, table_rows
from xnat_client.search.documents import search_document
from xnat_client.search.fields import CUSTOM, ROOT_TYPES, Field, Level, unknown_field

if TYPE_CHECKING:
    from xnat_client.transport import Transport

PAGE_ROWS = 1000
Row = dict[str, str]
"""Values by the names of the fields."""

_SESSION_TYPE = "SessionData"
_AT_ONCE = 8


def listed_rows(
    transport: Transport, level: Level, fields: Sequence[Field], project: str
) -> Iterator[Row]:
    """Yield the rows of a listing; of the whole site if ``project`` is empty.

    Raises
    ------
    UsageError
        The server does not know a field.
    """
    place = ["projects", project] if project else []
    kind = {Level.PROJECTS: "projects", Level.SUBJECTS: "subjects"}.get(level, "experiments")
    query = {"columns": ",".join(dict.fromkeys(field.listing for field in fields if field.listing))}
    if kind == "experiments":
        query["xsiType"] = ROOT_TYPES[level]
    where = f" of project {project}" if project else ""
    rows = list_rows(
        transport, path_of("data", *place, kind), doing=f"list the {level}{where}", query=query
    )
    for number, row in enumerate(rows):
        cells = {name.lower(): text for name, text in row.items()}
        if number == 0:
            # XNAT passes over columns that it does not know.
            missing = [one.name for one in fields if one.listing and one.header not in cells]
            if missing:
                raise UsageError(
                    f"{transport.host} does not know the field {missing[0]} of {level}. Leave it "
                    "out, or use one that the server has."
                )
        yield {field.name: cells[field.header] for field in fields if field.listing}


def searched_rows(
    transport: Transport,
    level: Level,
    fields: Sequence[Field],
    conditions: Sequence[Condition],
    project: str,
) -> Iterator[Row]:
    """Yield the rows of XNAT's search, page by page.

    Raises
    ------
    NotAllowedError
        None of the types may be searched.
    """
    refused: NotAllowedError | None = None
    answered = False
    for root_type in _root_types(transport, level, fields, conditions):
        try:
            for row in _pages(transport, root_type, fields, conditions, project):
                yield {**row, "type": root_type}
        except NotAllowedError as error:
            refused = error  # XNAT grants searching by type
        else:
            answered = True
    if refused is not None and not answered:
        raise refused


def type_cells(xsi_type: str) -> tuple[str, str]:
    """Return what a session's type may be called: ``xnat:mrSessionData``, ``mr``."""
    return xsi_type, xsi_type.partition(":")[2].removesuffix(_SESSION_TYPE)


def _root_types(
    transport: Transport, level: Level, fields: Sequence[Field], conditions: Sequence[Condition]
) -> list[str]:
    """Return the types to search: those of the server that may fit and have the fields."""
    types = [ROOT_TYPES[level]]
    if level is Level.SESSIONS:
        rows = list_rows(
            transport, "/data/search/elements", query={"used": "true"},
            doing="list the data types that can be searched",
        )  # fmt: skip
        names = {row.get("ELEMENT_NAME", "") for row in rows}
        types = sorted(name for name in names if name.endswith(_SESSION_TYPE))
        of_type = [one for one in conditions if one.column == "type"]
        types = [name for name in types if all(one.holds(type_cells(name)) for one in of_type)]
    own = [field for field in fields if not field.listing and field.search]
    if not own or not types:
        return types
    known = {name: _display_fields(transport, name) for name in types}
    for field in own:
        if not any(field.search in there for there in known.values()):
            raise unknown_field(level, field.name, tuple(sorted(set().union(*known.values()))))
    return [name for name in types if all(field.search in known[name] for field in own)]


def _display_fields(transport: Transport, root_type: str) -> frozenset[str]:
    doing = f"list the fields of {root_type}"
    rows = list_rows(transport, path_of("data", "search", "elements", root_type), doing=doing)
    return frozenset(row.get("FIELD_ID", "") for row in rows)


def _pages(
    transport: Transport,
    root_type: str,
    fields: Sequence[Field],
    conditions: Sequence[Condition],
    project: str,
) -> Iterator[Row]:
    by_name = {field.name: field for field in fields}
    criteria = [
        (by_name[one.column].search, one) for one in conditions if by_name[one.column].search
    ]
    if project:
        criteria.append(("PROJECT", Condition("project", "=", project)))
    columns = [field.search for field in fields if field.search]
    doing = f"search {root_type}"
    answer = transport.request(
        "POST", "/data/search", doing=doing,
        query={"format": "json", "cache": "true", "limit": str(PAGE_ROWS), "offset": "0"},
        headers={"Content-Type": "text/xml"},
        body=search_document(root_type, columns, criteria),
    )  # fmt: skip
    document = _json(answer.body, doing, transport.host)
    kept = document.get("ResultSet", {}).get("ID")
    count = 0
    while True:
        rows = table_rows(document, doing=doing, host=transport.host)
        for row in rows:
            yield _named(row, fields)
        count += len(rows)
        total = int(document["ResultSet"].get("totalRecords") or 0)
        # An old server sends all at once; one that sends the same page for ever must not win.
        if not rows or not kept or count >= total:
            return
        document = transport.get_json(
            path_of("data", "search", str(kept)), doing=doing,
            query={"format": "json", "limit": str(PAGE_ROWS), "offset": str(count)},
        )  # fmt: skip


def _named(row: Mapping[str, str], fields: Sequence[Field]) -> Row:
    cells = {name.lower(): text for name, text in row.items()}
    return {field.name: cells.get(field.search.lower(), "") for field in fields if field.search}


def _json(body: bytes, doing: str, host: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise RefusedError(
            f"Cannot {doing}: {host} did not answer with JSON. Check that the address is that of "
            "an XNAT server."
        ) from error


# Custom fields ----------------------------------------------------------------------------------


def add_custom_fields(
    transport: Transport, level: Level, rows: Sequence[Row], fields: Iterable[Field]
) -> None:
    """Ask for custom fields, object by object, and put them into the rows.

    Raises
    ------
    RefusedError
        The server has no custom fields (they came with XNAT 1.8.6).
    """
    names = [field.name for field in fields if field.name.startswith(CUSTOM)]
    if not names:
        return

    def fill(row: Row) -> None:
        try:
            found = transport.get_json(
                _custom_path(level, row), doing=f"read the custom fields of a {level.one}"
            )
        except NotFoundError:
            found = {}  # an object without any
        values = found if isinstance(found, dict) else {}
        spelled = {str(key).casefold(): value for key, value in values.items()}
        for name in names:
            row[name] = _text(spelled.get(name.removeprefix(CUSTOM).casefold()))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(fill, rows))


def _custom_path(level: Level, row: Row) -> str:
    place = {
        Level.PROJECTS: ("projects", row["project"]),
        Level.SUBJECTS: ("subjects", row.get("id", "")),
        Level.SESSIONS: ("experiments", row.get("id", "")),
        Level.SCANS: ("experiments", row.get("id", ""), "scans", row.get("scan", "")),
    }[level]
    return path_of("xapi", "custom-fields", *place, "fields")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
