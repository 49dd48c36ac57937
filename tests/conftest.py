"""Fixtures shared by all tests: the sandbox as a real process, and the sample data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy import sandbox_process


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped anything where nothing may be skipped (WINXNAT_NO_SKIPS)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("WINXNAT_NO_SKIPS") and reporter is not None:
        skipped = reporter.stats.get("skipped", [])
        if skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: where it is and who may administer it."""

    url: str
    root: Path
    pid: int
    admin_password: str
    admin_user: str = "admin"


def start_sandbox(root: Path, engine: str = "process") -> Sandbox:
    """Start (or start again) a sandbox on a free port, as a process of its own."""
    server = sandbox_process.start(root, engine=engine)
    return Sandbox(server.url, root, server.pid, sandbox_process.admin_password(root))


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for the whole test run; tests use projects and users of their own in it."""
    root = tmp_path_factory.mktemp("sandbox")
    yield start_sandbox(root)
    sandbox_process.stop(root)


@pytest.fixture
def fresh_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of this test's own, for tests that change site settings or stop it."""
    root = tmp_path / "sandbox"
    yield start_sandbox(root)
    sandbox_process.stop(root)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample sessions, or a skip that says how to have it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("WINXNAT_SAMPLES", beside))
    if not (folder / "dicom").is_dir():
        pytest.skip(
            "the sample data are not here; put them beside the checkout as shared/data "
            "or set WINXNAT_SAMPLES"
        )
    return folder
