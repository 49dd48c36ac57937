"""The items of projects, and of commands in them.

Not here: the site itself (``parts_site``), launches on events (``parts_events``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from commands.model import Command
from deploy.checked_yaml import Place
from deploy.site.document import SiteDocument
from deploy.site.items import Item, Rank
from deploy.site.model import SiteProject
from deploy.site.parts_events import arrival_items, subscription_items
from deploy.site.parts_groups import group_items
from deploy.site.parts_receiving import filter_items
from deploy.site.parts_site import script_items
from deploy.site.server import SiteServer
from xnat_client.address import path_of
from xnat_client.errors import NotFoundError
from xnat_client.projects import create_project

OWNER = "an owner of the project"
GROUPS = {"owners": "owner", "members": "member", "collaborators": "collaborator"}
"""Groups of the file and the suffix of XNAT's group IDs (``P_owner``)."""

PREARCHIVE = {"wait": "0", "archive": "4", "overwrite": "5"}
"""What happens to arriving sessions, and XNAT's codes for it."""

_FIELDS = {"title": "name", "description": "description"}


def project_items(document: SiteDocument, server: SiteServer) -> Iterator[Item]:
    """Yield the items of a file's projects and subscriptions."""
    for place, project in document.projects:
        yield from _record_items(document, server, project, place)
        yield from _people_items(document, server, project, place)
        yield from group_items(document, server, project, place)
        if project.anonymisation is not None:
            yield from script_items(
                document, server, project.anonymisation, (*place, "anonymisation"), project.id
            )
        if project.import_filter is not None:
            yield from filter_items(
                document, server, project.import_filter, (*place, "import_filter"), project.id
            )
        yield from _command_items(document, server, project, place)
        if project.on_arrival is not None:
            yield from arrival_items(document, server, project, place)
    yield from subscription_items(document, server)


# The record ------------------------------------------------------------------------------------


def _record_items(
    document: SiteDocument, server: SiteServer, project: SiteProject, place: Place
) -> Iterator[Item]:
    base = path_of("data", "projects", project.id)
    yield Item(
        f"projects.{project.id}",
        document.where(place),
        "there",
        lambda: None if server.project_fields(project.id) is None else "there",
        lambda _before: _create(server, project),
        rank=Rank.PROJECT,
        needs="the right to make projects (an administrator has it)",
        show=lambda value: "(not there)" if value is None else "a new private project",
    )
    for field, key in _FIELDS.items():
        value = getattr(project, field)
        if value is not None:
            yield Item(
                f"projects.{project.id}.{field}",
                document.where((*place, field)),
                value,
                partial(_read_field, server, project.id, key),
                partial(_write_field, server, project.id, key, value),
                needs=OWNER,
            )
    if project.accessibility is not None:
        level = project.accessibility
        closing = level == "private"
        yield Item(
            f"projects.{project.id}.accessibility",
            document.where((*place, "accessibility")),
            level,
            lambda: _stripped(server.find_text(f"{base}/accessibility", "read who sees it")),
            # XNAT takes any other word for private; the reading back proves what it took.
            lambda _before: server.put(f"{base}/accessibility/{level}", f"make it {level}"),
            rank=Rank.CLOSING if closing else Rank.OPENING,
            needs=OWNER,
        )
    if project.prearchive is not None:
        mode = project.prearchive
        words = {code: word for word, code in PREARCHIVE.items()}
        yield Item(
            f"projects.{project.id}.prearchive",
            document.where((*place, "prearchive")),
            mode,
            lambda: _word(server.find_text(f"{base}/prearchive_code", "read its code"), words),
            lambda _before: server.put(
                f"{base}/prearchive_code/{PREARCHIVE[mode]}", f"set its prearchive to {mode}"
            ),
            needs=OWNER,
        )


def _create(server: SiteServer, project: SiteProject) -> None:
    create_project(server.transport, project.id, project.title, project.description or "")


def _stripped(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _word(text: str | None, words: Mapping[str, str]) -> str | None:
    return None if text is None else words.get(text.strip(), text.strip())


def _read_field(server: SiteServer, project: str, key: str) -> str | None:
    fields = server.project_fields(project)
    return None if fields is None else fields.get(key, "")


def _write_field(server: SiteServer, project: str, key: str, value: str, _before: Any) -> None:
    query = {"xsiType": "xnat:projectData", f"xnat:projectData/{key}": value}
    server.put(path_of("data", "projects", project), f"set its {key}", **query)


# People ----------------------------------------------------------------------------------------


def _people_items(
    document: SiteDocument, server: SiteServer, project: SiteProject, place: Place
) -> Iterator[Item]:
    named: set[str] = set()
    for group, suffix in GROUPS.items():
        for n, login in enumerate(getattr(project, group)):
            named.add(login)
            yield Item(
                f"projects.{project.id}.people.{login}",
                document.where((*place, group, n)),
                suffix,
                partial(_read_member, server, project.id, login),
                partial(_write_member, server, project.id, login, suffix),
                rank=Rank.PLAIN if group == "owners" else Rank.OPENING,
                needs=OWNER,
            )
    named |= {login for group in project.groups for login in group.people}
    if project.exclusive:
        yield Item(
            f"projects.{project.id}.people (others)",
            document.where((*place, "exclusive")),
            [],
            partial(_read_others, server, project.id, frozenset(named)),
            partial(_remove_others, server, project.id, frozenset(named)),
            # After the owners are in, so that the project is never without one.
            rank=Rank.LEAVING,
            needs=OWNER,
        )


def _read_member(server: SiteServer, project: str, login: str) -> str | None:
    server.require_account(login)
    members = server.members(project)
    return None if members is None else members.get(login)


def _write_member(server: SiteServer, project: str, login: str, suffix: str, _before: Any) -> None:
    server.require_account(login)
    path = path_of("data", "projects", project, "users", f"{project}_{suffix}", login)
    server.put(path, f"make {login} its {suffix}")


def _read_others(server: SiteServer, project: str, named: frozenset[str]) -> list[str]:
    members = server.members(project)
    if members is None:
        # Whoever makes a project is its owner; so the plan can tell of the removal beforehand.
        return sorted({server.own_login()} - named)
    return sorted(
        login
        for login, suffix in members.items()
        if login not in named and suffix in GROUPS.values()
    )


def _remove_others(server: SiteServer, project: str, named: frozenset[str], _before: Any) -> None:
    members = server.members(project) or {}
    for login in _read_others(server, project, named):
        path = path_of("data", "projects", project, "users", f"{project}_{members[login]}", login)
        server.delete(path, f"take {login} out of it")


# Commands --------------------------------------------------------------------------------------


def _command_items(
    document: SiteDocument, server: SiteServer, project: SiteProject, place: Place
) -> Iterator[Item]:
    for n, wanted in enumerate(project.commands):
        definition = document.commands[wanted.name].definition
        where = document.where((*place, "commands", n))
        for wrapper in definition.wrappers:
            base = f"projects.{project.id}.commands.{wanted.name}.{wrapper.name}"
            yield Item(
                f"{base}.enabled",
                where,
                wanted.enabled,
                partial(_read_enabled, server, definition, wrapper.name, project.id),
                partial(
                    _write_enabled, server, definition, wrapper.name, project.id, wanted.enabled
                ),
                rank=Rank.ENABLING,
                needs=OWNER,
            )
            for name, value in wanted.defaults.items():
                yield Item(
                    f"{base}.defaults.{name}",
                    where,
                    value,
                    partial(_read_default, server, definition, wrapper.name, project.id, name),
                    partial(
                        _write_default, server, definition, wrapper.name, project.id, name, value
                    ),
                    needs=OWNER,
                )


def _read_enabled(
    server: SiteServer, definition: Command, wrapper: str, project: str
) -> bool | None:
    path = server.wrapper_path(definition, wrapper, project=project)
    if path is None or server.project_fields(project) is None:
        return None
    found = server.find(f"{path}/enabled", f"read whether {wrapper} is enabled")
    return bool(found.get("enabled-for-project")) if isinstance(found, dict) else None


def _write_enabled(
    server: SiteServer,
    definition: Command,
    wrapper: str,
    project: str,
    enabled: bool,  # noqa: FBT001 - see above
    _before: Any,
) -> None:
    word = "enabled" if enabled else "disabled"
    path = _required_path(server, definition, wrapper, project)
    server.put(f"{path}/{word}", f"have {wrapper} {word}")


def _required_path(server: SiteServer, definition: Command, wrapper: str, project: str) -> str:
    path = server.wrapper_path(definition, wrapper, project=project)
    if path is None:
        raise NotFoundError(f"command {definition.name} is not registered with this wrapper.")
    return path


def _read_default(
    server: SiteServer, definition: Command, wrapper: str, project: str, name: str
) -> str | None:
    path = server.wrapper_path(definition, wrapper, project=project)
    if path is None or server.project_fields(project) is None:
        return None
    found = server.find(f"{path}/config", f"read the settings of {wrapper}")
    value = ((found or {}).get("inputs") or {}).get(name, {}).get("default-value")
    return None if value is None else str(value)


def _write_default(  # noqa: PLR0913, PLR0917 - bound by the item
    server: SiteServer,
    definition: Command,
    wrapper: str,
    project: str,
    name: str,
    value: str,
    _before: Any,
) -> None:
    path = _required_path(server, definition, wrapper, project)
    found = dict(server.find(f"{path}/config", f"read the settings of {wrapper}") or {})
    inputs = {key: dict(entry) for key, entry in (found.get("inputs") or {}).items()}
    inputs.setdefault(name, {})["default-value"] = value
    # The service replaces the whole settings, so the others go with it as they apply now.
    server.send_json(
        "POST", f"{path}/config", f"set the default of {name}", {**found, "inputs": inputs}
    )
