"""Fixtures shared by all tests: the sandbox as a real process, and the sample data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy import sandbox_process
from deploy.pytest_plugin import XnatSandbox


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped anything where nothing may be skipped (WINXNAT_NO_SKIPS)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("WINXNAT_NO_SKIPS") and reporter is not None:
        skipped = reporter.stats.get("skipped", [])
        if skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


# What the fixtures of this project's own plugin give (deploy.pytest_plugin).
Sandbox = XnatSandbox


def start_sandbox(root: Path, engine: str = "process") -> Sandbox:
    """Start (or start again) a sandbox on a free port, as a process of its own."""
    server = sandbox_process.start(root, engine=engine)
    return Sandbox(server.url, root, server.pid, sandbox_process.admin_password(root))


@pytest.fixture(scope="session")
def sandbox(xnat_sandbox_session: Sandbox) -> Sandbox:
    """One sandbox for the whole test run; tests use projects and users of their own in it."""
    return xnat_sandbox_session


@pytest.fixture
def fresh_sandbox(xnat_sandbox: Sandbox) -> Sandbox:
    """A sandbox of this test's own, for tests that change site settings or stop it."""
    return xnat_sandbox


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


@pytest.fixture(scope="session")
def client_sources() -> Path:
    """The unpacked source packages of xnatpy and pyxnat, which hold their own tests."""
    folder = os.environ.get("WINXNAT_CLIENT_SOURCES")
    if not folder:
        pytest.skip(
            "the clients' source packages are not here; unpack them and set "
            "WINXNAT_CLIENT_SOURCES (run: bash .ci/run)"
        )
    return Path(folder)
