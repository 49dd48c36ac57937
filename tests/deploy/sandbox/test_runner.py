"""Runs that are ended, interrupted or too long: none may stay under way for ever."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy import sandbox_process
from tests.builders.container_lab import Lab, shell_command

FILES = {"DATA/a.txt": b"a"}


def waiting(tmp_path: Path, then: str = "cp /input/* /output/") -> tuple[dict[str, Any], Path]:
    """Return a command that waits until a file appears on the server, and that file."""
    gate = tmp_path / "gate"
    return shell_command(f"echo begun; while [ ! -e {gate} ]; do sleep 0.1; done; {then}"), gate


def container_of(lab: Lab, number: str) -> int:
    """Return the number of a workflow's main container."""
    return int(lab.containers(lab.admin, number)[0]["id"])


def test_kill_by_the_owner_of_the_job(lab: Lab, tmp_path: Path):
    """The person who launched, and no other member, can end a run; nothing is uploaded then."""
    member, other = lab.person(), lab.person()
    session = lab.session(files=FILES)
    document, _ = waiting(tmp_path)
    number = lab.launch(member, lab.command(document), session)
    lab.until(member, number, "Running")
    container = lab.containers(member, number)[0]
    kill = f"{lab.url}/xapi/projects/{lab.project}/containers/{container['id']}/kill"

    refused = other.http.post(kill)
    killed = member.http.post(kill)

    assert refused.status_code == 403
    assert (killed.status_code, killed.text) == (200, container["container-id"])
    assert lab.end(member, number)[0] == "Killed"
    (container,) = lab.containers(member, number)
    assert container["status"] == "Killed"
    users = [each["entity-id"] for each in container["history"] if each["entity-type"] == "user"]
    assert users == [member.login]
    assert lab.read(f"/data/experiments/{session}", "COPY/a.txt") is None
    assert lab.log(member, number) == "begun\n"
    assert member.http.post(kill).status_code == 409


def test_log_of_a_running_container(lab: Lab, tmp_path: Path):
    """The log can be read while the container still runs."""
    document, gate = waiting(tmp_path)
    number = lab.launch(lab.admin, lab.command(document), lab.session(files=FILES))
    lab.until(lab.admin, number, "Running")
    give_up = time.monotonic() + 30
    while not (seen := lab.log(lab.admin, number)) and time.monotonic() < give_up:
        time.sleep(0.05)
    gate.touch()

    assert seen == "begun\n"
    assert lab.end(lab.admin, number)[0] == "Complete"


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
def test_restart_during_a_run(fresh_sandbox: Any, tmp_path: Path, blow: signal.Signals):
    """A run outlives its server, whatever ended it, and the next server finishes it."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    session = lab.session(files=FILES)
    document, gate = waiting(tmp_path)
    number = lab.launch(lab.admin, lab.command(document), session)
    lab.until(lab.admin, number, "Running")

    end_server(fresh_sandbox, blow)
    gate.touch()
    lab.url = sandbox_process.start(fresh_sandbox.root, engine="process").url

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert lab.read(f"/data/experiments/{session}", "COPY/a.txt") == b"a"


def end_server(sandbox: Any, blow: signal.Signals) -> None:
    """Send a signal to a sandbox and wait for its end."""
    os.kill(sandbox.pid, blow)
    give_up = time.monotonic() + 30
    while sandbox_process.running(sandbox.root) and time.monotonic() < give_up:
        time.sleep(0.05)
    # A parent must collect its child before the same folder can be served again.
    time.sleep(0.2)


def test_container_that_is_gone_after_a_restart(fresh_sandbox: Any, tmp_path: Path):
    """A run whose container vanished while no server ran is marked Failed, with the reason."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    document, gate = waiting(tmp_path)
    number = lab.launch(lab.admin, lab.command(document), lab.session(files=FILES))
    lab.until(lab.admin, number, "Running")
    state_dir = fresh_sandbox.root / "engine"
    end_server(fresh_sandbox, signal.SIGKILL)
    gate.touch()
    for folder in state_dir.iterdir():
        folder.rename(tmp_path / folder.name)

    lab.url = sandbox_process.start(fresh_sandbox.root, engine="process").url

    status, details = lab.end(lab.admin, number)
    assert status == "Failed"
    assert "gone" in details


def test_launches_that_wait_are_not_lost(fresh_sandbox: Any, tmp_path: Path):
    """Launches that were only queued when the server died are done by the next one."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    session = lab.session(files=FILES)
    document, gate = waiting(tmp_path, then="true")
    document = {**document, "outputs": [], "mounts": document["mounts"][:1]}
    document["xnat"][0]["output-handlers"] = []
    wrapper = lab.command(document)
    numbers = [lab.launch(lab.admin, wrapper, session) for _ in range(12)]
    lab.until(lab.admin, numbers[0], "Running")

    end_server(fresh_sandbox, signal.SIGKILL)
    gate.touch()
    lab.url = sandbox_process.start(fresh_sandbox.root, engine="process").url

    assert {lab.end(lab.admin, number)[0] for number in numbers} == {"Complete"}


def test_run_longer_than_its_credentials(fresh_sandbox: Any, tmp_path: Path):
    """A container that outlives its token is ended, and the workflow names the property."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    answer = lab.admin.http.post(f"{lab.url}/xapi/siteConfig/aliasTokenTimeout", json="2 seconds")
    assert answer.status_code == 200, answer.text
    document, _ = waiting(tmp_path)

    status, details = lab.run(lab.admin, lab.command(document), lab.session(files=FILES))

    assert status == "Failed"
    assert "aliasTokenTimeout" in details


def test_build_folders_are_removed(fresh_sandbox: Any):
    """Nothing of a run stays behind in the build folder, whether it went well or not."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    session = lab.session(files=FILES)
    for line in ("cp /input/* /output/", "exit 1", "true"):
        lab.run(lab.admin, lab.command(shell_command(line)), session)
    give_up = time.monotonic() + 30
    while list((fresh_sandbox.root / "build").iterdir()) and time.monotonic() < give_up:
        time.sleep(0.05)

    assert list((fresh_sandbox.root / "build").iterdir()) == []
    assert list((fresh_sandbox.root / "engine").iterdir()) == []


def test_credentials_of_a_killed_run_are_dead(fresh_sandbox: Any, tmp_path: Path):
    """The credentials of a killed run are dead at once."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    secrets = tmp_path / "secrets"
    document, _ = waiting(tmp_path)
    document["command-line"] = f'echo "$XNAT_USER $XNAT_PASS" > {secrets}; sleep 60'
    number = lab.launch(lab.admin, lab.command(document), lab.session(files=FILES))
    lab.until(lab.admin, number, "Running")
    give_up = time.monotonic() + 30
    while not (secrets.exists() and secrets.read_text()) and time.monotonic() < give_up:
        time.sleep(0.05)
    alias, secret = secrets.read_text().split()
    address = f"{lab.url}/data/auth"
    before = requests.get(address, auth=(alias, secret), timeout=10).status_code

    lab.admin.http.post(f"{lab.url}/xapi/containers/{container_of(lab, number)}/kill")
    lab.end(lab.admin, number)
    give_up = time.monotonic() + 30
    while (
        after := requests.get(address, auth=(alias, secret), timeout=10).status_code
    ) == before and time.monotonic() < give_up:
        time.sleep(0.05)

    assert (before, after) == (200, 401)


def test_server_that_dies_during_the_setup(fresh_sandbox: Any, tmp_path: Path):
    """A launch whose set-up was cut off begins afresh; nothing of the first try stays Running."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    session = lab.session(files=FILES)
    gate = tmp_path / "gate"
    lab.command(
        {
            "name": "slow",
            "type": "docker-setup",
            "image": "lab/setup:1",
            "command-line": f"while [ ! -e {gate} ]; do sleep 0.1; done; cp /input/* /output/",
            "override-entrypoint": True,
        }
    )
    document = shell_command("cp /input/* /output/")
    document["xnat"][0]["derived-inputs"][0]["via-setup-command"] = "lab/setup:1"
    number = lab.launch(lab.admin, lab.command(document), session)
    give_up = time.monotonic() + 30
    while len(lab.containers(lab.admin, number)) < 2 and time.monotonic() < give_up:
        time.sleep(0.05)

    end_server(fresh_sandbox, signal.SIGKILL)
    lab.url = sandbox_process.start(fresh_sandbox.root, engine="process").url
    give_up = time.monotonic() + 30
    while len(lab.containers(lab.admin, number)) < 4 and time.monotonic() < give_up:
        time.sleep(0.05)
    gate.touch()

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert lab.read(f"/data/experiments/{session}", "COPY/a.txt") == b"a"
    statuses = [each["status"] for each in lab.containers(lab.admin, number)]
    assert sorted(statuses) == ["Complete", "Complete", "Failed", "Failed"]
