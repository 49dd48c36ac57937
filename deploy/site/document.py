"""A site file read and checked line by line, templates applied and commands found.

Not here: what the parts may say (``model``), the server (``reading``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from commands.catalog import find
from commands.errors import CommandDefinitionError, UnknownCommandError
from commands.model import Command, Wrapper, WrapperInputType
from commands.service_json import command_from_json
from deploy.checked_yaml import Lines, Place, Problem, place_of, sentence_of
from deploy.site.errors import SiteFileError
from deploy.site.model import FOLDER, Anonymisation, Site, SiteProject, Subscription

_WHAT = "site file"
_LISTS = ("owners", "members", "collaborators", "groups", "commands")
_GROUPS = ("owners", "members", "collaborators")
_STANDARD = frozenset({*_GROUPS, *(name.removesuffix("s") for name in _GROUPS)})


@dataclass(frozen=True, slots=True)
class WantedCommand:
    """A command of the file with its definition and where the file names it."""

    place: Place
    definition: Command
    enabled: bool


class SiteDocument:
    """A site file.

    Parameters
    ----------
    path : Path
        The file; other files are named relative to its folder.

    Attributes
    ----------
    site : Site
        What it says.
    commands : mapping
        Wanted commands by name.
    projects : list of (Place, SiteProject)
        Projects with what their templates say, and where they stand.

    Raises
    ------
    SiteFileError
        The file says something that a site file cannot; each line is named.
    """

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path, _WHAT, SiteFileError)
        data = self._lines.data
        try:
            context = {FOLDER: str(path.absolute().parent)}
            self.site = Site.model_validate(data, context=context)
        except ValidationError as error:
            problems = [(place_of(each), sentence_of(each, Site, _WHAT)) for each in error.errors()]
            raise self._lines.refusal(problems) from None
        found: list[Problem] = []
        self.commands = self._find_commands(found)
        self.projects = self._fill_projects(found)
        found += _cross_check(self.site, self.commands, self.projects)
        if found:
            raise self._lines.refusal(found)

    def where(self, place: Place) -> str:
        """Return ``file:line`` of a part."""
        return self._lines.where(place)

    def script(self, part: Anonymisation, place: Place) -> str | None:
        """Return the script that an anonymisation names; None if it names none.

        Raises
        ------
        SiteFileError
            There is no such profile, or the file is no text.
        """
        if part.script is not None:
            try:
                return Path(part.script).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise self._lines.refusal(
                    [((*place, "script"), "this is no UTF-8 text")]
                ) from error
        if part.profile is None:
            return None
        # The profiles need libraries that plain administration does not.
        from containers.scrub_headers.import_script import import_script  # noqa: PLC0415 # see above
        from containers.scrub_headers.profile import load_profile, profile_names  # noqa: PLC0415  # see above

        if part.profile not in profile_names():
            known = ", ".join(profile_names())
            problem = f"there is no such profile; there are {known}"
            raise self._lines.refusal([((*place, "profile"), problem)])
        return import_script(load_profile(part.profile))

    def _find_commands(self, problems: list[Problem]) -> Mapping[str, WantedCommand]:
        found: dict[str, WantedCommand] = {}
        for n, command in enumerate(self.site.commands):
            place: Place = ("commands", n)
            try:
                if command.name is not None:
                    definition = find(command.name)
                else:
                    content = Path(command.file or "").read_bytes()
                    definition = command_from_json(json.loads(content))
            except (UnknownCommandError, CommandDefinitionError) as error:
                problems.append((place, " ".join(str(error).split())))
            except (OSError, ValueError):
                problems.append(((*place, "file"), "this is no JSON"))
            else:
                if definition.name in found:
                    problems.append((place, f"command {definition.name} is there twice"))
                elif not definition.version:
                    problems.append((place, "the command has no version"))
                found[definition.name] = WantedCommand(place, definition, command.enabled)
        return found

    def _fill_projects(self, problems: list[Problem]) -> list[tuple[Place, SiteProject]]:
        filled = []
        for n, project in enumerate(self.site.projects):
            place: Place = ("projects", n)
            if project.template is None:
                filled.append((place, project))
            elif project.template not in self.site.templates:
                problems.append(((*place, "template"), "the file has no template of this name"))
            else:
                filled.append((place, _merged(project, self.site)))
        return filled


def arrival_name(project: str) -> str:
    """Return the name of a project's subscription to arriving sessions."""
    return f"arrival in {project}"


def session_wrappers(wrappers: Sequence[Wrapper]) -> list[Wrapper]:
    """Return the wrappers that take a session."""
    return [
        each
        for each in wrappers
        if [one.type for one in each.external_inputs] == [WrapperInputType.SESSION]
    ]


def _merged(project: SiteProject, site: Site) -> SiteProject:
    """Return a project with what its template says: its own values first, lists together."""
    template = site.templates[project.template or ""]
    said = {name: getattr(template, name) for name in template.model_fields_set}
    own = {name: getattr(project, name) for name in project.model_fields_set}
    merged: dict[str, Any] = {**said, **own}
    for name in _LISTS:
        mine = own.get(name, [])
        taken = {getattr(each, "name", each) for each in mine}
        # Who is named in another group of the project itself is not what the template says.
        if name in _GROUPS:
            taken |= {login for group in _GROUPS for login in own.get(group, [])}
            taken |= {login for group in own.get("groups", []) for login in group.people}
        rest = [each for each in said.get(name, []) if getattr(each, "name", each) not in taken]
        if mine or rest:
            merged[name] = [*mine, *rest]
    return project.model_copy(update=merged)


# What no part can know by itself --------------------------------------------------------------


def _cross_check(
    site: Site,
    commands: Mapping[str, WantedCommand],
    projects: Sequence[tuple[Place, SiteProject]],
) -> Iterator[Problem]:
    closed = site.properties.get("securityAllowNonPrivateProjects") == "false"
    yield from _twice(("projects",), [project.id.lower() for project in site.projects], "id")
    yield from _twice(("subscriptions",), [one.name for one in site.subscriptions], "name")
    titles = [f"{one.ae_title} {one.port}" for one in site.receivers]
    yield from _twice(("receivers",), titles, "ae_title")
    yield from _twice(("people",), [person.login.lower() for person in site.people], "login")
    for place, project in projects:
        if closed and project.accessibility in {"protected", "public"}:
            yield (
                (*place, "accessibility"),
                "'securityAllowNonPrivateProjects: false' in this file forbids it",
            )
        yield from _check_people(place, project)
        yield from _twice((*place, "groups"), [one.name.lower() for one in project.groups], "name")
        yield from _twice((*place, "commands"), [one.name for one in project.commands], "name")
        for n, one in enumerate(project.commands):
            yield from _check_inputs((*place, "commands", n), one.name, one.defaults, commands)
        yield from _check_arrival((*place, "on_arrival"), project, site, commands)
    for n, subscription in enumerate(site.subscriptions):
        yield from _check_subscription(("subscriptions", n), subscription, commands)


def _twice(place: Place, names: Sequence[str], key: str) -> Iterator[Problem]:
    for n, name in enumerate(names):
        if name in names[:n]:
            yield (*place, n, key), "this name is there twice"


def _check_people(place: Place, project: SiteProject) -> Iterator[Problem]:
    seen: set[str] = set()
    for group in _GROUPS:
        for n, login in enumerate(getattr(project, group)):
            if login.lower() in seen:
                yield (*place, group, n), "this login is in the project twice"
            seen.add(login.lower())
    for n, own in enumerate(project.groups):
        if own.name.lower() in _STANDARD:
            yield (*place, "groups", n, "name"), "every project has a group of this name"
        for m, login in enumerate(own.people):
            if login.lower() in seen:
                yield (*place, "groups", n, "people", m), "this login is in the project twice"
            seen.add(login.lower())
    if project.exclusive and not project.owners:
        yield (*place, "exclusive"), "an exclusive project needs 'owners', or nobody could run it"


def _check_inputs(
    place: Place, name: str, values: Mapping[str, str], commands: Mapping[str, WantedCommand]
) -> Iterator[Problem]:
    if name not in commands:
        known = ", ".join(sorted(commands)) or "none"
        yield place, f"'commands' of this file has no command {name}; it has {known}"
        return
    definition = commands[name].definition
    inputs: set[str] = set()
    for wrapper in definition.wrappers:
        own = (*wrapper.external_inputs, *wrapper.derived_inputs)
        # What the wrapper takes from the object is not for anybody to set.
        fed = {each.provides_value_for_command_input for each in own}
        inputs |= {each.name for each in own}
        inputs |= {each.name for each in definition.inputs if each.name not in fed}
    for value in values:
        if value not in inputs:
            yield place, f"command {name} has no input {value}; it has {', '.join(sorted(inputs))}"


def _check_arrival(
    place: Place, project: SiteProject, site: Site, commands: Mapping[str, WantedCommand]
) -> Iterator[Problem]:
    if project.on_arrival is None:
        return
    names = project.on_arrival.commands
    contexts: list[set[str]] = []
    enabled = {one.name for one in project.commands if one.enabled}
    for n, name in enumerate(names):
        here: Place = (*place, "commands", n)
        if name in names[:n]:
            yield here, "this name is there twice"
        elif name not in enabled:
            yield here, f"'commands' of project {project.id} does not enable {name}"
        elif name in commands:
            found = session_wrappers(commands[name].definition.wrappers)
            contexts += [set(each.contexts) for each in found]
            if len(found) != 1:
                count = len(found)
                yield here, f"this command has {count} wrappers that take a session, one is needed"
    if contexts and not set.intersection(*contexts):
        yield place, "the wrappers of these commands must name a data type in common"
    if arrival_name(project.id) in {one.name for one in site.subscriptions}:
        yield place, f"a subscription of this file is called {arrival_name(project.id)}, as this is"


def _check_subscription(
    place: Place, subscription: Subscription, commands: Mapping[str, WantedCommand]
) -> Iterator[Problem]:
    yield from _check_inputs(place, subscription.command, subscription.parameters, commands)
    if subscription.command not in commands:
        return
    wrappers = [each.name for each in commands[subscription.command].definition.wrappers]
    if subscription.wrapper is None and len(wrappers) != 1:
        yield place, f"name the 'wrapper': the command has {', '.join(wrappers) or 'none'}"
    if subscription.wrapper is not None and subscription.wrapper not in wrappers:
        yield (*place, "wrapper"), f"the command has no such wrapper; it has {', '.join(wrappers)}"
