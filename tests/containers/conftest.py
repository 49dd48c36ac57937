"""What the tests of this room share: engines, reasons to skip, the made session converted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.build import base_tag
from containers.contract import StepReport
from containers.docker_engine import DockerEngine
from containers.engine import ContainerEngine, EngineUnavailableError, ImageMissingError
from containers.process_engine import ProcessEngine
from deploy.demo_session import DemoSession, write_demo_session
from tests.builders.bids_conversion import convert


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


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> DemoSession:
    """Return the made session; tests that spoil it take `copy`."""
    return write_demo_session(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def converted(
    session: DemoSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StepReport, Path]:
    """Return report and output folder of the made session's conversion."""
    return convert(session.folder, tmp_path_factory.mktemp("converted"))


@pytest.fixture
def copy(session: DemoSession, tmp_path: Path) -> Path:
    """A copy of the session that a test may spoil."""
    return Path(shutil.copytree(session.folder, tmp_path / "copy"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root (run the tests as root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
