"""Container engines: one narrow door to whatever runs a container.

``ContainerEngine`` is the abstract engine; ``containers.docker_engine`` speaks to a Docker
daemon, ``containers.swarm_engine`` to the swarm it manages, ``containers.process_engine`` runs
local processes. Nearly nothing else imports the
Docker SDK. Not here: what is inside an image, or how one is built (``build``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

_EMPTY: Mapping[str, str] = MappingProxyType({})

LOG_STREAMS = ("stdout", "stderr")
MAX_LOG_BYTES = 64 * 1024 * 1024
"""What is given back of a stream: a program that prints without end must not fill the memory."""
LOG_CUT = b"\n[The log is longer; the rest is left out.]\n"
KILLED_EXIT_CODE = 137
"""What a shell and Docker report of a program that was ended by SIGKILL: 128 + 9."""


class EngineError(Exception):
    """Root of engine errors.

    Tree::

        EngineError
        ├── EngineUnavailableError   no engine answers (start it, or choose the other one)
        ├── ImageMissingError        the image is not on this machine (build or pull it)
        ├── NotRunnableError         this engine cannot run such a container (use Docker)
        ├── ContainerMissingError    no container of that id
        └── ImageBuildError          an image cannot be built (read its last lines)
    """


class EngineUnavailableError(EngineError):
    """No engine answers."""


class ImageMissingError(EngineError):
    """The image is not on this machine."""


class NotRunnableError(EngineError):
    """The engine cannot run such a container."""


class ContainerMissingError(EngineError):
    """No container of that id."""


class ImageBuildError(EngineError):
    """An image cannot be built."""


class ContainerStatus(StrEnum):
    """Life of a container as every engine reports it."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class BindMount:
    """A folder or file of the host seen inside the container."""

    host_path: Path
    container_path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What to run.

    Parameters
    ----------
    image : str
        Image reference with tag.
    command_line : str
        The resolved command line, as the Container Service has it. With
        ``override_entrypoint`` it is given to ``/bin/sh -c``; without, it is split by shell
        quoting rules into arguments of the image's entry point (contract 6.1).
    memory_limit_mb, cpu_limit
        Megabytes and cores; None for no limit.
    network : str or None
        ``none`` for no network; None for the engine's default.
    user : str or None
        ``uid:gid`` to run as; None for the image's own.
    constraints, generic_resources
        What a swarm's node must be and have (``node.role==worker``); for the swarm engine only.
    """

    image: str
    command_line: str
    override_entrypoint: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    mounts: tuple[BindMount, ...] = ()
    working_directory: str | None = None
    name: str | None = None
    user: str | None = None
    memory_limit_mb: int | None = None
    memory_reservation_mb: int | None = None
    cpu_limit: float | None = None
    network: str | None = None
    shm_size_bytes: int | None = None
    runtime: str | None = None
    ipc_mode: str | None = None
    ports: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    ulimits: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    gpus: str | None = None
    auto_remove: bool = False
    constraints: tuple[str, ...] = ()
    generic_resources: Mapping[str, str] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One look at a container.

    ``exit_code`` is None until it has exited, and stays None where the end was not seen (the
    machine went down). ``killed`` says that it was ended by SIGKILL or that its end was not seen;
    ``out_of_memory`` says more of it where the engine knows. ``ignored`` names the settings of
    the spec that this engine does not honour, so that the caller can say so. ``message`` is what
    the engine says of an obstacle. The ids are those of a swarm's task, its node, and the
    container there; empty for other engines and as long as they are not known.
    """

    status: ContainerStatus
    exit_code: int | None = None
    out_of_memory: bool = False
    killed: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    ignored: tuple[str, ...] = ()
    message: str = ""
    inner_id: str = ""
    task_id: str = ""
    node_id: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An image on this machine."""

    image_id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    size_bytes: int = 0
    created_at: datetime | None = None


def shortened_log(pieces: Iterable[bytes]) -> bytes:
    """Return the beginning of a log that comes in pieces; the rest is not asked for."""
    log = bytearray()
    for piece in pieces:
        log += piece
        if len(log) > MAX_LOG_BYTES:
            return bytes(log[:MAX_LOG_BYTES]) + LOG_CUT
    return bytes(log)


class ContainerEngine(ABC):
    """Runs containers. All methods block; callers own threads. All raise ``EngineError``."""

    name: str
    """``docker``, ``swarm`` or ``process``."""

    @abstractmethod
    def ping(self) -> None:
        """Return if the engine answers; raise ``EngineUnavailableError`` if not."""

    @abstractmethod
    def images(self) -> tuple[Image, ...]:
        """Return the images on this machine, sorted by first tag."""

    @abstractmethod
    def image(self, reference: str) -> Image:
        """Return one image by tag or id; raise ``ImageMissingError`` if absent."""

    @abstractmethod
    def start(self, spec: ContainerSpec) -> str:
        """Create and start a container; return its id. The caller removes it in the end.

        Raises
        ------
        ImageMissingError
            The image is not here; nothing is pulled.
        NotRunnableError
            This engine cannot run the spec.
        """

    @abstractmethod
    def state(self, container_id: str) -> ContainerState:
        """Return the container's present state."""

    @abstractmethod
    def wait(self, container_id: str, timeout_s: float | None = None) -> ContainerState:
        """Block until the container has exited or the time is over; return its state."""

    @abstractmethod
    def logs(self, container_id: str, stream: str) -> bytes:
        """Return ``stdout`` or ``stderr`` so far, from its beginning.

        Beyond ``MAX_LOG_BYTES`` there is only ``LOG_CUT``. Bytes that are no UTF-8 may come back
        replaced: Docker keeps its logs as text.
        """

    @abstractmethod
    def kill(self, container_id: str) -> None:
        """Stop the container at once; does nothing if it has already exited."""

    @abstractmethod
    def remove(self, container_id: str) -> None:
        """Forget the container and free what it holds on the engine; its mounts stay.

        A running one is killed first; an unknown id is no error.
        """
