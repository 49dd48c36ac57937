"""The description of the sandbox's own interface (OpenAPI), made from the table of routes.

It lists what answers: methods, addresses, the parts of addresses, and kinds of answers. It cannot
go out of date, and says nothing of what an XNAT has besides. Not here: the routes themselves.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from starlette.convertors import IntegerConvertor, PathConvertor
from starlette.responses import JSONResponse, Response

from deploy.sandbox.call import Call
from deploy.sandbox.errors import not_implemented
from deploy.sandbox.routing import HandlerRoute, Routes
from deploy.sandbox.site import XNAT_VERSION

ROUTES = Routes()

_PART = re.compile(r"\{([^}]+)\}")
_DOCUMENTED_METHODS = ("GET", "PUT", "POST", "DELETE")
_REFUSAL = {"$ref": "#/components/responses/Refusal"}
_ABSENT = {"$ref": "#/components/responses/Absent"}

_ABOUT = """What the winxnat sandbox answers, made from its table of routes. `/REST` and
`/data/archive` are other names of `/data`.

| status | meaning |
| --- | --- |
| 200, 201 | done, made |
| 304 | nothing to change |
| 400 | the request itself is wrong |
| 401 | log in |
| 403 | seen, but not allowed; below `/xapi` also: hidden |
| 404 | not there, or hidden |
| 405 | this method is not possible here |
| 406, 412, 415, 417, 422, 424 | of the wrong form or kind; the sentence says what |
| 409 | a name is taken, or something stands in the way |
| 413 | too large |
| 501 | XNAT has it, the sandbox has not |
"""


@ROUTES.add("GET", "/xapi/v3/api-docs")
def show(call: Call) -> Response:
    """Answer this description."""
    (table,) = call.request.app.routes
    routes: tuple[HandlerRoute, ...] = table.routes
    return JSONResponse(describe(routes, call.base_url))


@ROUTES.add("GET", "/xapi/v2/api-docs", "/xapi/swagger-ui.html", "/xapi/swagger-resources")
def older_description(_call: Call) -> Response:
    """Refuse the older form of descriptions and XNAT's page for them."""
    raise not_implemented("Swagger 2 (its own description, OpenAPI 3, is at /xapi/v3/api-docs)")


def describe(routes: Iterable[HandlerRoute], url: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a table of routes.

    Addresses that differ in the names of their parts only are one address there; the first route
    that takes a method counts, as when requests are routed.
    """
    paths: dict[str, dict[str, Any]] = {}
    spelling: dict[str, str] = {}
    for number, route in enumerate(routes):
        shape = _PART.sub("{}", route.path_format)
        address = spelling.setdefault(shape, route.path_format)
        item = paths.setdefault(address, {"parameters": _parts(address, route)})
        for method in _DOCUMENTED_METHODS:
            if method in (route.methods or ()) and method.lower() not in item:
                item[method.lower()] = _operation(route, method, number)
    return {
        "openapi": "3.1.0",
        "info": {"title": "winxnat sandbox", "version": XNAT_VERSION, "description": _ABOUT},
        "servers": [{"url": url}],
        "security": [{"basic": []}, {"session": []}],
        "paths": paths,
        "components": {"responses": _REFUSALS, "securitySchemes": _CREDENTIALS},
    }


def _parts(address: str, route: HandlerRoute) -> list[dict[str, Any]]:
    """Return the parts of an address; their kinds are those of the route that first has it."""
    convertors = list(route.param_convertors.values())
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": (
                {"type": "integer", "minimum": 0}
                if isinstance(convertor, IntegerConvertor)
                else {"type": "string", "minLength": 1}
            ),
            **(
                {"description": "May have slashes in it."}
                if isinstance(convertor, PathConvertor)
                else {}
            ),
        }
        for name, convertor in zip(_PART.findall(address), convertors, strict=True)
    ]


def _operation(route: HandlerRoute, method: str, number: int) -> dict[str, Any]:
    module = route.handler.__module__.rpartition(".")[2]
    summary, _, more = (inspect.getdoc(route.handler) or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": f"{module}.{route.handler.__name__}.{method.lower()}.{number}",
        "tags": [module],
        "summary": summary,
        "parameters": [_OPTIONS],
        "responses": {
            "2XX": {"description": "Done."},
            "304": {"description": "Nothing is different."},
            "4XX": _REFUSAL,
            "501": _ABSENT,
        },
    }
    if more.strip():
        operation["description"] = more.strip()
    if route.takes_body:
        operation["requestBody"] = _BODY
    return operation


_OPTIONS = {
    "name": "options",
    "in": "query",
    "description": "Options and fields by name; those that are not known are passed over.",
    "style": "form",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}
_BODY = {
    "required": False,
    "content": {
        "application/json": {"schema": {}},
        "application/xml": {"schema": {"type": "string"}},
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "additionalProperties": {"type": "string"}}
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "additionalProperties": {"type": "string", "format": "binary"},
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
_SENTENCE = {"text/plain": {"schema": {"type": "string"}}}
_REFUSALS = {
    "Refusal": {"description": "A sentence that says what is wrong.", "content": _SENTENCE},
    "Absent": {
        "description": "A sentence that says what the sandbox does not implement.",
        "content": _SENTENCE,
    },
}
_CREDENTIALS = {
    "basic": {"type": "http", "scheme": "basic"},
    "session": {"type": "apiKey", "in": "cookie", "name": "JSESSIONID"},
}
