"""Launches as services of a Docker Swarm, on a swarm of one node that the tests make and leave."""

from __future__ import annotations

import fcntl
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.version import distribution_version
from containers.docker_engine import DockerEngine
from containers.engine import EngineError
from deploy import sandbox_process
from tests.builders.container_lab import Lab, shell_command

pytestmark = pytest.mark.docker

IMAGE = f"winxnat/base:{distribution_version()}"
FILES = {"DATA/a.txt": b"a"}


@pytest.fixture(scope="module")
def swarm() -> Iterator[Any]:
    """Make this machine's daemon the manager of a swarm; it leaves it afterwards."""
    try:
        with DockerEngine() as engine:
            engine.image(IMAGE)
    except EngineError as error:
        pytest.skip(f"{error} (run: bash .ci/run)")
    import docker  # noqa: PLC0415 - where a daemon answered it is there

    # A machine is in one swarm at a time: other processes of the same run wait for their turn.
    with Path(tempfile.gettempdir(), "winxnat-test-swarm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = docker.from_env()
        if client.info()["Swarm"]["LocalNodeState"] != "inactive":
            client.close()
            pytest.skip("this machine is in a swarm of its own (run: docker swarm leave)")
        client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1")
        yield client
        client.swarm.leave(force=True)
        client.close()


@pytest.fixture(scope="module")
def root(swarm: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a sandbox that gives its containers to the swarm."""
    del swarm
    folder = tmp_path_factory.mktemp("swarm-sandbox")
    sandbox_process.start(folder, engine="docker")
    yield folder
    sandbox_process.stop(folder)


@pytest.fixture
def lab(root: Path) -> Iterator[Lab]:
    """Return a project of this test's own, on a site whose backend is the swarm."""
    server = sandbox_process.running(root)
    assert server is not None
    lab = Lab(server.url, sandbox_process.admin_password(root))
    settings(lab, {"backend": "swarm", "swarm-constraints": []})
    yield lab
    settings(lab, {"backend": "docker", "swarm-constraints": []})


def settings(lab: Lab, body: dict[str, Any]) -> dict[str, Any]:
    """Store settings of the server; return them."""
    answer = lab.admin.http.post(f"{lab.url}/xapi/docker/server", json=body)
    assert answer.status_code == 201, answer.text
    stored: dict[str, Any] = answer.json()
    return stored


def in_image(line: str, **more: Any) -> dict[str, Any]:
    """Return a shell command that runs in the base image."""
    return {**shell_command(line, **more), "image": IMAGE}


def test_files_go_in_and_come_back(lab: Lab, swarm: Any) -> None:
    """A service reads its input, cannot write to it, and its output becomes a resource."""
    session = lab.session(files=FILES)
    wrapper = lab.command(in_image("touch /input/x && exit 9; cp /input/a.txt /output/; echo out"))

    number = lab.launch(lab.admin, wrapper, session)

    assert lab.end(lab.admin, number) == ("Complete", "")
    assert lab.read(f"/data/experiments/{session}", "COPY/a.txt") == b"a"
    assert lab.log(lab.admin, number) == "out\n"
    (container,) = lab.containers(lab.admin, number)
    assert container["backend"] == "swarm"
    assert container["node-id"] == swarm.info()["Swarm"]["NodeID"]
    assert len(container["task-id"]) == len(container["service-id"]) == 25  # Docker's form of it
    words = [each["status"] for each in container["history"] if each["message"] is None]
    assert words == ["Created", "Starting", "Running", "die", "Finalizing", "Complete"]
    for name in (container["id"], container["service-id"], container["container-id"]):
        found = lab.admin.http.get(f"{lab.url}/xapi/containers/{name}")
        assert found.json()["id"] == container["id"]


def test_nothing_of_it_stays_in_the_swarm(lab: Lab, swarm: Any) -> None:
    """Services are removed with the end of their launches."""
    number = lab.launch(lab.admin, lab.command(in_image("true")), lab.session(files=FILES))
    lab.end(lab.admin, number)

    give_up = time.monotonic() + 10
    while swarm.services.list() and time.monotonic() < give_up:
        time.sleep(0.1)

    assert swarm.services.list() == []


def test_failure_and_logs(lab: Lab) -> None:
    """Exit code and both logs are there after the service is gone."""
    wrapper = lab.command(in_image("echo out; echo err >&2; exit 5"))

    number = lab.launch(lab.admin, wrapper, lab.session(files=FILES))
    status, details = lab.end(lab.admin, number)

    assert status == "Failed"
    assert "exit code 5" in details
    assert lab.log(lab.admin, number) == "out\n"
    assert lab.log(lab.admin, number, "stderr") == "err\n"


def test_kill(lab: Lab) -> None:
    """A running service is ended for the owner of the job, and its log kept."""
    number = lab.launch(
        lab.admin, lab.command(in_image("echo begun; sleep 300")), lab.session(files=FILES)
    )
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        found = lab.containers(lab.admin, number)
        if found and found[0]["status"] == "Running":
            break
        time.sleep(0.1)
    time.sleep(0.5)

    lab.admin.http.post(f"{lab.url}/xapi/containers/{found[0]['id']}/kill")

    assert lab.end(lab.admin, number)[0] == "Killed"
    assert lab.log(lab.admin, number) == "begun\n"


def test_kill_of_what_no_node_takes(lab: Lab) -> None:
    """A service that no node fits waits as Starting, and can be ended."""
    worker = {"attribute": "node.role", "comparator": "==", "values": ["worker"]}
    settings(lab, {"backend": "swarm", "swarm-constraints": [worker]})
    number = lab.launch(lab.admin, lab.command(in_image("true")), lab.session(files=FILES))
    lab.until(lab.admin, number, "Running")
    time.sleep(1)

    (container,) = lab.containers(lab.admin, number)
    lab.admin.http.post(f"{lab.url}/xapi/containers/{container['id']}/kill")

    assert container["status"] == "Starting"
    assert lab.end(lab.admin, number)[0] == "Killed"


def test_a_node_that_fits_takes_it(lab: Lab) -> None:
    """A constraint that the manager meets changes nothing."""
    manager = {"attribute": "node.role", "comparator": "==", "values": ["manager"]}
    settings(lab, {"backend": "swarm", "swarm-constraints": [manager]})

    status, _ = lab.run(
        lab.admin, lab.command(in_image("cp /input/* /output/")), lab.session(files=FILES)
    )

    assert status == "Complete"


def test_memory_limit(lab: Lab) -> None:
    """A service that takes more than its memory ends as out of memory."""
    document = {**in_image("exec python3 -c 'bytearray(400_000_000)'"), "limit-memory": 64}

    status, _ = lab.run(lab.admin, lab.command(document), lab.session(files=FILES))

    assert status == "Killed (Out of Memory)"


def test_setup_and_wrapup(lab: Lab) -> None:
    """Set-up and wrap-up commands run as services too."""
    references = {}
    for kind, line in (
        ("setup", "tr a b < /input/a.txt > /output/b.txt"),
        ("wrapup", "tr b c < /input/b.txt > /output/c.txt"),
    ):
        name = f"{kind}-{lab.project}"
        lab.command(
            {
                "name": name, "type": f"docker-{kind}", "image": IMAGE, "command-line": line,
                "override-entrypoint": True,
            }
        )  # fmt: skip
        references[kind] = f"{IMAGE}:{name}"
    document, session = in_image("cp /input/b.txt /output/"), lab.session(files=FILES)
    wrapper = document["xnat"][0]
    wrapper["derived-inputs"][0]["via-setup-command"] = references["setup"]
    wrapper["output-handlers"][0]["via-wrapup-command"] = references["wrapup"]

    assert lab.run(lab.admin, lab.command(document), session) == ("Complete", "")
    assert lab.read(f"/data/experiments/{session}", "COPY/c.txt") == b"c"


def test_a_command_without_network_is_refused(lab: Lab) -> None:
    """A swarm has no service without network; none is run with one instead."""
    document = {**in_image("true"), "network": "none"}

    status, details = lab.run(lab.admin, lab.command(document), lab.session(files=FILES))

    assert status == "Failed"
    assert "no network" in details


def test_what_a_swarm_does_not_have_is_told(lab: Lab) -> None:
    """Settings that services lack stand in the container's history."""
    document = {**in_image("cp /input/* /output/"), "ulimits": {"nofile": "100"}}
    number = lab.launch(lab.admin, lab.command(document), lab.session(files=FILES))

    assert lab.end(lab.admin, number)[0] == "Complete"
    (container,) = lab.containers(lab.admin, number)
    assert "ulimits" in " ".join(each["message"] or "" for each in container["history"])


def test_restart_and_change_of_backend_during_a_run(root: Path, lab: Lab) -> None:
    """A service goes on while its server is away; the next one finds it, whatever is chosen now."""
    session = lab.session(files=FILES)
    wrapper = lab.command(in_image("sleep 4; cp /input/* /output"))
    number = lab.launch(lab.admin, wrapper, session)
    lab.until(lab.admin, number, "Running")

    settings(lab, {"backend": "docker"})
    sandbox_process.stop(root)
    lab.url = sandbox_process.start(root, engine="docker").url

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert lab.read(f"/data/experiments/{session}", "COPY/a.txt") == b"a"
    again = lab.launch(lab.admin, wrapper, session)
    lab.end(lab.admin, again)
    backends = [lab.containers(lab.admin, each)[0]["backend"] for each in (number, again)]
    assert backends == ["swarm", "docker"]


def test_the_older_switch(lab: Lab) -> None:
    """``swarm-mode`` is the same as the backend, which wins where both are said."""
    assert settings(lab, {"swarm-mode": True})["backend"] == "swarm"
    assert settings(lab, {"swarm-mode": False})["backend"] == "docker"
    both = settings(lab, {"backend": "swarm", "swarm-mode": False})
    assert (both["backend"], both["swarm-mode"], both["ping"]) == ("swarm", True, True)


def test_a_network_that_leads_nowhere_can_be_named(lab: Lab, swarm: Any) -> None:
    """A service on an internal overlay network has no route to anywhere else."""
    network = swarm.networks.create(
        f"winxnat-test-{secrets.token_hex(4)}", driver="overlay", internal=True, attachable=True
    )
    line = "cat /proc/net/route > /output/route.txt"
    document = {**in_image(line), "network": network.name}
    session = lab.session(files=FILES)
    try:
        number = lab.launch(lab.admin, lab.command(document), session)
        end = lab.end(lab.admin, number)
    finally:
        network.remove()

    assert end == ("Complete", "")
    _, *routes = lab.read(f"/data/experiments/{session}", "COPY/route.txt").decode().splitlines()
    destinations = {route.split()[1] for route in routes}
    assert destinations  # its own
    assert "00000000" not in destinations  # the default route of all others
