"""Services that a real XNAT has and the sandbox has not: each answers 501.

Not here: anything that does something.
"""

from __future__ import annotations

from starlette.responses import Response

from deploy.sandbox.call import Call
from deploy.sandbox.errors import not_implemented
from deploy.sandbox.routing import SCAN_PATHS, Routes

ROUTES = Routes()

_AREAS = (
    "archive", "dicom_mappings", "features", "groups", "investigators", "logs", "notifications",
    "pars", "prearchive", "prefs", "roles", "services", "spawner", "theme",
)  # fmt: skip
"""Areas below ``/xapi`` of XNAT's own interface that no part of the sandbox has."""


@ROUTES.add(
    "GET PUT POST DELETE",
    "/data/user/cache/resources",
    "/data/user/cache/resources/{rest:path}",
)
def user_cache(_call: Call) -> Response:
    """Answer that users have no cache of files here."""
    raise not_implemented("users' caches of files")


@ROUTES.add("GET", "/data/status/{transaction}")
def transaction_status(_call: Call) -> Response:
    """Answer that transactions are not tracked."""
    raise not_implemented("the progress of transactions; imports answer when they are done")


@ROUTES.add("POST", "/data/services/move-files")
def move_files(_call: Call) -> Response:
    """Answer that files cannot be moved on the server."""
    raise not_implemented("moving files on the server")


_SESSION = "/data/prearchive/projects/{project}/{timestamp}/{name}"
_OTHER_DATA = (
    "/data/automation/{rest:path}",
    "/data/investigators",
    "/data/prearchive/experiments",
    f"{_SESSION}/resources",
    f"{_SESSION}/scans/{{scan}}",
    f"{_SESSION}/scans/{{scan}}/resources/{{resource}}",
    "/data/services/logging/{rest:path}",
    "/data/services/mail/send",
    "/data/services/settings",
    "/data/services/settings/{rest:path}",
    "/data/user/{user}/sessions",
    "/data/users/favorites/{rest:path}",
    *(f"{path}/DICOMDIR" for path in SCAN_PATHS),
)
"""Addresses below ``/data`` of XNAT's own route table that no part of the sandbox has."""


@ROUTES.add("GET PUT POST DELETE", *_OTHER_DATA)
def other_data(_call: Call) -> Response:
    """Answer that this part of XNAT's interface is not there."""
    raise not_implemented("this part of XNAT's interface")


@ROUTES.add("GET", "/data/services/audit", "/data/services/audit/{rest:path}")
def audit_trail(_call: Call) -> Response:
    """Answer that changes of objects are not recorded."""
    raise not_implemented("the history of changes; what was launched is in POST /xapi/workflows")


@ROUTES.add(
    "GET PUT POST DELETE",
    *(f"/xapi/{area}" for area in _AREAS),
    *(f"/xapi/{area}/{{rest:path}}" for area in _AREAS),
)
def other_area(_call: Call) -> Response:
    """Answer that this area of XNAT's interface is not there."""
    raise not_implemented("this area of XNAT's interface")
