"""The Docker engine: ``ContainerEngine`` spoken to a Docker daemon.

The Docker SDK is imported here and in ``build`` only, and not before an engine is made. Nothing
is ever pulled, and a failure leaves no container behind. Not here: building images.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from commands.authoring import IMAGE_PREFIX
from commands.substitution import split_command_line
from containers.engine import (
    KILLED_EXIT_CODE,
    LOG_STREAMS,
    BindMount,
    ContainerEngine,
    ContainerMissingError,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    EngineError,
    EngineUnavailableError,
    Image,
    ImageMissingError,
    NotRunnableError,
    shortened_log,
)

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container
    from docker.models.images import Image as DockerImage
    from docker.types import DeviceRequest, Mount, Ulimit

OWN_PROCESS_LIMIT = 4096
"""Processes and threads one container of ours may hold: stops a runaway, not a step."""

_CALL_TIMEOUT_S = 60
BYTES_PER_MB = 1024 * 1024
NANO_CPUS = 1_000_000_000
_NOT_FOUND = 404

# Names and ids of containers; anything else could change the address that is asked.
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")

_STATUS = {
    "created": ContainerStatus.CREATED,
    "running": ContainerStatus.RUNNING,
    "paused": ContainerStatus.RUNNING,
    "restarting": ContainerStatus.RUNNING,
    "removing": ContainerStatus.EXITED,
    "exited": ContainerStatus.EXITED,
    "dead": ContainerStatus.EXITED,
}


class DockerEngine(ContainerEngine):
    """Runs containers on a Docker daemon.

    Parameters
    ----------
    base_url : str or None
        Address of the daemon; None follows the environment (``DOCKER_HOST``) as the ``docker``
        program does.

    Notes
    -----
    No container may gain privileges (``no-new-privileges``). Images of our own run besides
    without any capability and with a limit of processes, since their steps need neither. Images
    of other authors keep Docker's default capabilities, which the Container Service also leaves
    them: many run as root and write into folders of another user.

    ``auto_remove`` is left to the caller: a daemon that removes a container at its end takes
    the exit code and the logs with it.

    Raises
    ------
    EngineUnavailableError
        The Docker SDK is not installed, or the address is not understood.
    """

    name = "docker"

    def __init__(self, base_url: str | None = None) -> None:
        self._client = connect(base_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the daemon; containers run on."""
        self._client.close()

    def ping(self) -> None:
        """Return if the daemon answers."""
        with translated("reach the Docker daemon"):
            self._client.ping()

    def images(self) -> tuple[Image, ...]:
        """Return the tagged and untagged images of the daemon."""
        with translated("list the images"):
            found = [_image_of(each) for each in self._client.images.list()]
        return tuple(sorted(found, key=lambda image: (image.tags or ("~",), image.image_id)))

    def image(self, reference: str) -> Image:
        """Return one image by tag or id."""
        with translated(f"look up image {reference}", missing=_image_missing(reference)):
            return _image_of(self._client.images.get(reference))

    def start(self, spec: ContainerSpec) -> str:
        """Create and start a container; a container that does not start is removed again."""
        self.image(spec.image)
        options = _create_options(spec)
        with translated(f"start a container of {spec.image}", refused=NotRunnableError):
            container = self._client.containers.create(spec.image, **options)
            try:
                container.start()
            except BaseException:
                container.remove(force=True)
                raise
        return str(container.id)

    def state(self, container_id: str) -> ContainerState:
        """Return the container's present state."""
        with self._found(container_id, "look up") as container:
            return _state_of(container.attrs["State"])

    def wait(self, container_id: str, timeout_s: float | None = None) -> ContainerState:
        """Block until the container has exited or the time is over; return its state."""
        import requests  # noqa: PLC0415 - comes with the Docker SDK, an optional dependency

        with self._found(container_id, "wait for") as container:
            try:
                container.wait(timeout=timeout_s)
            except requests.exceptions.Timeout:
                pass
            except requests.exceptions.ConnectionError as error:
                # A read that runs out of time between two bytes arrives as this type.
                if "timed out" not in str(error).lower():
                    raise
        return self.state(container_id)

    def logs(self, container_id: str, stream: str) -> bytes:
        """Return all of ``stdout`` or ``stderr`` so far."""
        if stream not in LOG_STREAMS:
            raise ValueError(stream)
        with self._found(container_id, "read the logs of") as container:
            pieces = container.logs(
                stdout=stream == "stdout", stderr=stream == "stderr", stream=True, follow=False
            )
            with closing(pieces):
                return shortened_log(pieces)

    def kill(self, container_id: str) -> None:
        """Stop the container at once; does nothing if it has already exited."""
        import docker  # noqa: PLC0415 - optional dependency

        with self._found(container_id, "kill") as container:
            if _state_of(container.attrs["State"]).status is ContainerStatus.EXITED:
                return
            try:
                container.kill()
            except docker.errors.APIError:
                container.reload()
                if _state_of(container.attrs["State"]).status is not ContainerStatus.EXITED:
                    raise

    def remove(self, container_id: str) -> None:
        """Remove the container, running or not; does nothing if it is gone already."""
        try:
            with self._found(container_id, "remove") as container:
                container.remove(force=True, v=True)
        except ContainerMissingError:
            return

    @contextmanager
    def _found(self, container_id: str, doing: str) -> Iterator[Container]:
        missing = ContainerMissingError(
            f"Cannot {doing} container {container_id}: the Docker daemon knows none of this id. "
            "It was removed, or another daemon runs it."
        )
        if not NAME.match(container_id):
            raise missing
        with translated(f"{doing} container {container_id}", missing=missing):
            yield self._client.containers.get(container_id)


def connect(base_url: str | None = None) -> docker.DockerClient:
    """Return a client of the Docker SDK; the caller closes it.

    Raises
    ------
    EngineUnavailableError
        The SDK is not installed, no daemon listens, or the address is not understood.
    """
    try:
        import docker  # noqa: PLC0415 - optional dependency
        import docker.constants  # noqa: PLC0415 - optional dependency
    except ImportError as error:
        raise EngineUnavailableError(
            "Docker was asked for, but its Python library is not installed. "
            "Install winxnat[docker], or choose the process engine."
        ) from error
    _check_socket(base_url or os.environ.get("DOCKER_HOST") or docker.constants.DEFAULT_UNIX_SOCKET)
    with translated("reach the Docker daemon"):
        if base_url is None:
            return docker.from_env(timeout=_CALL_TIMEOUT_S)
        return docker.DockerClient(base_url=base_url, timeout=_CALL_TIMEOUT_S)


def _check_socket(address: str) -> None:
    """Refuse a local address where nobody listens.

    The SDK finds this out too, but forgets to close the socket that it tried.
    """
    scheme, _, path = address.partition("://")
    if scheme not in {"unix", "http+unix"}:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            raise EngineUnavailableError(
                f"Cannot reach the Docker daemon at {path}: {error.strerror or error}. "
                "Start Docker and see that you may use it, or choose the process engine."
            ) from error


@contextmanager
def translated(
    doing: str,
    *,
    missing: EngineError | None = None,
    refused: type[EngineError] = EngineError,
) -> Iterator[None]:
    """Turn every exception of the Docker SDK into ours.

    Parameters
    ----------
    doing : str
        What is being done, to complete "Cannot ...".
    missing : EngineError or None
        Raised where the daemon answers 404.
    refused : type of EngineError
        Raised where the daemon answers with another refusal.
    """
    import docker  # noqa: PLC0415 - optional dependency
    import requests  # noqa: PLC0415 - comes with it

    try:
        yield
    except docker.errors.APIError as error:
        if missing is not None and error.status_code == _NOT_FOUND:
            raise missing from error
        # The daemon's own words; they name paths, images and options, never what a file holds.
        words = str(error.explanation or error).strip().rstrip(".")
        raise refused(f"Cannot {doing}: the Docker daemon refuses: {words}.") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise EngineUnavailableError(
            f"Cannot {doing}: no Docker daemon answers ({type(error).__name__}). "
            "Start Docker and see that you may use it, or choose the process engine."
        ) from error


def _image_missing(reference: str) -> ImageMissingError:
    return ImageMissingError(
        f"Image {reference} is not on this machine, and nothing is pulled on its own. "
        "Build it with 'winxnat image build', or pull it with Docker."
    )


def _image_of(image: DockerImage) -> Image:
    created = image.attrs.get("Created")
    return Image(
        image_id=str(image.id),
        tags=tuple(sorted(image.tags)),
        labels=dict(image.labels or {}),
        size_bytes=int(image.attrs.get("Size", 0)),
        created_at=moment_of(created) if isinstance(created, str) else None,
    )


def _state_of(state: Mapping[str, Any]) -> ContainerState:
    status = _STATUS[state["Status"]]
    exited = status is ContainerStatus.EXITED
    exit_code = int(state["ExitCode"]) if exited else None
    return ContainerState(
        status=status,
        exit_code=exit_code,
        out_of_memory=bool(state.get("OOMKilled")),
        killed=exit_code == KILLED_EXIT_CODE,
        started_at=moment_of(state["StartedAt"]),
        finished_at=moment_of(state["FinishedAt"]) if exited else None,
    )


def moment_of(text: str) -> datetime | None:
    """Read a time of the daemon; year 1 stands for never."""
    moment = datetime.fromisoformat(text)
    return None if moment.year == 1 else moment


def _create_options(spec: ContainerSpec) -> dict[str, Any]:
    options: dict[str, Any] = {
        "environment": dict(spec.environment),
        "mounts": [bind_mount(each) for each in spec.mounts],
        "labels": dict(spec.labels),
        "security_opt": ["no-new-privileges"],
        "name": spec.name,
        "user": spec.user,
        "working_dir": spec.working_directory,
        "network_mode": spec.network,
        "shm_size": spec.shm_size_bytes,
        "runtime": spec.runtime,
        "ipc_mode": spec.ipc_mode,
        "ports": _ports(spec.ports),
        "ulimits": [_ulimit(name, text) for name, text in sorted(spec.ulimits.items())],
        "device_requests": _devices(spec.gpus),
    }
    if spec.override_entrypoint:
        options |= {"entrypoint": "", "command": ["/bin/sh", "-c", spec.command_line]}
    else:
        options["command"] = split_command_line(spec.command_line)
    if spec.memory_limit_mb:
        # Without a swap limit of the same size Docker grants as much swap again.
        limit = spec.memory_limit_mb * BYTES_PER_MB
        options |= {"mem_limit": limit, "memswap_limit": limit}
    if spec.memory_reservation_mb:
        options["mem_reservation"] = spec.memory_reservation_mb * BYTES_PER_MB
    if spec.cpu_limit:
        options["nano_cpus"] = round(spec.cpu_limit * NANO_CPUS)
    if spec.image.startswith(IMAGE_PREFIX):
        options |= {"cap_drop": ["ALL"], "pids_limit": OWN_PROCESS_LIMIT}
    return {key: value for key, value in options.items() if value is not None}


def bind_mount(mount: BindMount) -> Mount:
    """Return a mount as the SDK has it."""
    from docker.types import Mount  # noqa: PLC0415 - optional dependency

    # A mount of type "bind" is refused where the source is missing; the older "volumes" option
    # would make an empty folder of root instead.
    return Mount(
        target=mount.container_path,
        source=str(mount.host_path),
        type="bind",
        read_only=not mount.writable,
    )


def _ports(ports: Mapping[str, str]) -> dict[str, int] | None:
    try:
        return {inside: int(outside) for inside, outside in sorted(ports.items())} or None
    except ValueError as error:
        raise NotRunnableError(
            f"The ports {dict(ports)} of the container are not understood: each value must be "
            "the number of a port on the host. Mend the command's definition."
        ) from error


def _ulimit(name: str, text: str) -> Ulimit:
    from docker.types import Ulimit  # noqa: PLC0415 - optional dependency

    soft, _, hard = text.partition(":")
    try:
        return Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError as error:
        raise NotRunnableError(
            f"The limit {name}={text} of the container is not understood: it must be a number, "
            "or two as soft:hard. Mend the command's definition."
        ) from error


def _devices(gpus: str | None) -> list[DeviceRequest] | None:
    """Read what ``docker run --gpus`` reads: ``all``, a number, or ``device=0,1``."""
    if gpus is None:
        return None
    from docker.types import DeviceRequest  # noqa: PLC0415 - optional dependency

    capabilities = [["gpu"]]
    if gpus.startswith("device="):
        ids = gpus.removeprefix("device=").split(",")
        return [DeviceRequest(device_ids=ids, capabilities=capabilities)]
    if gpus == "all" or gpus.isdecimal():
        count = -1 if gpus == "all" else int(gpus)
        return [DeviceRequest(count=count, capabilities=capabilities)]
    raise NotRunnableError(
        f"The graphics processors '{gpus}' of the container are not understood: it must be "
        "'all', a number, or 'device=' and their numbers. Mend the command's definition."
    )
