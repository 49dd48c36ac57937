"""The seed of a sandbox as a document: what it may say, read from YAML and checked line by line.

Every scalar is text, as XNAT's values are: nothing is guessed to be a number, a date or a boolean.
Keys are the fields of the classes below; unknown ones are refused. Not here: filling a server with
it (``deploy.seeding``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails

from commands.catalog import commands

Place = tuple[int | str, ...]

MAX_BYTES = 4 * 1024 * 1024
_FOLDER = "folder"
_MOST_SHOWN = 20


class SeedError(Exception):
    """A seed cannot be read; the message names the file and each line that must be mended."""

    exit_code = 3


def _path_of(text: str, info: ValidationInfo) -> str:
    folder = (info.context or {})[_FOLDER]
    return str(Path(folder, Path(text).expanduser()))


def _existing(text: str, info: ValidationInfo) -> str:
    path = Path(_path_of(text, info))
    if not (path.is_file() or path.is_dir()):
        raise ValueError(f"there is no file or folder {path}")
    return str(path)


def _existing_folder(text: str, info: ValidationInfo) -> str:
    path = Path(_path_of(text, info))
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return str(path)


def _variable(name: str) -> str:
    if not os.environ.get(name):
        raise ValueError(f"the environment variable {name} is not set")
    return name


def _catalogued(name: str) -> str:
    known = [command.name for command in commands()]
    if name not in known:
        raise ValueError(f"the catalogue has no such command; it has {', '.join(known)}")
    return name


def _text(pattern: str) -> Any:
    return StringConstraints(pattern=pattern, max_length=64)


Login = Annotated[str, _text(r"^[A-Za-z0-9._-]+$")]
ProjectId = Annotated[str, _text(r"^[A-Za-z0-9_-]+$")]
Label = Annotated[str, _text(r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
XsiType = Annotated[str, _text(r"^[A-Za-z][\w]*:[A-Za-z]\w*$")]
Source = Annotated[str, AfterValidator(_existing)]
SourceFolder = Annotated[str, AfterValidator(_existing_folder)]
Fields = dict[Annotated[str, StringConstraints(min_length=1)], str]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeedUser(_Part):
    """An account; without ``password_from`` (an environment variable) its password is made up."""

    login: Login
    email: str | None = None
    roles: list[Literal["Administrator", "Container Manager", "DataManager"]] = []
    password_from: Annotated[str, AfterValidator(_variable)] | None = None


class SeedResource(_Part):
    """A resource; a folder among its files gives everything below it, with its paths."""

    label: Label
    format: str = ""
    content: str = ""
    files: list[Source] = []


class SeedScan(_Part):
    """A scan of a session."""

    id: Label
    type: XsiType = "xnat:mrScanData"
    fields: Fields = {}
    resources: list[SeedResource] = []


class SeedSession(_Part):
    """A session: described here, or imported from a folder of DICOM files."""

    label: Label
    type: XsiType | None = None
    dicom: SourceFolder | None = None
    fields: Fields = {}
    scans: list[SeedScan] = []
    resources: list[SeedResource] = []

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if (self.type is None) == (self.dicom is None):
            raise ValueError("a session has either a 'type' or a 'dicom' folder")
        if self.dicom is not None and self.scans:
            raise ValueError("the scans of a session come from its 'dicom' folder")
        return self


class SeedSubject(_Part):
    """A subject."""

    label: Label
    fields: Fields = {}
    sessions: list[SeedSession] = []
    resources: list[SeedResource] = []


class SeedMembers(_Part):
    """Logins by group; whoever is in several has the rights of the first."""

    owners: list[Login] = []
    members: list[Login] = []
    collaborators: list[Login] = []


class SeedProject(_Part):
    """A project; private unless it says otherwise."""

    id: ProjectId
    title: str = ""
    description: str = ""
    accessibility: Literal["private", "protected", "public"] = "private"
    members: SeedMembers = SeedMembers()
    subjects: list[SeedSubject] = []
    resources: list[SeedResource] = []


class SeedCommand(_Part):
    """A command of the catalogue or of a JSON file, enabled for the site and in projects."""

    name: Annotated[str, AfterValidator(_catalogued)] | None = None
    file: Source | None = None
    projects: list[ProjectId] = []

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if (self.name is None) == (self.file is None):
            raise ValueError("a command has either a 'name' of the catalogue or a 'file'")
        return self


class Seed(_Part):
    """All that a new site is filled with."""

    users: list[SeedUser] = []
    projects: list[SeedProject] = []
    commands: list[SeedCommand] = []


class SeedDocument:
    """A seed with the place of each of its parts.

    Parameters
    ----------
    path : Path
        The file; other files are named relative to its folder.

    Raises
    ------
    SeedError
        The file cannot be read, is no YAML, or says something that a seed cannot.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[Place, int] = {}
        node = self._compose()
        data = self._plain(node, ())
        try:
            context = {_FOLDER: str(path.absolute().parent)}
            self.seed = Seed.model_validate(data, context=context)
        except ValidationError as error:
            problems = [(_place(each), _sentence(each)) for each in error.errors()]
            raise self._refusal(problems) from None
        if problems := list(_cross_check(self.seed)):
            raise self._refusal(problems)

    def where(self, place: Place) -> str:
        """Return ``file:line`` of a part, or of the nearest part around it."""
        return f"{self._path}:{self._line(place)}"

    def _line(self, place: Place) -> int:
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def _refusal(self, problems: list[tuple[Place, str]]) -> SeedError:
        ordered = sorted(problems, key=lambda each: self._line(each[0]))
        shown = [
            f"{self.where(place)}: {_spelled(place)}{sentence}"
            for place, sentence in ordered[:_MOST_SHOWN]
        ]
        more = len(problems) - len(shown)
        rest = [f"... and {more} more."] if more else []
        return SeedError("\n".join(["The seed was not used:", *shown, *rest]))

    def _compose(self) -> yaml.Node:
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise SeedError(f"The seed {self._path} is larger than {MAX_BYTES} bytes.")
            node = yaml.compose(content, Loader=_Loader)
        except OSError as error:
            raise SeedError(f"Cannot read the seed {self._path}: {error.strerror}.") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise SeedError(f"{self._path}:{line}: this is no YAML: {error.problem}.") from None
        except (yaml.YAMLError, RecursionError) as error:
            raise SeedError(f"{self._path} is no YAML text.") from error
        if node is None:
            raise SeedError(f"The seed {self._path} is empty.")
        return node

    def _plain(self, node: yaml.Node, place: Place) -> Any:
        """Return texts, lists and dictionaries, and note the line of each."""
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(each, (*place, n)) for n, each in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return node.value
        members: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            self._lines[(*place, key)] = key_node.start_mark.line + 1
            if key in members:
                raise self._refusal([((*place, key), "this key is there twice")])
            members[key] = self._plain(value_node, (*place, key))
        return members


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a part that means many cannot be told by its line."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # not in the stubs
            raise yaml.composer.ComposerError(None, None, "aliases are not taken", mark)
        return super().compose_node(parent, index)


def _place(error: ErrorDetails) -> Place:
    return tuple(error["loc"])


def _spelled(place: Place) -> str:
    """Return a place as ``projects[0].title``, followed by a colon; nothing for the whole."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{text.removeprefix('.')}: " if text else ""


def _sentence(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        known, name = _keys_at(_place(error)), str(error["loc"][-1])
        close = get_close_matches(name, known, 1)
        meant = f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known)}"
        return f"a seed has no such key here{meant}"
    if kind == "missing":
        return "this key is needed"
    if kind == "literal_error":
        return f"this must be {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"this must match {context['pattern']}"
    if kind in {"list_type", "dict_type", "model_type", "string_type"}:
        shape = {"list_type": "a list", "string_type": "a text"}.get(kind, "keys with values")
        return f"this must be {shape}"
    return error["msg"].removeprefix("Value error, ")


def _keys_at(place: Place) -> list[str]:
    """Return the keys that are known where this one is not."""
    model: type[BaseModel] = Seed
    for part in place[:-1]:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def _cross_check(seed: Seed) -> Iterator[tuple[Place, str]]:
    """Yield what no part can know by itself: names that are there twice or not at all."""
    yield from _twice(("users",), [user.login.lower() for user in seed.users], "login")
    yield from _twice(("projects",), [project.id.lower() for project in seed.projects], "id")
    logins = {"admin", *(user.login for user in seed.users)}
    for n, project in enumerate(seed.projects):
        for group, names in project.members:
            for m, name in enumerate(names):
                if name not in logins:
                    yield ("projects", n, "members", group, m), "the seed has no such user"
        yield from _twice_in_project(("projects", n), project)
    projects = {project.id for project in seed.projects}
    for n, command in enumerate(seed.commands):
        for m, name in enumerate(command.projects):
            if name not in projects:
                yield ("commands", n, "projects", m), "the seed has no such project"
    if any(user.login.lower() in {"admin", "guest"} for user in seed.users):
        place = next(n for n, u in enumerate(seed.users) if u.login.lower() in {"admin", "guest"})
        yield ("users", place, "login"), "every site has this user already"


def _twice_in_project(place: Place, project: SeedProject) -> Iterator[tuple[Place, str]]:
    place = (*place, "subjects")
    yield from _twice(place, [subject.label for subject in project.subjects], "label")
    seen: set[str] = set()
    for n, subject in enumerate(project.subjects):
        for m, session in enumerate(subject.sessions):
            at = (*place, n, "sessions", m)
            if session.label in seen:
                yield (*at, "label"), "the project has another session of this label"
            seen.add(session.label)
            yield from _twice((*at, "scans"), [scan.id for scan in session.scans], "id")


def _twice(place: Place, names: list[str], key: str) -> Iterator[tuple[Place, str]]:
    for n, name in enumerate(names):
        if name in names[:n]:
            yield (*place, n, key), "this name is there twice"
