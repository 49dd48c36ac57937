"""The shape of a command: frozen dataclasses that mirror the XNAT Container Service model.

Every key of the Container Service command document (version 3.7.3) has a field here, so that
commands written by other authors load without loss. Not here: JSON (``service_json``),
command-line replacement (``substitution``), argument parsing (``arguments``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

DEFAULT_COMMAND_LINE_SEPARATOR = " "
MAX_COMMAND_LINE_LENGTH = 2048
"""Characters the Container Service stores of a command line."""

_EMPTY: Mapping[str, str] = MappingProxyType({})


class CommandType(StrEnum):
    """What a command is for."""

    DOCKER = "docker"
    DOCKER_SETUP = "docker-setup"
    DOCKER_WRAPUP = "docker-wrapup"


class CommandInputType(StrEnum):
    """Type of a command input's value."""

    STRING = "string"
    BOOLEAN = "boolean"
    NUMBER = "number"
    SELECT_ONE = "select-one"
    SELECT_MANY = "select-many"
    FILE = "file"


class WrapperInputType(StrEnum):
    """Type of a wrapper input: a plain value or an XNAT object."""

    STRING = "string"
    BOOLEAN = "boolean"
    NUMBER = "number"
    DIRECTORY = "Directory"
    FILES = "File[]"
    FILE = "File"
    PROJECT = "Project"
    PROJECT_ASSET = "ProjectAsset"
    SUBJECT = "Subject"
    SUBJECT_ASSESSOR = "SubjectAssessor"
    SESSION = "Session"
    SCAN = "Scan"
    ASSESSOR = "Assessor"
    RESOURCE = "Resource"
    CONFIG = "Config"
    UPLOADED_FILE = "file"


class Delimiter(StrEnum):
    """How several values of one input are joined on the command line."""

    QUOTED_SPACE = "quoted-space"
    SPACE = "space"
    COMMA = "comma"
    FLAG = "flag"


class HandlerType(StrEnum):
    """What an output handler makes of a command output."""

    RESOURCE = "Resource"
    ASSESSOR = "Assessor"
    SCAN = "Scan"


class Visibility(StrEnum):
    """Who may see and run a command."""

    PUBLIC = "public"
    PROTECTED = "protected"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the container; the name links it to wrapper inputs and outputs."""

    name: str
    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class CommandInput:
    """A value that a command takes.

    ``default_value`` is text, as the service stores it ("true", "3.5"), or None when absent.
    ``replacement_key`` is what the templates contain; None stands for ``#name#``.
    """

    name: str
    label: str | None = None
    description: str | None = None
    type: CommandInputType = CommandInputType.STRING
    required: bool = False
    matcher: str | None = None
    default_value: str | None = None
    replacement_key: str | None = None
    command_line_flag: str | None = None
    command_line_separator: str | None = None
    true_value: str | None = None
    false_value: str | None = None
    sensitive: bool | None = None
    select_values: tuple[str, ...] = ()
    multiple_delimiter: Delimiter | None = None

    @property
    def key(self) -> str:
        """Return the text that templates use for this input's value."""
        own = self.replacement_key
        return own if own and not own.isspace() else f"#{self.name}#"


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """A folder or file below a writable mount that a handler may take."""

    name: str
    mount: str
    description: str | None = None
    required: bool | None = None
    path: str | None = None
    glob: str | None = None


@dataclass(frozen=True, slots=True)
class WrapperInput:
    """What external and derived wrapper inputs have in common."""

    name: str
    type: WrapperInputType = WrapperInputType.STRING
    label: str | None = None
    description: str | None = None
    required: bool = True
    matcher: str | None = None
    default_value: str | None = None
    user_settable: bool = True
    load_children: bool = True
    replacement_key: str | None = None
    sensitive: bool | None = None
    advanced: bool | None = None
    provides_value_for_command_input: str | None = None
    provides_files_for_command_mount: str | None = None
    via_setup_command: str | None = None

    @property
    def key(self) -> str:
        """Return the text that templates use for this input's value."""
        own = self.replacement_key
        return own if own and not own.isspace() else f"#{self.name}#"


@dataclass(frozen=True, slots=True)
class ExternalInput(WrapperInput):
    """A wrapper input whose value comes with the launch request."""


@dataclass(frozen=True, slots=True)
class DerivedInput(WrapperInput):
    """A wrapper input computed from an earlier one."""

    derived_from_wrapper_input: str = ""
    derived_from_xnat_object_property: str | None = None
    multiple: bool = False
    parser: str | None = None


@dataclass(frozen=True, slots=True)
class OutputHandler:
    """Where a command output goes in XNAT."""

    name: str
    accepts_command_output: str
    as_a_child_of: str
    type: HandlerType = HandlerType.RESOURCE
    xsi_type: str | None = None
    label: str | None = None
    format: str | None = None
    description: str | None = None
    content: str | None = None
    tags: tuple[str, ...] = ()
    via_wrapup_command: str | None = None


@dataclass(frozen=True, slots=True)
class Wrapper:
    """How a command is offered on a kind of XNAT object.

    ``contexts`` are xsi types (``xnat:imageSessionData`` covers its subtypes).
    """

    name: str
    label: str | None = None
    description: str | None = None
    contexts: tuple[str, ...] = ()
    external_inputs: tuple[ExternalInput, ...] = ()
    derived_inputs: tuple[DerivedInput, ...] = ()
    output_handlers: tuple[OutputHandler, ...] = ()


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret the service hands to the container under an environment name.

    ``destination`` holds ``type`` (``environment-variable``) and ``identifier`` (its name).
    ``type`` is None in documents that give a type to source and destination only.
    """

    type: str | None
    source: Mapping[str, Any]
    destination: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A complete command document.

    Sizes: ``reserve_memory`` and ``limit_memory`` in MB, ``shm_size`` in bytes, ``limit_cpu``
    in cores.
    """

    name: str
    image: str
    label: str | None = None
    description: str | None = None
    version: str | None = None
    schema_version: str | None = None
    info_url: str | None = None
    type: CommandType = CommandType.DOCKER
    index: str | None = None
    hash: str | None = None
    container_name: str | None = None
    working_directory: str | None = None
    command_line: str | None = None
    override_entrypoint: bool = False
    command_metadata: Any = None
    mounts: tuple[Mount, ...] = ()
    environment_variables: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    ports: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    inputs: tuple[CommandInput, ...] = ()
    outputs: tuple[CommandOutput, ...] = ()
    wrappers: tuple[Wrapper, ...] = ()
    reserve_memory: int | None = None
    limit_memory: int | None = None
    limit_cpu: float | None = None
    runtime: str | None = None
    ipc_mode: str | None = None
    auto_remove: bool | None = None
    shm_size: int | None = None
    network: str | None = None
    container_labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    gpus: str | None = None
    generic_resources: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    ulimits: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    secrets: tuple[Secret, ...] = ()
    visibility: Visibility = Visibility.PUBLIC
