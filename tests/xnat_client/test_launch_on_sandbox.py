"""Registering, launching, watching and fetching against the sandbox's Container Service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders.container_lab import Lab, shell_command
from xnat_client.commands_registry import ensure_registered, find_available
from xnat_client.errors import NotAllowedError, NotFoundError, RunFailedError
from xnat_client.launch import (
    Patience,
    get_state,
    kill_run,
    launch_command,
    read_log,
    watch_run,
)
from xnat_client.resources import download_resource
from xnat_client.session import XnatServer, connect
from xnat_client.sessions import Session, find_session

QUICK = Patience(first_pause_s=0.05, longest_pause_s=0.2, timeout_s=60)
FILES = {"DATA/a.txt": b"first", "DATA/sub/b.txt": b"second"}


@pytest.fixture
def lab(sandbox: Any) -> Lab:
    made = Lab(sandbox.url, sandbox.admin_password)
    made.session(files=FILES)
    return made


@pytest.fixture
def server(sandbox: Any) -> Iterator[XnatServer]:
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as opened:
        yield opened


@pytest.fixture
def session(server: XnatServer, lab: Lab) -> Session:
    return find_session(server.transport, lab.project, "E1")


def _winxnat(sandbox: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()"]
    own = {
        "XNAT_USER": sandbox.admin_user,
        "XNAT_PASS": sandbox.admin_password,
        "WINXNAT_JOBS": str(sandbox.root / "client-jobs.sqlite"),
    }
    return subprocess.run(
        [*program, *arguments, "--server", sandbox.url],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
        env={**os.environ, **own},
    )  # fmt: skip


def test_run_from_registration_to_download(
    server: XnatServer, lab: Lab, session: Session, tmp_path: Path
) -> None:
    """A registered command is found by name, runs, and its resource comes back byte for byte."""
    transport = server.transport
    document = shell_command("cp -r /input/. /output/")
    registered = ensure_registered(transport, document, [lab.project])
    assert ensure_registered(transport, document, [lab.project]) == registered

    wrapper = find_available(transport, lab.project, session.xsi_type, document["name"])
    run = launch_command(transport, wrapper, session)
    seen: list[str] = []
    watch_run(transport, run, patience=QUICK, progress=lambda state: seen.append(state.status))
    download_resource(transport, session, "COPY", tmp_path)

    assert seen[-1] == "Complete"
    assert (tmp_path / "a.txt").read_bytes() == b"first"
    assert (tmp_path / "sub" / "b.txt").read_bytes() == b"second"


def test_failed_run_brings_its_stderr(server: XnatServer, lab: Lab, session: Session) -> None:
    """A container that ends with 3 becomes a RunFailedError with its last words."""
    transport = server.transport
    document = shell_command("echo the reason >&2; exit 3")
    ensure_registered(transport, document, [lab.project])
    wrapper = find_available(transport, lab.project, session.xsi_type, document["name"])
    run = launch_command(transport, wrapper, session)

    with pytest.raises(RunFailedError) as caught:
        watch_run(transport, run, patience=QUICK)

    assert caught.value.run_status == "Failed"
    assert caught.value.stderr_tail == "the reason"
    assert read_log(transport, run) == "the reason"


def test_killed_run_is_no_success(server: XnatServer, lab: Lab, session: Session) -> None:
    """A run that was ended by hand is over, and not complete."""
    transport = server.transport
    document = shell_command("sleep 300")
    ensure_registered(transport, document, [lab.project])
    wrapper = find_available(transport, lab.project, session.xsi_type, document["name"])
    run = launch_command(transport, wrapper, session)
    lab.until(lab.admin, run.workflow_id, "Running")

    kill_run(transport, run)
    with pytest.raises(RunFailedError) as caught:
        watch_run(transport, run, patience=QUICK)

    assert caught.value.run_status.startswith("Killed")
    assert get_state(transport, run).is_over


def test_command_that_is_not_enabled_is_not_found(
    server: XnatServer, lab: Lab, session: Session
) -> None:
    """Registered is not enough: without the project's consent there is nothing to launch."""
    document = shell_command("true")
    ensure_registered(server.transport, document)

    with pytest.raises(NotFoundError, match="not be enabled"):
        find_available(server.transport, lab.project, session.xsi_type, document["name"])


def test_registering_needs_an_administrator(sandbox: Any, lab: Lab) -> None:
    """A member of a project may not register commands."""
    member = lab.person()
    password = member.http.auth[1]  # type: ignore[index]  # a pair, as the builder sets it

    with connect(sandbox.url, member.login, password) as opened, pytest.raises(NotAllowedError):
        ensure_registered(opened.transport, shell_command("true"))


def test_launch_command_line(sandbox: Any, server: XnatServer, lab: Lab, session: Session) -> None:
    """The program launches, waits, prints one JSON object, and ends with the run's fate."""
    good, bad = shell_command("cp /input/a.txt /output/"), shell_command("exit 1")
    for document in (good, bad):
        ensure_registered(server.transport, document, [lab.project])
    place = ["--project", lab.project, "--session", session.label, "--json"]

    dry = _winxnat(sandbox, "launch", good["name"], *place, "--dry-run")
    done = _winxnat(sandbox, "launch", good["name"], *place, "--watch")
    failed = _winxnat(sandbox, "launch", bad["name"], *place, "--watch")
    unknown = _winxnat(sandbox, "launch", "no-such-command", *place)

    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout)["dry_run"] is True
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "Complete"
    told = json.loads(failed.stdout)
    assert (failed.returncode, told["state"], told["error"]["exit_code"]) == (5, "failed", 5)
    assert "ended as Failed" in failed.stderr
    assert (unknown.returncode, json.loads(unknown.stdout)["error"]["exit_code"]) == (5, 5)
    runs = lab.admin.http.get(f"{sandbox.url}/xapi/projects/{lab.project}/containers").json()
    assert len(runs) == 2  # the dry run launched nothing


def test_launch_on_a_project(sandbox: Any, server: XnatServer, lab: Lab, session: Session) -> None:
    """A project's command runs once on the project; naming sessions beside it is refused."""
    document = shell_command("echo done > /output/a.txt", root="Project", resource=None)
    ensure_registered(server.transport, document, [lab.project])
    place = ["--project", lab.project, "--on-project", "--json"]

    dry = _winxnat(sandbox, "launch", document["name"], *place, "--dry-run")
    done = _winxnat(sandbox, "launch", document["name"], *place, "--watch")
    both = _winxnat(sandbox, "launch", document["name"], *place, "--session", session.label)

    assert json.loads(dry.stdout)["dry_run"] is True, dry.stderr
    assert json.loads(done.stdout)["status"] == "Complete", done.stderr
    assert (both.returncode, json.loads(both.stdout)["error"]["exit_code"]) == (2, 2)
    kept = f"{sandbox.url}/data/projects/{lab.project}/resources/COPY/files/a.txt"
    assert lab.admin.http.get(kept).text == "done\n"


def test_a_dry_run_says_what_is_done(
    sandbox: Any, server: XnatServer, lab: Lab, session: Session
) -> None:
    """After a run the dry run tells that its session is done, without launching it again."""
    document = shell_command("cp /input/a.txt /output/")
    ensure_registered(server.transport, document, [lab.project])
    place = ["--project", lab.project, "--session", session.label]

    _winxnat(sandbox, "launch", document["name"], *place, "--watch")
    dry = _winxnat(sandbox, "launch", document["name"], *place, "--dry-run")
    again = _winxnat(sandbox, "launch", document["name"], *place, "--dry-run", "--again")

    assert dry.stdout.startswith("Done before, would launch only if files changed since")
    assert again.stdout.startswith("Would launch")
