"""Stored searches over HTTP, and searches kept for reading in pages.

Both hold the search document alone: whoever runs it gets the rows that he or she may read at that
moment. A real XNAT answers a kept search from the rows of its first run until ``refresh=true``.
"""

from __future__ import annotations

from starlette.responses import Response

from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import HttpError, forbidden, not_found
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.routing import Routes
from deploy.sandbox.search_rows import (
    StoredSearch,
    all_stored,
    delete_stored,
    find_kept,
    find_stored,
    put_stored,
)
from deploy.sandbox.searches import answer_search, prepare
from deploy.sandbox.tables import answer_query, answer_table
from deploy.sandbox.values import check_label
from deploy.sandbox.xml_documents import parse_xml

ROUTES = Routes()


def _require_login(call: Call) -> None:
    if call.user.is_guest and call.site.get("requireLogin"):
        raise unauthenticated()


def _visible(call: Call) -> StoredSearch:
    _require_login(call)
    found = find_stored(call.site.store.connection, call.path["search"])
    if found is None or not found.is_visible_to(call.user):
        raise not_found("There is no such stored search that you can read.")
    return found


@ROUTES.add("GET", "/data/search/saved")
def list_stored(call: Call) -> Response:
    """List the stored searches that the caller may see."""
    _require_login(call)
    found = [
        each for each in all_stored(call.site.store.connection) if each.is_visible_to(call.user)
    ]
    columns = ("id", "brief_description", "description", "root_element_name", "secure", "users")
    rows = [
        (
            each.id, each.brief_description, each.description, each.root_type, each.secure,
            ",".join(each.logins),
        )
        for each in found
    ]  # fmt: skip
    return answer_table(call, columns, rows, title="Stored searches")


@ROUTES.add("GET", "/data/search/saved/{search}")
def get_stored(call: Call) -> Response:
    """Answer the document of a stored search."""
    return Response(_visible(call).document, media_type="text/xml")


@ROUTES.add("GET", "/data/search/saved/{search}/results")
def stored_results(call: Call) -> Response:
    """Run a stored search with the caller's rights."""
    return answer_search(call, prepare(call, _visible(call).document))


@ROUTES.add("PUT", "/data/search/saved/{search}", body=True)
def put_search(call: Call) -> Response:
    """Store a search, or replace one of the caller's own."""
    if call.user.is_guest:
        raise forbidden("Log in to store a search.")
    search_id = check_label("search ID", call.path["search"])
    if not call.body.strip():
        raise HttpError(417, "Need PUT Contents: send the search document with inbody=true.")
    root_type = prepare(call, call.body).root_type
    bundle = parse_xml(call.body)
    logins = tuple(
        (node.text or "").strip()
        for parent in bundle
        if parent.tag.rpartition("}")[2] == "allowed_user"
        for node in parent
        if node.tag.rpartition("}")[2] == "login" and (node.text or "").strip()
    )
    with call.site.store.write() as connection:
        existing = find_stored(connection, search_id)
        if existing is not None and not existing.is_changeable_by(call.user):
            raise forbidden("A stored search of somebody else has this ID.")
        put_stored(
            connection,
            StoredSearch(
                existing.id if existing else search_id,
                existing.owner_id if existing else call.user.id,
                root_type,
                bundle.get("brief-description", ""),
                bundle.get("description", ""),
                bundle.get("secure", "").lower() in {"true", "1"},
                logins,
                call.body,
            ),
        )
    return text()


@ROUTES.add("DELETE", "/data/search/saved/{search}")
def delete_search(call: Call) -> Response:
    """Delete a stored search of the caller's own."""
    with call.site.store.write() as connection:
        found = _visible(call)
        if not found.is_changeable_by(call.user):
            raise forbidden("This stored search belongs to somebody else.")
        delete_stored(connection, found.id)
    return text()


# Kept for paging ----------------------------------------------------------------------------


def _kept(call: Call) -> bytes:
    _require_login(call)
    document = find_kept(call, call.path["search"])
    if document is None:
        raise not_found("There is no such search of yours; post it again with cache=true.")
    return document


@ROUTES.add("GET", "/data/search/{search}")
def get_page(call: Call) -> Response:
    """Answer a page of a kept search; ``totalRecords`` counts all of its rows."""
    return answer_search(call, prepare(call, _kept(call)), call.path["search"])


@ROUTES.add("GET", "/data/search/{search}/{column}")
def get_column(call: Call) -> Response:
    """Answer the distinct values of a column of a kept search, with how often each occurs."""
    found = prepare(call, _kept(call))
    column = call.path["column"].lower()
    if column not in found.headers:
        raise not_found(f"The search has no column '{column[:80]}'.")
    names = [f"c{number}" for number, _ in enumerate(found.headers)]
    wanted = names[found.headers.index(column)]
    return answer_query(
        call,
        ("values", "count"),
        f"WITH found ({', '.join(names)}) AS ({found.statement})"  # noqa: S608 - SQL of ours
        f" SELECT {wanted}, count(*) FROM found GROUP BY 1 ORDER BY 1",
        found.parameters,
    )
