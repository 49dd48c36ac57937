"""What clients ask about data types: the schemas, type names, and searchable elements and fields.

Not here: searches themselves.
"""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree as ET

from starlette.responses import JSONResponse, Response

from deploy.sandbox import shortcuts
from deploy.sandbox.call import Call
from deploy.sandbox.datatypes import (
    EXPERIMENT,
    PROJECT,
    SUBJECT,
)
from deploy.sandbox.display_fields import field_ids
from deploy.sandbox.errors import bad_request, not_found
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.tables import answer_table

ROUTES = Routes()


def _require_login(call: Call) -> None:
    if call.user.is_guest and call.site.get("requireLogin"):
        raise unauthenticated()


@ROUTES.add("GET", "/xapi/schemas")
def list_schemas(call: Call) -> Response:
    """List the names of the schemas."""
    return JSONResponse(sorted(call.site.types.documents))


@ROUTES.add("GET", "/xapi/schemas/datatypes")
def list_types(call: Call) -> Response:
    """List all data types."""
    return JSONResponse(call.site.types.all_names())


def _names(call: Call, names: list[str]) -> Response:
    answer: dict[str, Any] = {"timestamp": int(time.time() * 1000)}
    for name in names:
        found = call.site.types.find(name)
        if found is None:
            raise not_found("There is no such data type.")
        element = call.site.types.element_name(found)
        answer[found] = {"singular": element, "plural": f"{element}s", "type": found}
    return JSONResponse(answer)


@ROUTES.add("GET", "/xapi/schemas/datatypes/names/{name}")
def type_names(call: Call) -> Response:
    """Answer the display names of one type, or of all."""
    name = call.path["name"]
    return _names(call, call.site.types.all_names() if name == "all" else [name])


@ROUTES.add("POST", "/xapi/schemas/datatypes/names", body=True)
def names_of_types(call: Call) -> Response:
    """Answer the display names of the types in a JSON list."""
    names = json_body(call)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad_request("The body must be a JSON list of data types.")
    return _names(call, names)


@ROUTES.add("GET", "/xapi/schemas/{schema}", "/xapi/schemas/{namespace}/{schema}")
def get_schema(call: Call) -> Response:
    """Answer the text of a schema."""
    name, namespace = call.path["schema"], call.path.get("namespace")
    document = call.site.types.documents.get(name)
    if document is None or namespace not in {None, name}:
        raise not_found("There is no such schema.")
    return Response(document, media_type="text/xml")


# Searchable elements ------------------------------------------------------------------------


def _searchable(call: Call) -> list[str]:
    types = call.site.types
    names = [*types.subtypes(PROJECT), *types.subtypes(SUBJECT), *types.subtypes(EXPERIMENT)]
    return [name for name in names if not types.is_abstract(name)]


@ROUTES.add("GET", "/data/search/elements")
def list_elements(call: Call) -> Response:
    """List the types that can be searched, with the number of objects on the site.

    The numbers are those of everything only for an administrator; others get them empty.
    """
    _require_login(call)
    connection = call.site.store.connection
    counts = dict(
        connection.execute(
            "SELECT 'xnat:projectData', count(*) FROM project"
            " UNION ALL SELECT 'xnat:subjectData', count(*) FROM subject"
            " UNION ALL SELECT xsi_type, count(*) FROM experiment GROUP BY xsi_type"
        ).fetchall()
    )
    rows = []
    for name in _searchable(call):
        count = counts.get(name, 0)
        if call.flag("used") and not count:
            continue
        element = call.site.types.element_name(name)
        shown = count if call.user.is_admin else ""
        rows.append((name, element, f"{element}s", "true", shown))
    columns = ("ELEMENT_NAME", "SINGULAR", "PLURAL", "SECURED", "COUNT")
    return answer_table(call, columns, rows, title="Searchable elements")


@ROUTES.add("GET", "/data/search/elements/{name}")
def list_element_fields(call: Call) -> Response:
    """List the fields by which objects of a type can be searched and shown."""
    found, fields = _fields(call)
    rows = [
        (field_id, header, f"{found}.{field_id}", kind, "false", header, found, 1)
        for field_id, header, kind in fields
    ]
    columns = (
        "FIELD_ID", "HEADER", "SUMMARY", "TYPE", "REQUIRES_VALUE", "DESC", "ELEMENT_NAME", "SRC",
    )  # fmt: skip
    return answer_table(call, columns, rows, title="Search Fields")


def _fields(call: Call) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the type of the path and its display fields as (ID, header, kind of value)."""
    _require_login(call)
    types = call.site.types
    found = types.find(call.path["name"])
    if found is None:
        raise not_found("There is no such searchable element.")
    fields = []
    for field_id, path in field_ids(types.root(found)).items():
        split = shortcuts.split_path(types, path)
        leaf = types.leaf(*split) if split is not None else None
        kind = leaf.value_type.removeprefix("xs:") if leaf is not None else "string"
        fields.append((field_id, field_id.replace("_", " ").title(), kind))
    return found, fields


@ROUTES.add("GET", "/data/search/elements/{name}/versions")
def list_versions(call: Call) -> Response:
    """Answer the preset sets of columns: ``all``, since display documents make the others."""
    found, fields = _fields(call)
    if call.flag("listViews"):
        return JSONResponse({"views": []})  # those of display documents only
    rows = [
        {"id": field_id, "element_name": found, "header": header, "type": kind, "visible": "true"}
        for field_id, header, kind in fields
    ]
    if call.query.get("format", "").lower() == "json":
        versions = [{"name": "all", "fields": rows}]
        return JSONResponse({"DisplayVersions": {"element_name": found, "versions": versions}})
    root = ET.Element("DisplayVersions", {"element_name": found})
    version = ET.SubElement(ET.SubElement(root, "versions"), "version", {"name": "all"})
    parent = ET.SubElement(version, "fields")
    for row in rows:
        ET.SubElement(parent, "field", row)
    return Response(ET.tostring(root), media_type="text/xml")
