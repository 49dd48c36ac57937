"""The older way of automatic launches, which the sandbox has not: every address says so.

Not here: launches on events (``events_api``), by hand (``launch``) and in orchestrations.
"""

from __future__ import annotations

from starlette.responses import Response

from deploy.sandbox.call import Call
from deploy.sandbox.errors import not_implemented
from deploy.sandbox.routing import Routes
from deploy.sandbox.xapi_access import require_person

ROUTES = Routes()

_ALL_METHODS = "GET POST PUT DELETE"


def _with_rest(*bases: str) -> tuple[str, ...]:
    return tuple(path for base in bases for path in (base, f"{base}/{{rest:path}}"))


@ROUTES.add(_ALL_METHODS, *_with_rest("/xapi/commandeventmapping"))
def event_mapping(call: Call) -> Response:
    """Refuse command event mappings."""
    require_person(call)
    raise not_implemented("command event mapping; use the Event Service")
