"""What only the process engine does: it outlives its owner, and says what it cannot do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import catalog
from containers.engine import (
    BindMount,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    EngineUnavailableError,
    ImageMissingError,
    NotRunnableError,
)
from containers.process_engine import ProcessEngine

OWN_COMMAND = catalog.find("dicom-to-bids")


def shell(line: str, **options: object) -> ContainerSpec:
    """Return the spec of a shell line in an image of somebody else."""
    return ContainerSpec("other/image:1", line, override_entrypoint=True, **options)  # type: ignore[arg-type] # names are those of the spec


def wait_for(path: Path) -> str:
    """Return the text of a file as soon as it is there and not empty."""
    while not path.exists() or not path.read_text(encoding="utf-8").endswith("\n"):
        time.sleep(0.02)
    return path.read_text(encoding="utf-8").strip()


def is_running(pid: int) -> bool:
    """Return if a process exists and is no zombie, as ``ps`` sees it."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")


def owner_program(state_dir: Path, line: str) -> str:
    """Return the id of a line started by another Python process, which has ended."""
    program = (
        "import os, sys; from pathlib import Path\n"
        "from containers.engine import ContainerSpec\n"
        "from containers.process_engine import ProcessEngine\n"
        "spec = ContainerSpec('other/image:1', sys.argv[2], override_entrypoint=True)\n"
        "print(ProcessEngine(Path(sys.argv[1])).start(spec), flush=True); os._exit(0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(state_dir), line],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_foreign_entry_point_is_refused(process_engine: ProcessEngine) -> None:
    """An image of others without override-entrypoint is refused with the way out."""
    with pytest.raises(NotRunnableError, match="Use the Docker engine"):
        process_engine.start(ContainerSpec("other/image:1", "--help"))


def test_images_are_those_of_the_catalogue(process_engine: ProcessEngine) -> None:
    """Other images are missing, with a sentence that says why."""
    assert {tag for image in process_engine.images() for tag in image.tags} == {
        command.image for command in catalog.commands()
    }
    with pytest.raises(ImageMissingError, match="Use Docker"):
        process_engine.image("other/image:1")


def test_other_owner_sees_the_end(tmp_path: Path) -> None:
    """The exit code of a process is known after its owner has gone before it."""
    state_dir, gate = tmp_path / "state", tmp_path / "gate"
    container_id = owner_program(
        state_dir, f"echo out; while [ ! -e {gate} ]; do sleep 0.02; done; exit 9"
    )
    engine = ProcessEngine(state_dir)

    before = engine.state(container_id)
    gate.touch()
    after = engine.wait(container_id)

    assert before.status is ContainerStatus.RUNNING
    assert (after.status, after.exit_code, after.killed) == (ContainerStatus.EXITED, 9, False)
    assert engine.logs(container_id, "stdout") == b"out\n"
    engine.remove(container_id)


def test_other_owner_kills(tmp_path: Path) -> None:
    """A process can be killed by an engine that did not start it."""
    container_id = owner_program(tmp_path / "state", "sleep 600")
    engine = ProcessEngine(tmp_path / "state")

    engine.kill(container_id)

    assert engine.state(container_id).exit_code == 137
    engine.remove(container_id)


def test_unseen_end_counts_as_killed(tmp_path: Path) -> None:
    """A process that vanished without a recorded exit code is exited and killed, code unknown."""
    state_dir, pid_file = tmp_path / "state", tmp_path / "pid"
    container_id = owner_program(state_dir, f"ps -o pgid= -p $$ >{pid_file}; exec sleep 600")
    group = int(wait_for(pid_file))

    os.killpg(group, signal.SIGKILL)

    engine = ProcessEngine(state_dir)
    state = engine.wait(container_id)
    assert (state.status, state.exit_code, state.killed) == (ContainerStatus.EXITED, None, True)
    engine.kill(container_id)
    engine.remove(container_id)


def test_number_given_to_another_process_is_not_mistaken(tmp_path: Path) -> None:
    """A later process with the recorded number is neither taken for the container nor killed."""
    engine = ProcessEngine(tmp_path)
    container_id = engine.start(shell("exit 0"))
    engine.wait(container_id)
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        folder = tmp_path / container_id
        (folder / "exit-code").unlink()
        record = folder / "started.json"
        text = record.read_text(encoding="utf-8")
        before = text.split('"pid": ')[1].split(",")[0]
        record.write_text(text.replace(f'"pid": {before}', f'"pid": {other.pid}'), encoding="utf-8")

        engine.kill(container_id)

        assert engine.state(container_id).status is ContainerStatus.EXITED
        assert ProcessEngine(tmp_path).state(container_id).status is ContainerStatus.EXITED
        assert is_running(other.pid)
        other.kill()
    engine.remove(container_id)


def test_kill_reaches_the_children(process_engine: ProcessEngine, tmp_path: Path) -> None:
    """Killing ends the programs that the line has started."""
    pid_file = tmp_path / "pid"
    container_id = process_engine.start(shell(f"sleep 600 & echo $! >{pid_file}; wait"))
    child = int(wait_for(pid_file))

    process_engine.kill(container_id)

    assert not is_running(child)
    process_engine.remove(container_id)


def test_end_of_the_line_ends_what_it_left_running(
    process_engine: ProcessEngine, tmp_path: Path
) -> None:
    """As with a container, a program in the background does not outlive the line."""
    pid_file = tmp_path / "pid"
    container_id = process_engine.start(shell(f"sleep 600 & echo $! >{pid_file}; exit 3"))

    state = process_engine.wait(container_id)

    assert state.exit_code == 3
    process_engine.remove(container_id)
    assert not is_running(int(wait_for(pid_file)))


def test_settings_it_does_not_honour_are_named(
    process_engine: ProcessEngine, tmp_path: Path
) -> None:
    """Every setting without effect is listed, running and ended alike; others are not."""
    spec = shell(
        "sleep 600",
        mounts=(BindMount(tmp_path, "/input"),),
        memory_limit_mb=64,
        cpu_limit=1.0,
        network="none",
        user="1000:1000",
        gpus="all",
    )
    container_id = process_engine.start(spec)
    running = process_engine.state(container_id)
    process_engine.kill(container_id)
    ended = process_engine.state(container_id)
    plain_id = process_engine.start(shell("exit 0"))
    plain: ContainerState = process_engine.wait(plain_id)

    expected = {"user", "memory_limit_mb", "cpu_limit", "network", "gpus", "read-only mounts"}
    assert set(running.ignored) == set(ended.ignored) == expected
    assert plain.ignored == ()
    process_engine.remove(container_id)
    process_engine.remove(plain_id)


def test_secrets_are_not_written_to_the_state(
    process_engine: ProcessEngine, tmp_path: Path
) -> None:
    """No value of the environment is stored in the state folder."""
    container_id = process_engine.start(shell("exit 0", environment={"XNAT_PASS": "hunter2"}))
    process_engine.wait(container_id)

    stored = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]

    assert len(stored) >= 4
    assert not any(b"hunter2" in content for content in stored)
    process_engine.remove(container_id)


def test_package_in_the_data_is_not_run(process_engine: ProcessEngine, tmp_path: Path) -> None:
    """A folder named like this package in the working directory is not imported."""
    trap = tmp_path / "in" / "containers"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit(99)", encoding="utf-8")
    spec = ContainerSpec(
        OWN_COMMAND.image,
        "--help",
        mounts=(BindMount(tmp_path / "in", "/input"),),
        working_directory="/input",
    )

    container_id = process_engine.start(spec)

    assert process_engine.wait(container_id).exit_code == 0
    process_engine.remove(container_id)


def test_state_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """An impossible state folder is reported before anything starts."""
    (tmp_path / "file").touch()

    with pytest.raises(EngineUnavailableError, match="cannot keep its state"):
        ProcessEngine(tmp_path / "file" / "state").start(shell("exit 0"))


@pytest.mark.parametrize("path", ["/", "relative"])
def test_paths_that_cannot_be_mapped_are_refused(
    process_engine: ProcessEngine, tmp_path: Path, path: str
) -> None:
    """A mount at the root or at a relative path is refused."""
    with pytest.raises(NotRunnableError, match="absolute"):
        process_engine.start(shell("exit 0", mounts=(BindMount(tmp_path, path),)))
