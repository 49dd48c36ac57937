"""The Event Service over HTTP: subscriptions, what one can subscribe to, and the history.

Subscriptions of the whole site are for administrators; those of a project for whoever may delete
it. Not here: noticing events and launching (``event_dispatch``).
"""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import JSONResponse, Response

from deploy.sandbox import command_rows, enablement, event_rows
from deploy.sandbox.call import Call, text
from deploy.sandbox.command_rows import StoredWrapper
from deploy.sandbox.errors import HttpError, bad_request, forbidden, not_found, not_implemented
from deploy.sandbox.event_documents import (
    action_document,
    check_draft,
    check_filter,
    delivery_document,
    event_type_document,
    fits,
    read_draft,
    subscription_document,
    summary_document,
)
from deploy.sandbox.event_rows import Draft, HistoryQuery, Subscription
from deploy.sandbox.event_types import CLASS_PREFIX, EVENT_TYPES, EventType
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.xapi_access import owned_project, require_person

ROUTES = Routes()

_SITE = "/xapi/events"
_PROJECT = "/xapi/projects/{project}/events"
_DEFAULT_PAGE = 50
_MAX_PAGE = 10_000
_SUMMARY_LINES = 10_000
_MAX_NUMBER = 2**62


def _both(path: str) -> tuple[str, str]:
    return f"{_SITE}{path}", f"{_PROJECT}{path}"


# Rights -------------------------------------------------------------------------------------


def _scope(call: Call) -> str | None:
    """Return the project of the path if the caller may administer it; None for the site."""
    require_person(call)
    if "project" in call.path:
        return owned_project(call, call.path["project"]).id
    if not call.user.is_admin:
        raise forbidden("This needs a site administrator.")
    return None


def _require_all(call: Call, draft: Draft, project: str | None) -> None:
    """Return if the caller may administer every project of a subscription.

    Raises
    ------
    HttpError
        401, as XNAT answers here.
    """
    if project is None:
        return
    rights = call.site.rights
    owned = all(Action.DELETE in rights.record_actions(call.user, each) for each in draft.projects)
    if project not in draft.projects or not owned:
        raise HttpError(
            401,
            "Unauthorized.\nThe subscription must name this project in 'project-ids', and only "
            "projects of which you are an owner.",
        )


def _stored(call: Call, project: str | None) -> Subscription:
    number = call.number("number")
    found = event_rows.find_subscription(call.site.store.connection, number)
    if found is None:
        raise not_found(f"There is no subscription {number}.")
    _require_all(call, found.draft, project)
    return found


# Subscriptions ------------------------------------------------------------------------------


@ROUTES.add("POST", *_both("/subscription/filter/validate"), body=True)
def validate_filter(call: Call) -> Response:
    """Answer 200 for a filter that can be used, and 424 for one that cannot."""
    _scope(call)
    if call.body.lstrip()[:1] in {b"{", b'"'}:
        given = json_body(call)
        if isinstance(given, dict):
            given = given.get("payload-filter", "")
        if not isinstance(given, str):
            raise bad_request("'payload-filter' must be a text.")
    else:
        try:
            given = call.body.decode()
        except UnicodeDecodeError as error:
            raise bad_request("The filter is not UTF-8 text.") from error
    check_filter(given)
    return text()


@ROUTES.add(
    "GET", *_both("/subscription/filter"), *_both("/event/properties"), f"{_SITE}/prefs",
    f"{_SITE}/triggers/{{count}}",
)  # fmt: skip
@ROUTES.add("PUT", f"{_SITE}/prefs")
def absent(call: Call) -> Response:
    """Refuse what pages of the user interface ask for."""
    _scope(call)
    raise not_implemented("preferences, recent triggers and filter builders of the Event Service")


@ROUTES.add("POST", *_both("/subscription"), body=True)
def create(call: Call) -> Response:
    """Store a subscription of the caller; answer its name and number."""
    project = _scope(call)
    draft = _in_own_name(read_draft(json_body(call)), project, as_event_user=False)
    with call.site.store.write() as connection:
        draft = check_draft(connection, draft)
        _require_all(call, draft, project)
        number = event_rows.add_subscription(connection, draft, call.user.id)
    return text(f"{draft.name}:{number}", 201)


def _in_own_name(draft: Draft, project: str | None, *, as_event_user: bool) -> Draft:
    """Return the draft; only administrators can have launches run in the name of others.

    At a project's address XNAT takes no notice of ``act-as-event-user``: who owns a project could
    otherwise borrow the rights of everybody who changes its data.
    """
    return draft if project is None else replace(draft, as_event_user=as_event_user)


@ROUTES.add("GET", *_both("/subscriptions"))
def list_all(call: Call) -> Response:
    """Answer all subscriptions, or those that hear of events in the project."""
    project = _scope(call)
    found = event_rows.list_subscriptions(call.site.store.connection, project)
    return JSONResponse([_shown(each, project) for each in found])


def _shown(subscription: Subscription, project: str | None) -> dict[str, object]:
    document = subscription_document(subscription)
    if project is not None:
        document["editable"] = list(subscription.draft.projects) == [project]
    return document


@ROUTES.add("GET", *_both("/subscription/{number}"))
def show(call: Call) -> Response:
    """Answer one subscription; a project's owners may see the whole site's too."""
    project = _scope(call)
    number = call.number("number")
    found = event_rows.find_subscription(call.site.store.connection, number)
    if found is None:
        raise not_found(f"There is no subscription {number}.")
    if project is not None and found.draft.projects:
        _require_seen(found, project)
    return JSONResponse(_shown(found, project))


def _require_seen(subscription: Subscription, project: str) -> None:
    if project not in subscription.draft.projects:
        raise HttpError(401, "Unauthorized.\nThe subscription is one of other projects.")


@ROUTES.add("PUT", *_both("/subscription/{number}"), body=True)
def change(call: Call) -> Response:
    """Change what the body names; only its owner or an administrator may say what it launches."""
    project = _scope(call)
    given = json_body(call)
    with call.site.store.write() as connection:
        found = _stored(call, project)
        wanted = read_draft(given, found.draft)
        wanted = _in_own_name(wanted, project, as_event_user=found.draft.as_event_user)
        draft = check_draft(connection, wanted)
        _require_all(call, draft, project)
        if call.user.id != found.owner_id and not call.user.is_admin:
            raise forbidden(
                "The subscription launches in the name of its owner, so that only they or an "
                "administrator may change it. You can deactivate or delete it."
            )
        event_rows.change_subscription(connection, found.id, draft)
    return text()


@ROUTES.add("POST", *_both("/subscription/{number}/activate"))
def activate(call: Call) -> Response:
    """Have a subscription listen from now on."""
    return _switch(call, active=True)


@ROUTES.add("POST", *_both("/subscription/{number}/deactivate"))
def deactivate(call: Call) -> Response:
    """Have a subscription listen no longer."""
    return _switch(call, active=False)


def _switch(call: Call, *, active: bool) -> Response:
    project = _scope(call)
    with call.site.store.write() as connection:
        found = _stored(call, project)
        event_rows.set_active(connection, found.id, active=active)
    return text()


@ROUTES.add("DELETE", *_both("/subscription/{number}"))
def delete(call: Call) -> Response:
    """Delete a subscription with its history."""
    project = _scope(call)
    with call.site.store.write() as connection:
        event_rows.delete_subscription(connection, _stored(call, project).id)
    return Response(status_code=204)


# What there is ------------------------------------------------------------------------------


@ROUTES.add("GET", *_both("/events"))
def list_event_types(call: Call) -> Response:
    """Answer the types of events."""
    require_person(call)
    return JSONResponse([event_type_document(each) for each in EVENT_TYPES.values()])


@ROUTES.add("GET", *_both("/event"))
def show_event_type(call: Call) -> Response:
    """Answer one type of event."""
    require_person(call)
    return JSONResponse(event_type_document(_event_type(call)))


def _event_type(call: Call) -> EventType:
    found = EVENT_TYPES.get(call.query.get("event-type", "").removeprefix(CLASS_PREFIX))
    if found is None:
        raise not_found("'event-type' names no type of event; /xapi/events/events lists them.")
    return found


@ROUTES.add("GET", *_both("/actions"))
def list_actions(call: Call) -> Response:
    """Answer the wrappers that can be launched on events."""
    project = _scope(call) or call.query.get("project")
    wanted = call.query.get("xnattype")
    found = [
        each
        for each in _wrappers(call, project)
        if not wanted or any(call.site.types.is_a(wanted, c) for c in each.wrapper.contexts)
    ]
    return JSONResponse([action_document(each) for each in found])


@ROUTES.add("GET", f"{_SITE}/allactions")
def list_all_actions(call: Call) -> Response:
    """Answer all wrappers that can be launched on events."""
    require_person(call)
    return JSONResponse([action_document(each) for each in _wrappers(call, None)])


@ROUTES.add("GET", *_both("/actionsbyevent"))
def list_actions_by_event(call: Call) -> Response:
    """Answer the wrappers whose first external input can take what such events are about."""
    project = _scope(call) or call.query.get("project")
    kind = _event_type(call)
    found = [each for each in _wrappers(call, project) if fits(each, kind)]
    return JSONResponse([action_document(each) for each in found])


@ROUTES.add("GET", f"{_SITE}/action")
def show_action(call: Call) -> Response:
    """Answer one wrapper as an action; nothing where there is none of this key."""
    require_person(call)
    key = call.query.get("actionkey")
    for each in _wrappers(call, None):
        document = action_document(each)
        if document["action-key"] == key:
            return JSONResponse(document)
    return text()


def _wrappers(call: Call, project: str | None) -> list[StoredWrapper]:
    connection = call.site.store.connection
    found = [
        each
        for each in command_rows.all_wrappers(connection)
        if each.enabled and each.wrapper.external_inputs
    ]
    if project is None:
        return found
    enabled = enablement.wrappers_enabled_in(connection, project)
    return [each for each in found if each.id in enabled]


# History ------------------------------------------------------------------------------------


def _history(call: Call) -> HistoryQuery:
    project = _scope(call) or call.query.get("project") or None
    asked = call.query.get("subscription-id")
    number = None if asked is None else _whole(asked, "subscription-id")
    return HistoryQuery(project, number, call.flag("include-filter-mismatch"))


def _whole(value: object, name: str) -> int:
    shown = str(value)
    if isinstance(value, bool) or not (shown.isascii() and shown.isdigit() and len(shown) < 19):  # noqa: PLR2004 - int64
        raise bad_request(f"'{name}' must be a whole number.")
    return int(shown)


@ROUTES.add("GET", *_both("/delivered/count"))
def count_delivered(call: Call) -> Response:
    """Answer how many deliveries there were."""
    query = _history(call)
    return JSONResponse(event_rows.count_deliveries(call.site.store.connection, query))


@ROUTES.add("GET", *_both("/delivered/summary"))
def summarise_delivered(call: Call) -> Response:
    """Answer one short line for each of the latest deliveries, the oldest first."""
    query = HistoryQuery(_history(call).project)
    connection = call.site.store.connection
    rows = event_rows.list_deliveries(connection, query, limit=_SUMMARY_LINES)
    known = {each.id: each for each in event_rows.list_subscriptions(connection)}
    lines = [summary_document(row, known.get(row["subscription_id"])) for row in reversed(rows)]
    return JSONResponse(lines)


@ROUTES.add("GET POST", *_both("/delivered"), body=True)
def list_delivered(call: Call) -> Response:
    """Answer a page of the history, the latest first; the body says which page, how long."""
    query = _history(call)
    asked = json_body(call) if call.body.strip() else {}
    if not isinstance(asked, dict):
        raise bad_request("The body must be a JSON object with 'page' and 'size'.")
    if asked.get("filters"):
        raise not_implemented("filters of the Event Service's history other than the parameters")
    size = min(_whole(asked.get("size") or _DEFAULT_PAGE, "size"), _MAX_PAGE)
    page = max(_whole(asked.get("page") or 1, "page"), 1)
    connection = call.site.store.connection
    offset = min((page - 1) * size, _MAX_NUMBER)
    rows = event_rows.list_deliveries(connection, query, limit=size, offset=offset)
    known = {each.id: each for each in event_rows.list_subscriptions(connection)}
    return JSONResponse([delivery_document(row, known.get(row["subscription_id"])) for row in rows])


@ROUTES.add("GET", *_both("/delivered/{number}"))
def show_delivered(call: Call) -> Response:
    """Answer one entry of the history."""
    project = _scope(call)
    connection = call.site.store.connection
    row = event_rows.find_delivery(connection, call.number("number"))
    if row is None or project not in (None, row["project"]):
        raise not_found("There is no such entry in the history.")
    subscription = event_rows.find_subscription(connection, row["subscription_id"])
    return JSONResponse(delivery_document(row, subscription))


@ROUTES.add("GET POST PUT DELETE", *_both("/{rest:path}"))
def anything_else(call: Call) -> Response:
    """Refuse the rest of the Event Service."""
    require_person(call)
    raise not_implemented("this part of the Event Service")
