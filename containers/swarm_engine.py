"""The swarm engine: each container is a one-shot service of the Docker Swarm that a daemon manages.

The same daemon and the same images as ``docker_engine``; the swarm chooses the node, so that mounts
must lie on a file system that all nodes share. Not here: making a swarm (``docker swarm init``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from commands.authoring import IMAGE_PREFIX
from commands.substitution import split_command_line
from containers.docker_engine import (
    BYTES_PER_MB,
    NAME,
    NANO_CPUS,
    DockerEngine,
    bind_mount,
    moment_of,
    translated,
)
from containers.engine import (
    KILLED_EXIT_CODE,
    LOG_STREAMS,
    ContainerMissingError,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    EngineUnavailableError,
    NotRunnableError,
    shortened_log,
)

if TYPE_CHECKING:
    from docker.types import Mount

NO_NETWORK = "none"

_POLL_S = 0.2

# Docker's states of a task; those that are missing here are ends.
_STATUS = {
    **dict.fromkeys(
        ("new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting"),
        ContainerStatus.CREATED,
    ),
    "running": ContainerStatus.RUNNING,
}
_NOT_HONOURED = ("runtime", "ipc_mode", "ports", "ulimits", "gpus")
_IGNORED_LABEL = "winxnat.ignored"


class SwarmEngine(DockerEngine):
    """Runs containers as services of one task that is never started again.

    Parameters
    ----------
    base_url : str or None
        Address of a daemon that is a manager of the swarm; None follows the environment.

    Notes
    -----
    A container's id is its service's. Images are named to the nodes by their id, so that no node
    asks a registry: each must have the image. Docker Swarm has no ``no-new-privileges`` and no
    limit of swap; what else of a spec is not honoured stands in ``ContainerState.ignored``.

    A spec without network is refused rather than run with one: a network of the swarm that is
    ``internal`` still passes on questions to name servers in Docker before 26.

    The logs of a container that was ended on another node than the daemon's are lost with it.
    """

    name = "swarm"

    # The SDK has no types for services.
    @property
    def _swarm(self) -> Any:
        return self._client.api

    @property
    def _services(self) -> Any:
        return self._client.services

    def ping(self) -> None:
        """Return if the daemon answers and manages a swarm."""
        with translated("reach the Docker daemon"):
            swarm = self._client.info().get("Swarm", {})
        if swarm.get("LocalNodeState") != "active" or not swarm.get("ControlAvailable"):
            raise EngineUnavailableError(
                "The Docker daemon manages no swarm. Make one (docker swarm init), or choose the "
                "backend docker."
            )

    def start(self, spec: ContainerSpec) -> str:
        """Create a service for the container; the swarm starts it when a node has room."""
        from docker.types import (  # noqa: PLC0415 - optional dependency
            Placement,
            RestartPolicy,
            ServiceMode,
            TaskTemplate,
        )

        if spec.network == NO_NETWORK:
            raise NotRunnableError(
                f"A container of {spec.image} is to have no network, and Docker Swarm gives every "
                "service one. Use the backend docker for it."
            )
        self.ping()
        image = self.image(spec.image)
        with translated(f"start a service of {spec.image}", refused=NotRunnableError):
            template = TaskTemplate(
                _container(spec, image.image_id),
                resources=_resources(spec),
                restart_policy=RestartPolicy("none"),
                placement=Placement(constraints=list(spec.constraints)),
                networks=None if spec.network is None else [spec.network],
            )
            labels = {**spec.labels, _IGNORED_LABEL: ",".join(_ignored(spec))}
            made = self._swarm.create_service(
                template, name=spec.name, labels=labels, mode=ServiceMode("replicated", 1)
            )
        return str(made["ID"])

    def state(self, container_id: str) -> ContainerState:
        """Return the present state of the service's only task."""
        service = self._service(container_id, "look up")
        ignored = service["Spec"].get("Labels", {}).get(_IGNORED_LABEL, "")
        task = self._task(container_id)
        names = tuple(name for name in ignored.split(",") if name)
        if task is not None:
            return self._state_of_task(task, names)
        # A service that was scaled to nothing (see ``kill``) soon has no task any more.
        replicas = service["Spec"].get("Mode", {}).get("Replicated", {}).get("Replicas", 0)
        if replicas:
            return ContainerState(ContainerStatus.CREATED, ignored=names)
        return ContainerState(
            ContainerStatus.EXITED, exit_code=KILLED_EXIT_CODE, killed=True, ignored=names
        )

    def _state_of_task(self, task: Mapping[str, Any], ignored: tuple[str, ...]) -> ContainerState:
        told = task["Status"]
        inner = told.get("ContainerStatus") or {}
        status = _STATUS.get(told["State"], ContainerStatus.EXITED)
        is_over = status is ContainerStatus.EXITED
        # A task that came to nothing, or whose node is gone, is reported with the exit code 0.
        number = int(inner.get("ExitCode", 0)) if inner.get("ContainerID") else 0
        code = number if number or told["State"] == "complete" else None
        moment = moment_of(told["Timestamp"]) if "Timestamp" in told else None
        return ContainerState(
            status=status,
            exit_code=code if is_over else None,
            out_of_memory=is_over and code == KILLED_EXIT_CODE and self._ran_out(inner),
            killed=is_over and code in (None, KILLED_EXIT_CODE),
            started_at=moment_of(task["CreatedAt"]),
            finished_at=moment if is_over else None,
            ignored=ignored,
            message=str(told.get("Err", "")),
            inner_id=str(inner.get("ContainerID", "")),
            task_id=str(task["ID"]),
            node_id=str(task.get("NodeID", "")),
        )

    def _ran_out(self, inner: Mapping[str, Any]) -> bool:
        """Return whether a container of this node was ended for want of memory."""
        import docker  # noqa: PLC0415 - optional dependency

        try:
            found = self._client.containers.get(inner.get("ContainerID", "-"))
        except docker.errors.NotFound:
            return False
        return bool(found.attrs["State"].get("OOMKilled"))

    def wait(self, container_id: str, timeout_s: float | None = None) -> ContainerState:
        """Block until the task is over or the time is; return its state."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            state = self.state(container_id)
            left_s = _POLL_S if deadline is None else deadline - time.monotonic()
            if state.status is ContainerStatus.EXITED or left_s <= 0:
                return state
            time.sleep(min(_POLL_S, left_s))

    def logs(self, container_id: str, stream: str) -> bytes:
        """Return all of ``stdout`` or ``stderr`` so far, from whatever node."""
        if stream not in LOG_STREAMS:
            raise ValueError(stream)
        self._service(container_id, "read the logs of")
        with translated(f"read the logs of service {container_id}"):
            service = self._services.get(container_id)
            pieces = service.logs(stdout=stream == "stdout", stderr=stream == "stderr")
            with closing(pieces):
                return shortened_log(pieces)

    def kill(self, container_id: str) -> None:
        """End the task at once; does nothing if it is over already."""
        import docker  # noqa: PLC0415 - optional dependency

        state = self.state(container_id)
        if state.status is ContainerStatus.EXITED:
            return
        try:
            if state.inner_id:
                # On this node: its exit code and logs stay.
                self._client.api.kill(state.inner_id)
                return
        except docker.errors.APIError:
            pass  # on another node, or over meanwhile
        with translated(f"kill service {container_id}"):
            self._services.get(container_id).scale(0)

    def remove(self, container_id: str) -> None:
        """Remove the service with its container; does nothing if it is gone already."""
        try:
            self._service(container_id, "remove")
        except ContainerMissingError:
            return
        with translated(f"remove service {container_id}"):
            self._swarm.remove_service(container_id)

    def _service(self, container_id: str, doing: str) -> dict[str, Any]:
        missing = ContainerMissingError(
            f"Cannot {doing} service {container_id}: the swarm knows none of this id. "
            "It was removed, or the daemon left its swarm."
        )
        if not NAME.match(container_id):
            raise missing
        with translated(f"{doing} service {container_id}", missing=missing):
            found: dict[str, Any] = self._swarm.inspect_service(container_id)
            return found

    def _task(self, container_id: str) -> dict[str, Any] | None:
        with translated(f"look up the task of service {container_id}"):
            tasks = self._swarm.tasks(filters={"service": container_id})
        return max(tasks, key=lambda task: str(task["CreatedAt"]), default=None)


def _container(spec: ContainerSpec, image_id: str) -> Any:
    from docker.types import ContainerSpec as Inner  # noqa: PLC0415 - optional dependency

    if spec.override_entrypoint:
        command, arguments = ["/bin/sh"], ["-c", spec.command_line]
    else:
        command, arguments = None, split_command_line(spec.command_line)
    own = spec.image.startswith(IMAGE_PREFIX)
    return Inner(
        image_id,
        command=command,
        args=arguments,
        env=dict(spec.environment),
        workdir=spec.working_directory,
        user=spec.user,
        labels=dict(spec.labels),
        mounts=_mounts(spec),
        cap_drop=["ALL"] if own else None,
    )


def _mounts(spec: ContainerSpec) -> list[Mount]:
    from docker.types import Mount  # noqa: PLC0415 - optional dependency

    mounts = [bind_mount(each) for each in spec.mounts]
    if spec.shm_size_bytes:
        # Services have no option for it; a file system in memory at its place is the same.
        mounts.append(Mount("/dev/shm", None, type="tmpfs", tmpfs_size=spec.shm_size_bytes))  # noqa: S108 - in the container
    return mounts


def _resources(spec: ContainerSpec) -> Any:
    from docker.types import Resources  # noqa: PLC0415 - optional dependency

    limit, reserved = spec.memory_limit_mb, spec.memory_reservation_mb
    generic = {
        name: int(value) if value.isdecimal() else value
        for name, value in spec.generic_resources.items()
    }
    return Resources(
        cpu_limit=round(spec.cpu_limit * NANO_CPUS) if spec.cpu_limit else None,
        mem_limit=limit * BYTES_PER_MB if limit else None,
        mem_reservation=reserved * BYTES_PER_MB if reserved else None,
        generic_resources=generic or None,
    )


def _ignored(spec: ContainerSpec) -> tuple[str, ...]:
    return tuple(name for name in _NOT_HONOURED if getattr(spec, name))
