"""What the tests of this room share: engines, and reasons to skip without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.build import base_tag
from containers.docker_engine import DockerEngine
from containers.engine import ContainerEngine, EngineUnavailableError, ImageMissingError
from containers.process_engine import ProcessEngine


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """Yield the Docker engine; skip where no daemon answers or the base image is missing."""
    try:
        engine = DockerEngine()
    except EngineUnavailableError as error:
        pytest.skip(f"{error} (start it with: dockerd)")
    with engine:
        try:
            engine.ping()
            engine.image(base_tag())
        except EngineUnavailableError as error:
            pytest.skip(f"{error} (start it with: dockerd)")
        except ImageMissingError as error:
            pytest.skip(f"{error} (make it with: winxnat image build --all)")
        yield engine


@pytest.fixture
def process_engine(tmp_path: Path) -> ProcessEngine:
    """Return a process engine with a state folder of its own."""
    return ProcessEngine(tmp_path / "state")


@pytest.fixture(
    params=[pytest.param("docker", marks=pytest.mark.docker), "process"],
)
def engine(request: pytest.FixtureRequest) -> ContainerEngine:
    """Return each engine in turn."""
    found = request.getfixturevalue(f"{request.param}_engine")
    assert isinstance(found, ContainerEngine)
    return found
