"""The engine that runs the sandbox's containers: the one place that knows which there are.

Not here: what is run (``runner``).
"""

from __future__ import annotations

from functools import cached_property
from urllib.parse import urlsplit, urlunsplit

from containers.docker_engine import DockerEngine
from containers.engine import ContainerEngine, EngineUnavailableError
from containers.process_engine import ProcessEngine
from containers.swarm_engine import SwarmEngine
from deploy.sandbox import docker_settings
from deploy.sandbox.settings import Settings
from deploy.sandbox.store import Store

DOCKER_BRIDGE_GATEWAY = "172.17.0.1"
"""The host as containers see it on Docker's default bridge (Docker's documented default)."""

_IN_CONTAINERS = frozenset({DockerEngine.name, SwarmEngine.name})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def choose_engine(settings: Settings) -> ContainerEngine:
    """Return the engine of the settings; ``auto`` takes Docker where a daemon answers.

    Raises
    ------
    EngineUnavailableError
        ``docker`` was asked for and its library is missing.
    """
    if settings.engine != "process":
        try:
            docker = DockerEngine()
            if settings.engine == "docker":
                return docker
            docker.ping()
        except EngineUnavailableError:
            if settings.engine == "docker":
                raise
        else:
            return docker
    return ProcessEngine(settings.root / "engine")


class Engines:
    """The engine of the program's settings, and the swarm's where the administrator chose it.

    A container that runs stays with the engine that started it.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.base = choose_engine(settings)
        self._store = store

    @cached_property
    def _swarm(self) -> ContainerEngine:
        return SwarmEngine()

    @property
    def has_docker(self) -> bool:
        """Return whether a Docker daemon is what containers are given to."""
        return self.base.name == DockerEngine.name

    @property
    def present(self) -> ContainerEngine:
        """Return the engine that new containers are given to."""
        chosen = docker_settings.load(self._store.connection)["backend"]
        return self.named(str(chosen))

    def named(self, backend: str) -> ContainerEngine:
        """Return the engine whose name a container's ``backend`` is."""
        return self._swarm if backend == SwarmEngine.name and self.has_docker else self.base


def host_for_containers(engine: ContainerEngine, site_url: str, processing_url: str | None) -> str:
    """Return the address of the server as a container must write it (``XNAT_HOST``).

    Parameters
    ----------
    processing_url : str or None
        What the administrator set; it wins.

    Notes
    -----
    A server on the loopback is not that of a Docker container. The bridge's gateway is named
    instead, but it answers only when the server listens there too: with Docker, give the server
    an address that containers reach, and set the processing URL.
    """
    if processing_url:
        return processing_url
    parts = urlsplit(site_url)
    if engine.name not in _IN_CONTAINERS or parts.hostname not in _LOOPBACK:
        return site_url
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{DOCKER_BRIDGE_GATEWAY}{port}"))
