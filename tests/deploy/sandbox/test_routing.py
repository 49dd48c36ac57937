"""The table of routes: found quickly, the same as by trying one after another."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.routing import Match

from deploy.sandbox.app import all_routes
from deploy.sandbox.routing import ROUTE, HandlerRoute, RouteTable
from tests.deploy.sandbox.conftest import Api

_ROUTES = all_routes()
_TABLE = RouteTable(_ROUTES)
_PATTERNS = sorted({route.path for route in _ROUTES})
_PARTS = st.sampled_from(["P", "1", "files", "resources", "data", "ALL", "a.txt", "", "in"])


@st.composite
def _paths(draw: st.DrawFn) -> str:
    """Return a path of some pattern, its variable parts filled, perhaps longer or cut off."""
    parts = draw(st.sampled_from(_PATTERNS)).split("/")
    filled = [draw(_PARTS) if "{" in part else part for part in parts]
    more = draw(st.lists(_PARTS, max_size=3))
    return "/".join([*filled, *more][: draw(st.integers(2, 40))])


def _found_one_by_one(scope: dict[str, object]) -> tuple[Match, HandlerRoute | None, object]:
    partial: tuple[Match, HandlerRoute | None, object] = (Match.NONE, None, None)
    for route in _ROUTES:
        match, child = route.matches(scope)
        if match is Match.FULL:
            return match, route, child["path_params"]
        if match is Match.PARTIAL and partial[0] is Match.NONE:
            partial = match, route, child["path_params"]
    return partial


@given(_paths(), st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]))
@example("/data/projects/P/resources/R/files/files/a/files", "GET")
@example("/data/experiments/E/scans/1/resources/R/files/" + "a/" * 40, "PUT")
def test_table_finds_what_trying_all_in_turn_finds(path: str, method: str) -> None:
    """Whatever the path, the route, its kind of match and the parts of the path are the same."""
    scope = {"type": "http", "path": path, "method": method, "headers": [], "root_path": ""}

    match, child = _TABLE.matches(scope)

    found = (match, child.get(ROUTE), child.get("path_params"))
    assert found == _found_one_by_one(scope)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/data/projects", "GET, HEAD, POST"),
        ("/data/subjects", "GET, HEAD"),
        ("/data/projects/P/subjects/S", "DELETE, GET, HEAD, POST, PUT"),
    ],
)
def test_a_method_that_is_not_possible_is_told_which_are(
    admin: Api, path: str, methods: str
) -> None:
    """405 comes with all methods of the address (RFC 9110, 15.5.6), whatever the object."""
    answer = admin.request("OPTIONS", path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, methods)
