"""Launches with real containers, where a Docker daemon answers."""

from __future__ import annotations

import subprocess
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
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a sandbox that runs its launches with Docker."""
    try:
        with DockerEngine() as engine:
            engine.image(IMAGE)
    except EngineError as error:
        pytest.skip(f"{error} (run: bash .ci/run)")
    folder = tmp_path_factory.mktemp("docker-sandbox")
    sandbox_process.start(folder, engine="docker")
    yield folder
    sandbox_process.stop(folder)


@pytest.fixture
def docker_lab(root: Path) -> Lab:
    """Return a project of this test's own on the sandbox with Docker."""
    server = sandbox_process.running(root)
    assert server is not None
    return Lab(server.url, sandbox_process.admin_password(root))


def in_image(line: str, **more: Any) -> dict[str, Any]:
    """Return a shell command that runs in the base image, without network."""
    return {**shell_command(line, **more), "image": IMAGE, "network": "none"}


def test_files_go_in_and_come_back(docker_lab: Lab):
    """What a container writes is a resource of the session; its input cannot be written to."""
    lab, session = docker_lab, docker_lab.session(files=FILES)
    document = in_image("touch /input/x && exit 9; cp /input/a.txt /output/ && id -u")

    number = lab.launch(lab.admin, lab.command(document), session)

    assert lab.end(lab.admin, number) == ("Complete", "")
    assert lab.read(f"/data/experiments/{session}", "COPY/a.txt") == b"a"
    assert lab.containers(lab.admin, number)[0]["backend"] == "docker"


def test_failure_and_logs(docker_lab: Lab):
    """Exit code and logs of a container are kept after Docker has forgotten it."""
    lab, session = docker_lab, docker_lab.session(files=FILES)
    wrapper = lab.command(in_image("echo out; echo err >&2; exit 5"))

    number = lab.launch(lab.admin, wrapper, session)
    status, details = lab.end(lab.admin, number)

    assert status == "Failed"
    assert "exit code 5" in details
    assert lab.log(lab.admin, number) == "out\n"
    assert lab.log(lab.admin, number, "stderr") == "err\n"


def test_missing_image(docker_lab: Lab):
    """An image that is not on the machine fails the launch by its name; nothing is pulled."""
    lab, session = docker_lab, docker_lab.session(files=FILES)
    document = {**shell_command("true"), "image": "nobody/nothing:1"}

    status, details = lab.run(lab.admin, lab.command(document), session)

    assert status == "Failed"
    assert "nobody/nothing:1" in details


def test_setup_and_wrapup(docker_lab: Lab):
    """Set-up and wrap-up commands run as containers too."""
    lab, session = docker_lab, docker_lab.session(files=FILES)
    references = {}
    for kind, line in (
        ("setup", "tr a b < /input/a.txt > /output/b.txt"),
        ("wrapup", "tr b c < /input/b.txt > /output/c.txt"),
    ):
        name = f"{kind}-{lab.project}"
        lab.command(
            {
                "name": name,
                "type": f"docker-{kind}",
                "image": IMAGE,
                "command-line": line,
                "override-entrypoint": True,
            }
        )
        references[kind] = f"{IMAGE}:{name}"
    document = in_image("cp /input/b.txt /output/")
    wrapper = document["xnat"][0]
    wrapper["derived-inputs"][0]["via-setup-command"] = references["setup"]
    wrapper["output-handlers"][0]["via-wrapup-command"] = references["wrapup"]

    assert lab.run(lab.admin, lab.command(document), session) == ("Complete", "")
    assert lab.read(f"/data/experiments/{session}", "COPY/c.txt") == b"c"


def test_kill(docker_lab: Lab):
    """A container is ended for its owner."""
    lab, session = docker_lab, docker_lab.session(files=FILES)
    number = lab.launch(lab.admin, lab.command(in_image("sleep 300")), session)
    lab.until(lab.admin, number, "Running")
    container = lab.containers(lab.admin, number)[0]["id"]

    assert lab.admin.http.post(f"{lab.url}/xapi/containers/{container}/kill").status_code == 200

    assert lab.end(lab.admin, number)[0] == "Killed"


def test_memory_limit(docker_lab: Lab):
    """A container that takes more than its memory ends as out of memory, and says what to do."""
    lab, session = docker_lab, docker_lab.session(files=FILES)
    document = {**in_image("exec python3 -c 'bytearray(400_000_000)'"), "limit-memory": 64}

    status, details = lab.run(lab.admin, lab.command(document), session)

    assert status == "Killed (Out of Memory)"
    assert "limit-memory" in details


def test_restart_during_a_run(root: Path, docker_lab: Lab):
    """A container goes on while its server is away, and the next one takes its output."""
    lab, session = docker_lab, docker_lab.session(files=FILES)
    number = lab.launch(lab.admin, lab.command(in_image("sleep 3; cp /input/* /output")), session)
    lab.until(lab.admin, number, "Running")

    server = sandbox_process.running(root)
    assert server is not None
    sandbox_process.stop(root)
    lab.url = sandbox_process.start(root, engine="docker").url

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert lab.read(f"/data/experiments/{session}", "COPY/a.txt") == b"a"


def test_a_device_among_the_outputs_is_refused(docker_lab: Lab):
    """A container that runs as root may make a device; it is no file, and nothing reads it."""
    session = docker_lab.session(files=FILES)
    settings = f"{docker_lab.url}/xapi/docker/server"
    docker_lab.admin.http.post(settings, json={"container-user": "0:0"})
    # Images of our own have no capabilities; under another name this one has Docker's usual ones.
    with DockerEngine() as engine:
        alias = engine.image(IMAGE).image_id
    document = {**in_image("mknod /output/x b 1 1 && chmod 777 /output/x"), "image": "lab/base:1"}
    subprocess.run(["docker", "tag", alias, "lab/base:1"], check=True)

    status, details = docker_lab.run(docker_lab.admin, docker_lab.command(document), session)

    subprocess.run(["docker", "rmi", "lab/base:1"], check=True, capture_output=True)
    docker_lab.admin.http.post(settings, json={"container-user": None})
    assert status == "Failed (Upload)"
    assert "no file" in details


@pytest.mark.parametrize(
    "line",
    [
        "ln -s /etc/passwd /output/x",
        "ln -s /input/a.txt /output/x",
        "ln -s ../../../sandbox.sqlite /output/x",
        "ln /input/a.txt /output/x; mkfifo /output/y",
    ],
)
def test_links_out_of_the_outputs_are_refused(docker_lab: Lab, line: str):
    """What a link means outside the container is never looked at."""
    session = docker_lab.session(files=FILES)

    status, _ = docker_lab.run(docker_lab.admin, docker_lab.command(in_image(line)), session)

    assert status == "Failed (Upload)"


def test_set_user_bits_do_not_leave_the_container(docker_lab: Lab, root: Path):
    """A program with the set-user-ID bit is plain data in the archive."""
    session = docker_lab.session(files=FILES)
    document = in_image("cp /bin/true /output/p; chmod 6777 /output/p")

    docker_lab.run(docker_lab.admin, docker_lab.command(document), session)

    folder = root / "archive" / docker_lab.project / "arc001" / "E1" / "RESOURCES" / "COPY"
    assert (folder / "p").stat().st_mode & 0o7111 == 0
