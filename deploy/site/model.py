"""What a site file may say: its parts as checked, unchangeable data.

Keys are the fields of the classes below; unknown ones are refused. What is left out is not
touched on the server. Not here: reading the file (``document``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

FOLDER = "folder"
"""Key of the validation context: the folder that other files are named relative to."""

_SECRET = re.compile(r"password|passwd|secret|credential|apikey|privatekey", re.IGNORECASE)


def _switch(value: Any) -> Any:
    words = {"true": True, "false": False}
    if isinstance(value, str) and value in words:
        return words[value]
    raise ValueError("this must be true or false")


def _number(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise ValueError("this must be a whole number")


def _file(text: str, info: ValidationInfo) -> str:
    path = Path((info.context or {})[FOLDER], Path(text).expanduser())
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return str(path)


def _no_secret(name: str) -> str:
    if _SECRET.search(name):
        raise ValueError("a password does not belong in a site file; set it on the server itself")
    return name


def _text(pattern: str) -> Any:
    return StringConstraints(pattern=pattern, max_length=64)


Login = Annotated[str, _text(r"^[A-Za-z0-9._-]+$")]
ProjectId = Annotated[str, _text(r"^[A-Za-z0-9_-]+$")]
Name = Annotated[str, _text(r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
PropertyName = Annotated[str, _text(r"^[A-Za-z][A-Za-z0-9._-]*$"), AfterValidator(_no_secret)]
File = Annotated[str, AfterValidator(_file)]
Switch = Annotated[bool, BeforeValidator(_switch)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\r\n]*$")]
Port = Annotated[int, BeforeValidator(_number), Field(gt=0, lt=65536)]
Values = dict[Annotated[str, StringConstraints(min_length=1)], str]


class Part(BaseModel):
    """A part of a site file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Anonymisation(Part):
    """The script that XNAT applies to arriving DICOM: of a scrubbing profile, or from a file."""

    profile: str | None = None
    script: File | None = None
    enabled: Switch = True

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if self.profile is not None and self.script is not None:
            raise ValueError("an anonymisation has a 'profile' or a 'script', not both")
        return self


class ImportFilter(Part):
    """Which arriving series are kept: regular expressions, one a line, of SeriesDescription."""

    mode: Literal["blacklist", "whitelist"]
    series: Annotated[list[Line], Field(min_length=1)]
    enabled: Switch = True


class Receiver(Part):
    """A DICOM receiver, known by its AE title and port; what is left out is not compared."""

    ae_title: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,16}$")]
    port: Port
    enabled: Switch = True
    direct_archive: Switch | None = None
    anonymisation: Switch | None = None
    identifier: Annotated[str, _text(r"^[A-Za-z0-9_.]+$")] | None = None
    senders: list[Annotated[str, _text(r"^[!-~]+$")]] | None = None
    project_routing: Line | None = None
    subject_routing: Line | None = None
    session_routing: Line | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Return what it is known by."""
        return self.ae_title, self.port


class ProjectGroup(Part):
    """A group of a project with rights by data type, and who is in it."""

    name: Annotated[str, _text(r"^[A-Za-z0-9_-]+$")]
    rights: dict[
        Annotated[str, _text(r"^[A-Za-z]\w*:[A-Za-z]\w*$")], Literal["none", "read", "edit", "all"]
    ]
    people: list[Login] = []


class ContainerServer(Part):
    """Settings of the Container Service's server; only those that are given are compared."""

    name: str | None = None
    host: str | None = None
    container_user: str | None = None
    path_translation_xnat_prefix: str | None = None
    path_translation_docker_prefix: str | None = None
    pull_images_on_xnat_init: Switch | None = None
    auto_cleanup: Switch | None = None
    status_email_enabled: Switch | None = None


class SiteCommand(Part):
    """A command of this bundle or of a JSON file, and whether the site enables its wrappers."""

    name: str | None = None
    file: File | None = None
    enabled: Switch = True

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if (self.name is None) == (self.file is None):
            raise ValueError("a command has either a 'name' of the catalogue or a 'file'")
        return self


class ProjectCommand(Part):
    """A command in a project; ``defaults`` are the values that its launch form begins with."""

    name: str
    enabled: Switch = True
    defaults: Values = {}


class Arrival(Part):
    """Commands that run one after another on each session that arrives in a project."""

    commands: Annotated[list[str], Field(min_length=1, max_length=10)]
    types: Annotated[
        list[Annotated[str, _text(r"^[A-Za-z]\w*:[A-Za-z]\w*$")]], Field(min_length=1)
    ] = ["xnat:mrSessionData"]
    active: Switch = True


class Template(Part):
    """What several projects have in common."""

    title: str | None = None
    description: str | None = None
    accessibility: Literal["private", "protected", "public"] | None = None
    prearchive: Literal["wait", "archive", "overwrite"] | None = None
    anonymisation: Anonymisation | None = None
    import_filter: ImportFilter | None = None
    owners: list[Login] = []
    members: list[Login] = []
    collaborators: list[Login] = []
    groups: list[ProjectGroup] = []
    exclusive: Switch = False
    commands: list[ProjectCommand] = []
    on_arrival: Arrival | None = None


class SiteProject(Template):
    """A project: made private when it is not there."""

    id: ProjectId
    template: str | None = None


class Subscription(Part):
    """A launch on events; its name is what it is known by."""

    name: Name
    event: Annotated[str, _text(r"^[A-Za-z]+Event$")]
    status: Annotated[str, _text(r"^[A-Z]+$")]
    command: str
    wrapper: str | None = None
    projects: list[ProjectId] = []
    filter: str = ""
    parameters: Values = {}
    as_event_user: Switch = False
    active: Switch = True


class Person(Part):
    """An account that must be there already, and site-wide roles and groups that it must have."""

    login: Login
    roles: list[Annotated[str, StringConstraints(min_length=1)]] = []
    groups: list[Literal["ALL_DATA_ACCESS", "ALL_DATA_ADMIN"]] = []


class Site(Part):
    """All that a site file says."""

    properties: dict[PropertyName, str] = {}
    anonymisation: Anonymisation | None = None
    import_filter: ImportFilter | None = None
    receivers: list[Receiver] = []
    container_server: ContainerServer | None = None
    commands: list[SiteCommand] = []
    people: list[Person] = []
    templates: dict[str, Template] = {}
    projects: list[SiteProject] = []
    subscriptions: list[Subscription] = []
