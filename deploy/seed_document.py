"""The seed of a sandbox as a document: what it may say, read from YAML and checked line by line.

Every scalar is text, as XNAT's values are. Keys are the fields of the classes below; unknown ones
are refused. Not here: filling a server with it (``deploy.seeding``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from commands.catalog import commands
from deploy.checked_yaml import Lines, Place, place_of, sentence_of

_WHAT = "seed"
_FOLDER = "folder"


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
        self._lines = Lines(path, _WHAT, SeedError)
        try:
            context = {_FOLDER: str(path.absolute().parent)}
            self.seed = Seed.model_validate(self._lines.data, context=context)
        except ValidationError as error:
            problems = [(place_of(each), sentence_of(each, Seed, _WHAT)) for each in error.errors()]
            raise self._lines.refusal(problems) from None
        if found := list(_cross_check(self.seed)):
            raise self._lines.refusal(found)

    def where(self, place: Place) -> str:
        """Return ``file:line`` of a part, or of the nearest part around it."""
        return self._lines.where(place)


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
