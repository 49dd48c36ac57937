"""The engine that runs the sandbox's containers: the one place that knows which there are.

Not here: what is run (``runner``).
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from containers.docker_engine import DockerEngine
from containers.engine import ContainerEngine, EngineUnavailableError
from containers.process_engine import ProcessEngine
from deploy.sandbox.settings import Settings

DOCKER_BRIDGE_GATEWAY = "172.17.0.1"
"""The host as containers see it on Docker's default bridge (Docker's documented default)."""

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
    if engine.name != "docker" or parts.hostname not in _LOOPBACK:
        return site_url
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{DOCKER_BRIDGE_GATEWAY}{port}"))
