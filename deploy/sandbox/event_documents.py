"""Subscriptions, actions and history as JSON: read and checked, and written.

Not here: rights and HTTP (``events_api``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from commands.model import CommandInput, WrapperInput
from deploy.sandbox import command_rows
from deploy.sandbox.command_rows import StoredWrapper
from deploy.sandbox.enablement import wrappers_enabled_in
from deploy.sandbox.errors import HttpError, bad_request, not_implemented
from deploy.sandbox.event_dispatch import wrapper_number
from deploy.sandbox.event_rows import Draft, Subscription
from deploy.sandbox.event_types import (
    ABSENT_TYPES,
    ACTION_PROVIDER,
    CLASS_PREFIX,
    EVENT_TYPES,
    EventType,
)
from deploy.sandbox.matchers import MatcherError, matching
from deploy.sandbox.objects import find_project
from deploy.sandbox.wrapper_configs import as_text

_MAX_TEXT = 10_000
_DATE_FORMAT = "%Y-%m-%d %H:%M:%S.%f"


def refused(message: str) -> HttpError:
    """Return a 424, with which XNAT refuses a subscription that cannot work."""
    return HttpError(424, f"Subscription format failed to validate.\n{message}")


# Reading ------------------------------------------------------------------------------------


def read_draft(document: Any, known: Draft | None = None) -> Draft:
    """Return what a body says; what it leaves out is as it was, or the default.

    Raises
    ------
    HttpError
        400 when values are of the wrong kind.
    """
    given = _object(document, "The body")
    event_filter = _object(given.get("event-filter") or {}, "'event-filter'")
    base = known or Draft("", True, "", "", (), "", "", {}, False)  # noqa: FBT003 - the defaults
    name = _text(event_filter, "event-type", base.event_type)
    return replace(
        base,
        name=_text(given, "name", base.name).strip(),
        active=_flag(given, "active", default=base.active),
        event_type=name.removeprefix(CLASS_PREFIX),
        status=_text(event_filter, "status", base.status),
        projects=_projects(event_filter, base.projects),
        payload_filter=_text(event_filter, "payload-filter", base.payload_filter).strip(),
        action_key=_text(given, "action-key", base.action_key),
        attributes=_attributes(given, base.attributes),
        as_event_user=_flag(given, "act-as-event-user", default=base.as_event_user),
    )


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise bad_request(f"{what} must be a JSON object.")
    return value


def _text(given: Mapping[str, Any], name: str, default: str) -> str:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > _MAX_TEXT or "\0" in value:
        raise bad_request(f"'{name}' must be a text of at most {_MAX_TEXT} characters.")
    return value


def _flag(given: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise bad_request(f"'{name}' must be true or false.")
    return value


def _projects(event_filter: Mapping[str, Any], default: tuple[str, ...]) -> tuple[str, ...]:
    value = event_filter.get("project-ids")
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise bad_request("'project-ids' must be a list of project IDs.")
    return tuple(value)


def _attributes(given: Mapping[str, Any], default: Mapping[str, str]) -> Mapping[str, str]:
    value = given.get("attributes")
    if value is None:
        return default
    values = _object(value, "'attributes'")
    if any(isinstance(each, (dict, list)) for each in values.values()):
        raise bad_request("Values of 'attributes' must be texts, numbers or booleans.")
    texts = {str(name): as_text(each) for name, each in values.items() if each is not None}
    if any("\0" in each for each in texts.values()):
        raise bad_request("A value of 'attributes' has a NUL character.")
    return texts


# Checking -----------------------------------------------------------------------------------


def check_draft(connection: sqlite3.Connection, draft: Draft) -> Draft:
    """Return the draft with projects by their IDs and a name, if it can work.

    Raises
    ------
    HttpError
        424 when it cannot, 501 for kinds of events that the sandbox has not.
    """
    if draft.event_type in ABSENT_TYPES:
        raise not_implemented(f"events of type {draft.event_type}")
    kind = EVENT_TYPES.get(draft.event_type)
    if kind is None:
        raise refused("'event-type' names no type of event; /xapi/events/events lists them.")
    if draft.status not in kind.statuses:
        raise refused(f"'status' of {kind.name} must be one of: {', '.join(kind.statuses)}.")
    check_filter(draft.payload_filter)
    projects = []
    for name in draft.projects:
        project = find_project(connection, name)
        if project is None:
            raise refused("'project-ids' names a project that is not there.")
        projects.append(project.id)
    stored = _action(connection, draft.action_key, kind, projects)
    name = draft.name or f"{stored.wrapper.name} on {kind.name} {draft.status} ({draft.action_key})"
    return replace(draft, name=name, projects=tuple(dict.fromkeys(projects)))


def check_filter(payload_filter: str) -> None:
    """Return if a text can filter events; 424 if not."""
    if not payload_filter:
        return
    try:
        matching(payload_filter, [{}])
    except MatcherError as error:
        raise refused("'payload-filter' is not JSONPath, such as (@.label == \"E1\").") from error


def _action(
    connection: sqlite3.Connection, action_key: str, kind: EventType, projects: list[str]
) -> StoredWrapper:
    number = wrapper_number(action_key)
    if number is None:
        raise refused(f"'action-key' must be {ACTION_PROVIDER}: and a wrapper's number.")
    stored = command_rows.find_wrapper(connection, number)
    if stored is None:
        raise refused(f"'action-key' names wrapper {number}, which is not there.")
    if not fits(stored, kind):
        kinds = ", ".join(kind.inputs)
        raise refused(
            f"The wrapper's first external input cannot take what {kind.name} is about ({kinds})."
        )
    if not stored.enabled:
        raise refused(f"The wrapper '{stored.wrapper.name}' is not enabled on this site.")
    for project in projects:
        if stored.id not in wrappers_enabled_in(connection, project):
            raise refused(f"The wrapper '{stored.wrapper.name}' is not enabled in {project}.")
    return stored


def fits(stored: StoredWrapper, kind: EventType) -> bool:
    """Return whether a wrapper's first external input can take what such events are about."""
    inputs = stored.wrapper.external_inputs
    return bool(inputs) and inputs[0].type in kind.inputs


# Writing ------------------------------------------------------------------------------------


def subscription_document(subscription: Subscription) -> dict[str, Any]:
    """Return a subscription as XNAT answers it."""
    draft = subscription.draft
    return {
        "id": subscription.id,
        "name": draft.name,
        "active": draft.active,
        "action-key": draft.action_key,
        "attributes": dict(draft.attributes),
        "event-filter": {
            "event-type": CLASS_PREFIX + draft.event_type,
            "status": draft.status,
            "project-ids": list(draft.projects),
            "payload-filter": draft.payload_filter or None,
            "schedule": None,
            "schedule-description": None,
        },
        "act-as-event-user": draft.as_event_user,
        "subscription-owner": subscription.owner_login,
        "valid": True,
        "validation-message": None,
        "created": _utc(subscription.created_at),
    }


def event_type_document(kind: EventType) -> dict[str, Any]:
    """Return a type of event as XNAT lists it."""
    return {
        "id": kind.class_name,
        "type": kind.class_name,
        "statuses": list(kind.statuses),
        "display-name": f"{kind.title} Event",
        "description": f"{kind.title}: {', '.join(kind.statuses).lower()}.",
        "xnat-type": kind.xsi_type,
        "is-xsi-type": True,
        "event-scope": ["SITE"] if kind.name == "ProjectEvent" else ["PROJECT", "SITE"],
    }


def action_document(stored: StoredWrapper) -> dict[str, Any]:
    """Return a wrapper as an action; its attributes are the inputs that a person may set."""
    wrapper = stored.wrapper
    own = [*wrapper.external_inputs[1:], *wrapper.derived_inputs]
    inputs: list[WrapperInput | CommandInput] = [each for each in own if each.user_settable]
    inputs += stored.command.inputs
    return {
        "id": str(stored.id),
        "action-key": f"{ACTION_PROVIDER}:{stored.id}",
        "display-name": wrapper.name,
        "description": wrapper.description or "",
        "provider": {
            "name": ACTION_PROVIDER,
            "display-name": "Container Service",
            "description": "Launches commands of the Container Service on events.",
        },
        "attributes": {
            each.name: {
                "description": each.description or "",
                "type": str(each.type),
                "default-value": each.default_value,
                "required": each.required,
            }
            for each in inputs
        },
        "events": None,
    }


def delivery_document(row: sqlite3.Row, subscription: Subscription | None) -> dict[str, Any]:
    """Return one entry of the history."""
    about, steps = json.loads(row["object"]), json.loads(row["statuses"])
    return {
        "id": row["id"],
        "event": None,
        "event-type": CLASS_PREFIX + row["event_type"],
        "timestamp": _utc(row["delivered_at"]),
        "subscription": None if subscription is None else subscription_document(subscription),
        "user": row["login"],
        "project": row["project"],
        "inputs": row["inputs"],
        "trigger": {
            "event-name": row["event_type"],
            "status": row["event_status"],
            "is-xsi-type": True,
            "xnat-type": about.get("xsiType"),
            "xsi-uri": about.get("uri"),
            "object-label": about.get("label"),
        },
        "status": [{**step, "timestamp": _day_first(step["timestamp"])} for step in steps],
        "status-message": steps[-1]["message"],
        "error": bool(row["failed"]),
    }


def summary_document(row: sqlite3.Row, subscription: Subscription | None) -> dict[str, Any]:
    """Return one line of the history's summary."""
    return {
        "id": row["id"],
        "event-name": CLASS_PREFIX + row["event_type"],
        "subscription-id": row["subscription_id"],
        "subscription-name": None if subscription is None else subscription.draft.name,
        "user": row["login"],
        "project": row["project"],
        "trigger-label": json.loads(row["object"]).get("label"),
        "status": row["outcome"],
        "error": bool(row["failed"]),
        "timestamp": _utc(row["delivered_at"]),
    }


def _utc(moment: str) -> str:
    return f"{moment.partition('.')[0]} UTC"


def _day_first(moment: str) -> str:
    # XNAT's format has the hours of a half day (hh) and no word for which half.
    return datetime.strptime(moment, _DATE_FORMAT).strftime("%d-%m-%Y %I:%M:%S")  # noqa: DTZ007 - UTC, printed as it is
