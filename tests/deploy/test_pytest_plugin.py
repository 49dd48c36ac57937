"""The fixtures for other projects' tests, run as another project runs them."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester"]

ASKING = """
import base64, urllib.request

def who(url, user, password):
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": "Basic " + token}
    request = urllib.request.Request(url + "/data/auth", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        return answer.read().decode()
"""


def _run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:schemathesis", "-W", "error", *arguments)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_test_gets_a_server_of_its_own_that_ends_with_it(pytester: pytest.Pytester) -> None:
    """Two tests of a project that knows nothing but the fixture see two servers, both stopped."""
    pytester.makepyfile(
        ASKING
        + """
import pytest

@pytest.mark.parametrize("name", ["one", "two"])
def test_server(xnat_sandbox, name):
    answer = who(xnat_sandbox.url, xnat_sandbox.admin_user, xnat_sandbox.admin_password)
    assert answer == "User 'admin' is logged in"
    with open("pids", "a") as file:
        file.write(f"{xnat_sandbox.pid}\\n")
"""
    )

    result = _run(pytester)

    result.assert_outcomes(passed=2)
    pids = {int(line) for line in (pytester.path / "pids").read_text().split()}
    assert len(pids) == 2
    assert not any(_is_alive(pid) for pid in pids)


def test_the_session_fixture_is_one_server_for_all(pytester: pytest.Pytester) -> None:
    """Two tests of one run see the same server."""
    pytester.makepyfile(
        """
seen = []

def test_first(xnat_sandbox_session):
    seen.append(xnat_sandbox_session.url)

def test_second(xnat_sandbox_session):
    assert seen == [xnat_sandbox_session.url]
"""
    )

    _run(pytester).assert_outcomes(passed=2)


def test_runs_that_do_not_use_it_import_no_server(pytester: pytest.Pytester) -> None:
    """The plugin is there, and neither the server nor what starts it was imported."""
    pytester.makepyfile(
        """
import sys

def test_nothing_else(request):
    assert request.config.pluginmanager.has_plugin("winxnat_sandbox")
    heavy = ("deploy.sandbox", "xnat_client", "containers", "starlette", "uvicorn", "pydantic")
    assert [name for name in sys.modules if name.startswith(heavy)] == []
"""
    )

    _run(pytester, "-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_marked_test_finds_its_seed(pytester: pytest.Pytester) -> None:
    """A seed beside the test's file fills the server; its user can log in."""
    (pytester.path / "seed.yaml").write_text("users: [{login: reader}]\n")
    pytester.makepyfile(
        ASKING
        + """
import pytest

@pytest.mark.xnat_sandbox(seed="seed.yaml")
def test_seeded(xnat_sandbox):
    password = xnat_sandbox.password_of("reader")
    assert who(xnat_sandbox.url, "reader", password) == "User 'reader' is logged in"
"""
    )

    _run(pytester, "--strict-markers").assert_outcomes(passed=1)


def test_the_configured_seed_fills_every_server(pytester: pytest.Pytester) -> None:
    """``xnat_sandbox_seed`` in the configuration file is found from the project's root."""
    (pytester.path / "site.yaml").write_text("users: [{login: reader}]\n")
    pytester.makeini("[pytest]\nxnat_sandbox_seed = site.yaml\n")
    pytester.makepyfile(
        """
def test_one(xnat_sandbox):
    assert xnat_sandbox.password_of("reader")

def test_other(xnat_sandbox_session):
    assert xnat_sandbox_session.password_of("reader")
"""
    )

    _run(pytester).assert_outcomes(passed=2)


def test_a_failed_test_shows_what_was_asked(pytester: pytest.Pytester) -> None:
    """The report of a failure ends with the server's last requests."""
    pytester.makepyfile(
        ASKING
        + """
import time

def test_fails(xnat_sandbox):
    who(xnat_sandbox.url, "admin", xnat_sandbox.admin_password)
    while not xnat_sandbox.requests_path.exists() or not xnat_sandbox.requests_path.read_text():
        time.sleep(0.01)
    assert False
"""
    )

    result = _run(pytester)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Last requests to xnat_sandbox*", "* admin GET /data/auth 200 *"])


def test_a_misspelt_marker_is_refused(pytester: pytest.Pytester) -> None:
    """An option that the marker does not have is an error, not passed over."""
    pytester.makepyfile(
        """
import pytest

@pytest.mark.xnat_sandbox(sed="seed.yaml")
def test_never(xnat_sandbox):
    pass
"""
    )

    result = _run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*takes seed=FILE and engine=NAME only*"])
