"""The items of the site itself: properties, script, container server, people, commands.

Not here: projects and subscriptions (``parts_projects``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from commands.model import Command
from commands.service_json import command_to_json
from deploy.checked_yaml import Place
from deploy.site.document import SiteDocument, WantedCommand
from deploy.site.items import Item, Rank
from deploy.site.model import Anonymisation
from deploy.site.parts_receiving import filter_items, receiver_items
from deploy.site.server import SiteServer
from xnat_client.address import path_of
from xnat_client.errors import NotFoundError, RefusedError

MANAGER = "an administrator or Container Manager of the server"

_OPENING = {
    "requireLogin": "false",
    "securityAllowNonPrivateProjects": "true",
    "uiAllowNonAdminProjectCreation": "true",
    "userRegistration": "true",
    "restrictUserListAccessToAdmins": "false",
    "par": "true",
    "enableCsrfToken": "false",
    "emailVerification": "false",
}
"""Values of the switches of access that let more people in."""

_SERVER_KEYS_OF_THE_ANSWER = ("id", "ping", "engine")


def site_items(document: SiteDocument, server: SiteServer) -> Iterator[Item]:
    """Yield the items of a file that are about the site."""
    site = document.site
    for name, value in site.properties.items():
        rank = Rank.PLAIN
        if name in _OPENING:
            rank = Rank.OPENING if _OPENING[name] == value else Rank.CLOSING
        yield Item(
            f"properties.{name}",
            document.where(("properties", name)),
            value,
            partial(_read_property, server, name),
            partial(_write_property, server, name, value),
            rank=rank,
        )
    if site.anonymisation is not None:
        yield from script_items(document, server, site.anonymisation, ("anonymisation",))
    if site.import_filter is not None:
        yield from filter_items(document, server, site.import_filter, ("import_filter",))
    yield from receiver_items(document, server)
    if site.container_server is not None:
        yield from _container_server_items(document, server)
    for command in document.commands.values():
        yield from _command_items(document, server, command)
    yield from _people_items(document, server)


# Properties ------------------------------------------------------------------------------------


def _read_property(server: SiteServer, name: str) -> str | None:
    found = server.properties()
    if name not in found:
        raise NotFoundError(
            f"this XNAT has no site property {name}. Check its spelling in the site's settings; "
            "it may belong to a plug-in that is not installed."
        )
    return _as_text(found[name])


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _write_property(server: SiteServer, name: str, text: str, _before: Any) -> None:
    present = server.properties().get(name)
    value: Any = text
    # XNAT keeps the type of a property; the file's values are all text.
    if isinstance(present, bool):
        if text not in ("true", "false"):
            raise RefusedError(f"{name} must be true or false.")
        value = text == "true"
    elif isinstance(present, int):
        if not text.lstrip("-").isdigit():
            raise RefusedError(f"{name} must be a whole number.")
        value = int(text)
    elif isinstance(present, (list, dict)):
        raise RefusedError(f"{name} is a list on the server, which a site file cannot set.")
    server.send_json("POST", "/xapi/siteConfig", f"set the site property {name}", {name: value})


# Anonymisation ---------------------------------------------------------------------------------


def script_items(
    document: SiteDocument,
    server: SiteServer,
    wanted: Anonymisation,
    place: Place,
    project: str = "",
) -> Iterator[Item]:
    """Yield the items of the site's or a project's anonymisation."""
    base = "/xapi/anonymize" + (path_of("projects", project) if project else "/site")
    whose = f"project {project}" if project else "the site"
    name = f"projects.{project}.anonymisation" if project else "anonymisation"
    needs = "an owner of the project" if project else "an administrator of the server"
    text = document.script(wanted, place)
    if text is not None:
        yield Item(
            f"{name}.script",
            document.where(place),
            _normal(text),
            partial(_read_script, server, base, whose),
            lambda _before: server.put_text(base, f"store the script of {whose}", text),
            rank=Rank.CLOSING,
            needs=needs,
            show=_digest,
        )
    yield Item(
        f"{name}.enabled",
        document.where((*place, "enabled")),
        wanted.enabled,
        lambda: server.find(f"{base}/enabled", f"read whether {whose} anonymises"),
        lambda _before: _send_switch(server, f"{base}/enabled", whose, enabled=wanted.enabled),
        rank=Rank.CLOSING if wanted.enabled else Rank.OPENING,
        needs=needs,
    )


def _read_script(server: SiteServer, base: str, whose: str) -> str | None:
    text = server.find_text(base, f"read the script of {whose}")
    return None if text is None else _normal(text)


def _send_switch(server: SiteServer, path: str, whose: str, *, enabled: bool) -> None:
    server.send_json("PUT", path, f"switch the anonymisation of {whose}", enabled)


def _normal(text: str) -> str:
    """Return a script without what servers change about line ends."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _digest(text: str | None) -> str:
    if text is None:
        return "(not there)"
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"script of {len(text.splitlines())} lines ({digest})"


# Container server ------------------------------------------------------------------------------


def _container_server_items(document: SiteDocument, server: SiteServer) -> Iterator[Item]:
    wanted = document.site.container_server
    if wanted is None:
        return
    for field in sorted(wanted.model_fields_set):
        key = field.replace("_", "-")
        value = getattr(wanted, field)
        yield Item(
            f"container_server.{field}",
            document.where(("container_server", field)),
            value,
            partial(_read_server, server, key),
            partial(_write_server, server, key, value),
            needs=MANAGER,
        )


def _server_settings(server: SiteServer) -> dict[str, Any] | None:
    found = server.find("/xapi/docker/server", "read the settings of the container server")
    return dict(found) if isinstance(found, dict) else None


def _read_server(server: SiteServer, key: str) -> Any:
    settings = _server_settings(server)
    return None if settings is None else settings.get(key)


def _write_server(server: SiteServer, key: str, value: Any, _before: Any) -> None:
    # The service replaces all settings by what it is sent, so the others go with it unchanged.
    settings = {
        name: each
        for name, each in (_server_settings(server) or {}).items()
        if name not in _SERVER_KEYS_OF_THE_ANSWER
    }
    server.send_json(
        "POST", "/xapi/docker/server", "change the container server", {**settings, key: value}
    )


# Commands --------------------------------------------------------------------------------------


def _command_items(
    document: SiteDocument, server: SiteServer, wanted: WantedCommand
) -> Iterator[Item]:
    definition = wanted.definition
    where = document.where(wanted.place)
    yield Item(
        f"commands.{definition.name}",
        where,
        definition,
        partial(server.definition, definition),
        partial(_write_command, server, definition),
        needs=MANAGER,
        show=_describe_command,
    )
    for wrapper in definition.wrappers:
        yield Item(
            f"commands.{definition.name}.{wrapper.name}.enabled",
            where,
            wanted.enabled,
            partial(_read_enabled, server, definition, wrapper.name),
            partial(_write_enabled, server, definition, wrapper.name, wanted.enabled),
            rank=Rank.ENABLING,
            needs=MANAGER,
        )


def _describe_command(command: Command | None) -> str:
    if command is None:
        return "(not there)"
    text = repr(sorted(command_to_json(command).items()))
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"version {command.version}, image {command.image} ({digest})"


def _write_command(server: SiteServer, definition: Command, before: Any) -> None:
    if before is None:
        body = command_to_json(definition, creation=True)
        server.send_json("POST", "/xapi/commands", f"register command {definition.name}", body)
        return
    row = server.stored_command(definition)
    if row is not None:
        # Complete, because the service keeps what an update leaves out.
        body = command_to_json(definition, complete=True)
        path = path_of("xapi", "commands", str(row["id"]))
        server.send_json("POST", path, f"change command {definition.name}", body)


def _read_enabled(server: SiteServer, definition: Command, wrapper: str) -> bool | None:
    path = server.wrapper_path(definition, wrapper)
    if path is None:
        return None
    found = server.find(f"{path}/enabled", f"read whether {wrapper} is enabled for the site")
    return found if isinstance(found, bool) else None


def _write_enabled(
    server: SiteServer,
    definition: Command,
    wrapper: str,
    enabled: bool,  # noqa: FBT001 - bound by name of the item
    _before: Any,
) -> None:
    path = server.wrapper_path(definition, wrapper)
    if path is None:
        raise NotFoundError(f"command {definition.name} is not registered with this wrapper.")
    word = "enabled" if enabled else "disabled"
    server.put(f"{path}/{word}", f"have {wrapper} {word} for the site")


# People ----------------------------------------------------------------------------------------


def _people_items(document: SiteDocument, server: SiteServer) -> Iterator[Item]:
    for n, person in enumerate(document.site.people):
        for kind, names in (("roles", person.roles), ("groups", person.groups)):
            for m, name in enumerate(names):
                yield Item(
                    f"people.{person.login}.{kind}.{name}",
                    document.where(("people", n, kind, m)),
                    True,  # noqa: FBT003 - the wanted value
                    partial(_has_grant, server, person.login, kind, name),
                    partial(_grant, server, person.login, kind, name),
                    rank=Rank.OPENING,
                )


def _has_grant(server: SiteServer, login: str, kind: str, name: str) -> bool:
    server.require_account(login)
    found = server.get(path_of("xapi", "users", login, kind), f"read the {kind} of {login}")
    return name in found


def _grant(server: SiteServer, login: str, kind: str, name: str, _before: Any) -> None:
    path = path_of("xapi", "users", login, kind, name)
    server.put(path, f"give {login} the {kind.removesuffix('s')} {name}")
