"""Fixtures for pytest that give a test a sandbox: a real server process on a free port.

Installing winxnat is enough; pytest finds them by the entry point ``pytest11``. A test run that
does not ask for them pays the import of this module and nothing else. Servers listen on this
machine only and end with the test, or with the run. Not here: what the server does
(docs/sandbox.md).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from deploy.sandbox_process import RunningSandbox

SEED_OPTION = "xnat_sandbox_seed"
ENGINE_OPTION = "xnat_sandbox_engine"
MARKER = "xnat_sandbox"
_FIXTURES = ("xnat_sandbox", "xnat_sandbox_session")
_SHOWN_REQUESTS = 20


@dataclass(frozen=True)
class XnatSandbox:
    """A running sandbox.

    Parameters
    ----------
    url : str
        Its address, without a slash at the end.
    root : Path
        Its folder; ``archive/`` in it has XNAT's layout.
    pid : int
        Its process.
    admin_user, admin_password : str
        The site administrator.
    """

    url: str
    root: Path
    pid: int
    admin_password: str
    admin_user: str = "admin"

    @property
    def netrc_path(self) -> Path:
        """Return a netrc file with the administrator's credentials."""
        return self.root / "admin.netrc"

    @property
    def requests_path(self) -> Path:
        """Return the log of requests."""
        return self.root / "requests.log"

    def password_of(self, login: str) -> str:
        """Return the made-up password of a user of the seed.

        Raises
        ------
        FileNotFoundError
            The seed has no such user, or takes its password from the environment.
        """
        from deploy.sandbox_process import read_password  # noqa: PLC0415 - see the module

        return read_password(self.root / "users" / f"{login}.netrc")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings for the configuration file."""
    parser.addini(SEED_OPTION, "YAML file that every new XNAT sandbox is filled with", default="")
    parser.addini(
        ENGINE_OPTION, "what runs container commands: process, docker or auto", default="process"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(seed=FILE, engine=NAME): how the test's xnat_sandbox is started; a seed is "
        "found relative to the test's file",
    )


@pytest.fixture
def xnat_sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[XnatSandbox]:
    """Start a sandbox of this test's own."""
    marker = request.node.get_closest_marker(MARKER)
    options = dict(marker.kwargs) if marker else {}
    seed = options.pop("seed", None)
    engine = options.pop("engine", None)
    if options or (marker and marker.args):
        raise pytest.UsageError(f"The marker {MARKER} takes seed=FILE and engine=NAME only.")
    seed_path = request.path.parent / seed if seed else _configured_seed(request.config)
    yield from _serve(request.config, tmp_path_factory, seed_path, engine)


@pytest.fixture(scope="session")
def xnat_sandbox_session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[XnatSandbox]:
    """Start one sandbox for the whole test run (with pytest-xdist: for each worker)."""
    yield from _serve(request.config, tmp_path_factory, _configured_seed(request.config), None)


def _configured_seed(config: pytest.Config) -> Path | None:
    named = str(config.getini(SEED_OPTION))
    return config.rootpath / named if named else None


def _serve(
    config: pytest.Config,
    folders: pytest.TempPathFactory,
    seed_path: Path | None,
    engine: str | None,
) -> Iterator[XnatSandbox]:
    from deploy import sandbox_process  # noqa: PLC0415 - nothing is imported for other test runs

    root = folders.mktemp("xnat-sandbox")
    chosen = engine or str(config.getini(ENGINE_OPTION))
    try:
        server = _start(root, seed_path, chosen)
        yield XnatSandbox(server.url, server.root, server.pid, sandbox_process.admin_password(root))
    finally:
        sandbox_process.stop(root)


def _start(root: Path, seed_path: Path | None, engine: str) -> RunningSandbox:
    from deploy import sandbox_process  # noqa: PLC0415 - see _serve

    if seed_path is None:
        return sandbox_process.start(root, engine=engine)
    from deploy.seeding import start_seeded  # noqa: PLC0415 - only where there is a seed

    return start_seeded(root, seed_path, engine=engine).server


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Show the sandbox's last requests with a failed test."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if not report.failed or report.when != "call":
        return
    for name in _FIXTURES:
        sandbox = getattr(item, "funcargs", {}).get(name)
        if isinstance(sandbox, XnatSandbox) and sandbox.requests_path.exists():
            from deploy.sandbox_log import last_lines  # noqa: PLC0415 - only after a failure

            lines = last_lines(sandbox.requests_path, _SHOWN_REQUESTS)
            report.sections.append((f"Last requests to {name}", "\n".join(lines)))
