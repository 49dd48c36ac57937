"""The items of launches on events: subscriptions, and what happens to sessions that arrive.

Not here: what a subscription or an orchestration does (XNAT's Event and Container Service).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from commands.model import Command
from deploy.checked_yaml import Place
from deploy.site.document import SiteDocument, arrival_name, session_wrappers
from deploy.site.items import Item, Rank
from deploy.site.model import SiteProject
from deploy.site.server import ACTION_PREFIX, EVENT_PREFIX, SiteServer
from xnat_client.address import path_of
from xnat_client.errors import NotFoundError, RefusedError

ORCHESTRATIONS = "/xapi/orchestration"


def subscription_items(document: SiteDocument, server: SiteServer) -> Iterator[Item]:
    """Yield the items of a file's own subscriptions."""
    for n, subscription in enumerate(document.site.subscriptions):
        definition = document.commands[subscription.command].definition
        wrapper = subscription.wrapper or definition.wrappers[0].name
        value = {
            "event": subscription.event,
            "status": subscription.status,
            "projects": sorted(subscription.projects),
            "filter": subscription.filter.strip(),
            "command": _title(definition, wrapper),
            "parameters": dict(subscription.parameters),
            "as_event_user": subscription.as_event_user,
            "active": subscription.active,
        }
        address = f"subscriptions.{subscription.name}"
        where = document.where(("subscriptions", n))
        yield _subscription_item(server, subscription.name, value, address, where)


def arrival_items(
    document: SiteDocument, server: SiteServer, project: SiteProject, place: Place
) -> Iterator[Item]:
    """Yield the items of what happens to each session that arrives in a project.

    An event begins the first command; an orchestration lets each of the others follow when the one
    before it is Complete, on the same session. Events alone would not do: that of the end of a
    workflow is about the workflow, that of a new resource about the resource, and the Container
    Service finds the session of neither.
    """
    arrival = project.on_arrival
    if arrival is None:
        return
    definitions = [document.commands[name].definition for name in arrival.commands]
    titles = [
        _title(each, wrapper.name)
        for each in definitions
        for wrapper in session_wrappers(each.wrappers)[:1]
    ]
    where = document.where((*place, "on_arrival"))
    address = f"projects.{project.id}.on_arrival"
    if len(titles) > 1:
        yield Item(
            f"{address}.order",
            where,
            titles if arrival.active else None,
            partial(_read_order, server, project.id),
            partial(_write_order, server, project.id, titles if arrival.active else []),
            rank=Rank.LISTENING,
            needs="an administrator or Container Manager of the server",
        )
    kinds = " || ".join(f'@.xsiType == "{kind}"' for kind in arrival.types)
    value = {
        "event": "SessionEvent",
        "status": "CREATED",
        "projects": [project.id],
        "filter": f"({kinds})",
        "command": titles[0],
        "parameters": {},
        # Who sends data need not be allowed to run commands.
        "as_event_user": False,
        "active": arrival.active,
    }
    yield _subscription_item(server, arrival_name(project.id), value, f"{address}.event", where)


def _title(definition: Command, wrapper: str) -> str:
    return f"{definition.name} {definition.version}/{wrapper}"


# Subscriptions ---------------------------------------------------------------------------------


def _subscription_item(
    server: SiteServer, name: str, value: Mapping[str, Any], address: str, where: str
) -> Item:
    return Item(
        address,
        where,
        value,
        partial(_read_subscription, server, name),
        partial(_write_subscription, server, name, value),
        rank=Rank.LISTENING,
    )


def _read_subscription(server: SiteServer, name: str) -> dict[str, Any] | None:
    row = server.subscription(name)
    if row is None:
        return None
    filters = row.get("event-filter") or {}
    key = str(row.get("action-key") or "")
    number = key.removeprefix(ACTION_PREFIX)
    command = server.wrapper_names().get(int(number), key) if number.isdigit() else key
    return {
        "event": str(filters.get("event-type") or "").removeprefix(EVENT_PREFIX),
        "status": filters.get("status"),
        "projects": sorted(filters.get("project-ids") or []),
        "filter": filters.get("payload-filter") or "",
        "command": command,
        "parameters": dict(row.get("attributes") or {}),
        "as_event_user": bool(row.get("act-as-event-user")),
        "active": bool(row.get("active")),
    }


def _write_subscription(
    server: SiteServer, name: str, value: Mapping[str, Any], _before: Any
) -> None:
    numbers = {text: number for number, text in server.wrapper_names().items()}
    number = numbers.get(value["command"])
    if number is None:
        raise NotFoundError(f"the server has no wrapper {value['command']}.")
    document = {
        "name": name,
        "active": value["active"],
        "action-key": f"{ACTION_PREFIX}{number}",
        "attributes": value["parameters"],
        "act-as-event-user": value["as_event_user"],
        "event-filter": {
            "event-type": EVENT_PREFIX + value["event"],
            "status": value["status"],
            "project-ids": value["projects"],
            "payload-filter": value["filter"],
        },
    }
    row = server.subscription(name)
    if row is None:
        path, method = "/xapi/events/subscription", "POST"
    else:
        path, method = path_of("xapi", "events", "subscription", str(row["id"])), "PUT"
        document["id"] = row["id"]
    server.send_json(method, path, f"store the event subscription {name}", document)


# Orchestrations --------------------------------------------------------------------------------


def _read_order(server: SiteServer, project: str) -> list[str] | None:
    """Return the commands of the orchestration that a project uses; None if it uses none."""
    if server.project_fields(project) is None:
        return None
    doing = f"read the orchestration of project {project}"
    found = server.find(_in_project(project), doing)
    if not isinstance(found, dict) or not found.get("selectedOrchestrationId"):
        return None
    chosen = str(found["selectedOrchestrationId"])
    names = server.wrapper_names()
    for each in found.get("availableOrchestrations") or ():
        if str(each.get("id")) == chosen:
            return [names.get(int(number), str(number)) for number in each["wrapperIds"]]
    return None


def _write_order(server: SiteServer, project: str, wanted: Sequence[str], _before: Any) -> None:
    if not wanted:
        server.delete(_in_project(project), f"end the orchestration of project {project}")
        return
    by_name = {text: number for number, text in server.wrapper_names().items()}
    if missing := [each for each in wanted if each not in by_name]:
        raise NotFoundError(f"the server has no wrapper {missing[0]}.")
    numbers = [by_name[each] for each in wanted]
    chosen = _orchestration(server, numbers)
    if chosen is None:
        document = {"name": ", then ".join(_command_of(each) for each in wanted)[:100],
                    "wrapperIds": numbers}  # fmt: skip
        server.send_json("POST", ORCHESTRATIONS, "make an orchestration", document)
        chosen = _orchestration(server, numbers)
    if chosen is None:
        raise RefusedError("The server does not list the orchestration that was made.")
    server.put(
        _in_project(project),
        f"have project {project} use orchestration {chosen}",
        orchestrationId=str(chosen),
    )


def _in_project(project: str) -> str:
    return ORCHESTRATIONS + path_of("project", project)


def _orchestration(server: SiteServer, wrappers: Sequence[int]) -> int | None:
    """Return the number of an enabled orchestration of just these wrappers, or None."""
    found = server.get(ORCHESTRATIONS, "list the orchestrations")
    for each in found if isinstance(found, list) else ():
        if each.get("enabled") and list(each.get("wrapperIds") or ()) == list(wrappers):
            return int(each["id"])
    return None


def _command_of(title: str) -> str:
    return title.partition(" ")[0]
