"""What only the Docker engine can do, checked inside real containers."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import catalog
from containers.build import base_tag
from containers.docker_engine import DockerEngine
from containers.engine import (
    BindMount,
    ContainerSpec,
    ContainerStatus,
    EngineUnavailableError,
    ImageMissingError,
    NotRunnableError,
)

OWN_IMAGE = catalog.find("dicom-to-bids").image
Output = Callable[..., tuple[int | None, str]]


@pytest.fixture
def output(docker_engine: DockerEngine) -> Iterator[Output]:
    """Return a function that runs a shell line to its end and gives exit code and output."""
    started: list[str] = []

    def run_line(line: str, **options: Any) -> tuple[int | None, str]:
        settings = {"image": base_tag(), "override_entrypoint": True, **options}
        container_id = docker_engine.start(ContainerSpec(command_line=line, **settings))
        started.append(container_id)
        state = docker_engine.wait(container_id)
        printed = docker_engine.logs(container_id, "stdout") + docker_engine.logs(
            container_id, "stderr"
        )
        return state.exit_code, printed.decode().strip()

    yield run_line
    for container_id in started:
        docker_engine.remove(container_id)


def test_unreachable_daemon_is_one_sentence(tmp_path: Path) -> None:
    """Where no daemon listens, the error says so and what to do."""
    with pytest.raises(EngineUnavailableError, match="Cannot reach the Docker daemon") as caught:
        DockerEngine(f"unix://{tmp_path}/none.sock")

    assert str(caught.value).count("\n") == 0


@pytest.mark.docker
def test_missing_image_is_not_pulled(docker_engine: DockerEngine) -> None:
    """An image that is not on the machine is an error that says how to get it."""
    with pytest.raises(ImageMissingError, match="winxnat image build"):
        docker_engine.start(ContainerSpec(image="nobody/nothing:1", command_line=""))


@pytest.mark.docker
def test_too_much_memory_is_told_apart_from_a_kill(docker_engine: DockerEngine) -> None:
    """A program beyond its memory limit ends with 137 and the reason."""
    spec = ContainerSpec(
        image=base_tag(),
        command_line="exec python -c 'x = bytearray(300 * 1024 * 1024)'",
        override_entrypoint=True,
        memory_limit_mb=64,
    )
    container_id = docker_engine.start(spec)

    state = docker_engine.wait(container_id)

    docker_engine.remove(container_id)
    assert (state.status, state.exit_code) == (ContainerStatus.EXITED, 137)
    assert state.out_of_memory


@pytest.mark.docker
def test_own_images_run_without_rights(output: Output) -> None:
    """An image of ours runs as an ordinary user, without capabilities, and can gain none."""
    code, printed = output("id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status", image=OWN_IMAGE)

    assert code == 0
    assert printed.split() == ["65534", "CapEff:", "0000000000000000", "NoNewPrivs:", "1"]


@pytest.mark.docker
@pytest.mark.parametrize("user", ["1000:1000", "0:0"])
def test_user_owns_what_it_writes(output: Output, tmp_path: Path, user: str) -> None:
    """Files in a writable mount belong to the user that was asked for."""
    tmp_path.chmod(0o777)
    mounts = (BindMount(tmp_path, "/output", writable=True),)

    output("touch /output/f", user=user, mounts=mounts)

    written = (tmp_path / "f").stat()
    assert f"{written.st_uid}:{written.st_gid}" == user


@pytest.mark.docker
def test_read_only_mount_refuses_writing(output: Output, tmp_path: Path) -> None:
    """Even root cannot write into a mount that is not writable."""
    code, printed = output("touch /in/f", user="0:0", mounts=(BindMount(tmp_path, "/in"),))

    assert code != 0
    assert "Read-only file system" in printed


@pytest.mark.docker
def test_no_network_means_loopback_only(output: Output) -> None:
    """With network none a container has no interface but its own loopback."""
    _, without = output("ls /sys/class/net", network="none")
    _, default = output("ls /sys/class/net")

    assert without == "lo"
    assert "eth0" in default


@pytest.mark.docker
def test_limits_reach_the_daemon(docker_engine: DockerEngine) -> None:
    """Sizes, cores, limits, ports, labels and the name are what ``docker inspect`` shows."""
    spec = ContainerSpec(
        image=base_tag(),
        command_line="sleep 60",
        override_entrypoint=True,
        name=f"winxnat-test-{time.time_ns()}",
        memory_limit_mb=256,
        memory_reservation_mb=128,
        cpu_limit=1.5,
        shm_size_bytes=1048576,
        ipc_mode="private",
        runtime="runc",
        ulimits={"nofile": "100:200", "core": "0"},
        ports={"8080": "0", "9090/udp": "0"},
        labels={"a": "$b"},
    )
    container_id = docker_engine.start(spec)

    inspected = subprocess.run(
        ["docker", "inspect", container_id], capture_output=True, text=True, check=True
    )
    docker_engine.remove(container_id)

    found = json.loads(inspected.stdout)[0]
    host = found["HostConfig"]
    assert found["Name"] == f"/{spec.name}"
    assert found["Config"]["Labels"]["a"] == "$b"
    assert (host["Memory"], host["MemoryReservation"]) == (256 * 2**20, 128 * 2**20)
    assert host["MemorySwap"] == host["Memory"]
    assert (host["NanoCpus"], host["ShmSize"]) == (1_500_000_000, 1048576)
    assert (host["IpcMode"], host["Runtime"]) == ("private", "runc")
    assert {(each["Name"], each["Soft"], each["Hard"]) for each in host["Ulimits"]} == {
        ("nofile", 100, 200),
        ("core", 0, 0),
    }
    assert set(host["PortBindings"]) == {"8080/tcp", "9090/udp"}


@pytest.mark.docker
@pytest.mark.parametrize(
    "options",
    [
        {"ulimits": {"nofile": "many"}},
        {"ports": {"80": "http"}},
        {"gpus": "some"},
        {"runtime": "no-such-runtime"},
        {"network": "no-such-network"},
        {"working_directory": "relative"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_refused_settings_leave_no_container(
    docker_engine: DockerEngine, options: dict[str, Any]
) -> None:
    """A setting that cannot be met is one sentence, and no container stays behind."""
    name = f"winxnat-test-{time.time_ns()}"
    spec = ContainerSpec(
        image=base_tag(), command_line="true", override_entrypoint=True, name=name, **options
    )

    with pytest.raises(NotRunnableError) as caught:
        docker_engine.start(spec)

    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"name={name}"], capture_output=True, check=True
    )
    assert listed.stdout == b""
    assert re.search(r"\.$", str(caught.value))


@pytest.mark.docker
def test_line_without_a_shell_is_split_into_arguments(docker_engine: DockerEngine) -> None:
    """Without override the line's words, quotes taken off, are given to the image as they are."""
    spec = ContainerSpec(
        image=base_tag(),
        command_line="python -c 'import sys; print(sys.argv[1:])' 'a b' $HOME ';' \"c\"",
    )
    container_id = docker_engine.start(spec)

    docker_engine.wait(container_id)

    printed = docker_engine.logs(container_id, "stdout").decode().strip()
    docker_engine.remove(container_id)
    assert printed == "['a b', '$HOME', ';', 'c']"
