"""What every engine must do alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commands import catalog
from commands.service_json import IMAGE_LABEL, label_text
from containers.build import base_tag
from containers.contract import ExitCode
from containers.engine import (
    BindMount,
    ContainerEngine,
    ContainerMissingError,
    ContainerSpec,
    ContainerStatus,
    NotRunnableError,
)

Start = Callable[..., str]
OWN_COMMAND = catalog.find("dicom-to-bids")


@pytest.fixture
def start(engine: ContainerEngine) -> Iterator[Start]:
    """Return a function that starts a shell line; its containers are removed afterwards."""
    started: list[str] = []

    def start_line(line: str, **options: Any) -> str:
        settings = {"image": base_tag(), "override_entrypoint": True, "user": "0:0", **options}
        started.append(engine.start(ContainerSpec(command_line=line, **settings)))
        return started[-1]

    yield start_line
    for container_id in started:
        engine.remove(container_id)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[BindMount, BindMount]:
    """Return mounts at /input, with one file, and at /output; the host's names have a space."""
    input_dir, output_dir = tmp_path / "in put", tmp_path / "out put"
    input_dir.mkdir()
    output_dir.mkdir()
    (input_dir / "word").write_text("alpha", encoding="utf-8")
    return BindMount(input_dir, "/input"), BindMount(output_dir, "/output", writable=True)


@pytest.mark.parametrize("code", [0, 7, 126])
def test_exit_code_is_the_line_s_own(engine: ContainerEngine, start: Start, code: int) -> None:
    """The exit code comes through, and the container counts as neither killed nor starved."""
    state = engine.wait(start(f"exit {code}"))

    assert state.status is ContainerStatus.EXITED
    assert state.exit_code == code
    assert not state.killed
    assert not state.out_of_memory


def test_streams_are_kept_apart(engine: ContainerEngine, start: Start) -> None:
    """What a program prints on each stream is had from that stream alone."""
    container_id = start(r"printf 'a\n\303\251'; printf 'b' >&2")

    engine.wait(container_id)

    assert engine.logs(container_id, "stdout") == b"a\n\xc3\xa9"
    assert engine.logs(container_id, "stderr") == b"b"


def test_unknown_stream_is_a_programming_mistake(engine: ContainerEngine, start: Start) -> None:
    """Only stdout and stderr exist."""
    container_id = start("exit 0")

    with pytest.raises(ValueError, match="everything"):
        engine.logs(container_id, "everything")


@pytest.mark.parametrize(
    "line",
    [
        "cat /input/word >/output/result",
        "cat '/input/word' | tee \"/output/result\"",
        'for f in /input/*; do cp $f.none /output/ 2>/dev/null || cat "$f" >/output/result; done',
        "cd /input && cat <word >/output/result",
    ],
)
def test_mounts_are_seen_under_their_container_paths(
    engine: ContainerEngine, start: Start, folders: tuple[BindMount, BindMount], line: str
) -> None:
    """A line that names container paths reads and writes the host's folders."""
    state = engine.wait(start(line, mounts=folders))

    assert state.exit_code == 0
    assert (folders[1].host_path / "result").read_text(encoding="utf-8") == "alpha"


def test_mount_inside_a_mount_wins(engine: ContainerEngine, start: Start, tmp_path: Path) -> None:
    """A path below an inner mount means the inner mount's folder."""
    for name in ("outer/inner", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "other" / "word").write_text("inner", encoding="utf-8")
    mounts = (
        BindMount(tmp_path / "outer", "/data"),
        BindMount(tmp_path / "other", "/data/inner"),
    )

    container_id = start("cat /data/inner/word", mounts=mounts)

    engine.wait(container_id)
    assert engine.logs(container_id, "stdout") == b"inner"


@pytest.mark.parametrize("folder", ["/input", "/work"])
def test_working_directory_is_where_the_line_begins(
    engine: ContainerEngine, start: Start, folders: tuple[BindMount, BindMount], folder: str
) -> None:
    """The working directory may be a mount or a folder that is none."""
    options = {"mounts": folders, "working_directory": folder}

    container_id = start(f'[ $(pwd -P) -ef {folder} ]||[ "$(pwd)" -ef {folder} ]', **options)

    assert engine.wait(container_id).exit_code == 0


def test_environment_is_given_with_its_paths(
    engine: ContainerEngine, start: Start, folders: tuple[BindMount, BindMount]
) -> None:
    """A variable reaches the program exactly; one that holds a container path works as a path."""
    environment = {"WHERE": "/input/word", "ODD": "a 'b' \"$HOME\" ; é"}

    container_id = start(
        'cat "$WHERE"; printf "|%s" "$ODD"', mounts=folders, environment=environment
    )

    engine.wait(container_id)
    printed = engine.logs(container_id, "stdout").decode()
    assert printed == f"alpha|{environment['ODD']}"


def test_owner_s_environment_does_not_leak(
    engine: ContainerEngine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of the process that owns the engine is not seen inside."""
    monkeypatch.setenv("OWNER_SECRET", "hunter2")

    container_id = start("env; cat /proc/self/environ")

    engine.wait(container_id)
    assert b"hunter2" not in engine.logs(container_id, "stdout")


def test_running_container_is_killed_at_once(engine: ContainerEngine, start: Start) -> None:
    """A killed container has exited with 137; killing it again changes nothing."""
    container_id = start("trap '' TERM; echo ready; while :; do sleep 1; done")
    while not engine.logs(container_id, "stdout"):
        time.sleep(0.05)
    before = engine.state(container_id)

    engine.kill(container_id)
    engine.kill(container_id)

    state = engine.wait(container_id)
    assert (before.status, before.exit_code) == (ContainerStatus.RUNNING, None)
    assert (state.status, state.exit_code, state.killed) == (ContainerStatus.EXITED, 137, True)


def test_wait_gives_up_when_its_time_is_over(engine: ContainerEngine, start: Start) -> None:
    """A wait with a time limit returns the running state."""
    container_id = start("sleep 60")

    state = engine.wait(container_id, timeout_s=0.2)

    assert state.status is ContainerStatus.RUNNING


def test_times_are_aware_and_in_order(engine: ContainerEngine, start: Start) -> None:
    """Start and end are times with a zone, in order, and of the present."""
    state = engine.wait(start("sleep 0.1"))

    assert state.started_at is not None
    assert state.finished_at is not None
    assert state.started_at <= state.finished_at
    assert abs(datetime.now(UTC) - state.finished_at) < timedelta(minutes=5)


def test_removed_container_is_unknown(engine: ContainerEngine, start: Start) -> None:
    """Removing ends a running container; afterwards its id is unknown, and may be removed again."""
    container_id = start("sleep 60")

    engine.remove(container_id)
    engine.remove(container_id)

    for ask in (engine.state, engine.wait, engine.kill):
        with pytest.raises(ContainerMissingError):
            ask(container_id)
    with pytest.raises(ContainerMissingError):
        engine.logs(container_id, "stdout")


@pytest.mark.parametrize("container_id", ["", "..", "0" * 32, "../etc"])
def test_made_up_id_is_unknown(engine: ContainerEngine, container_id: str) -> None:
    """An id that the engine did not give is unknown, whatever it looks like."""
    with pytest.raises(ContainerMissingError):
        engine.state(container_id)


def test_mount_without_a_host_folder_is_refused(start: Start, tmp_path: Path) -> None:
    """A mount whose source is missing is refused, and the source is not made."""
    with pytest.raises(NotRunnableError, match="exist"):
        start("exit 0", mounts=(BindMount(tmp_path / "none", "/input"),))

    assert not (tmp_path / "none").exists()


def test_own_image_carries_its_definition(engine: ContainerEngine) -> None:
    """The label of an image of ours is the definition, byte for byte, and loads as a command."""
    image = engine.image(OWN_COMMAND.image)

    assert image in engine.images()
    assert image.labels[IMAGE_LABEL] == label_text(OWN_COMMAND)
    assert OWN_COMMAND.image in image.tags


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("--help", ExitCode.DONE, "dicom-to-bids"),
        ("dicom-to-bids --help", ExitCode.DONE, "--subject-label"),
        ("no-such-command", ExitCode.WRONG_USAGE, "no-such-command"),
        ("dicom-to-bids /a /b --wrong", ExitCode.WRONG_USAGE, "--wrong"),
        ("dicom-to-bids '/no such' /b", ExitCode.WRONG_USAGE, "/no such"),
    ],
)
def test_own_image_runs_the_entry_point(
    engine: ContainerEngine, start: Start, line: str, code: int, text: str
) -> None:
    """The arguments of an image of ours go to the program of all steps."""
    container_id = start(line, image=OWN_COMMAND.image, override_entrypoint=False, user=None)

    state = engine.wait(container_id)

    printed = engine.logs(container_id, "stderr" if code else "stdout").decode()
    assert state.exit_code == code
    assert text in printed


def test_ping_answers(engine: ContainerEngine) -> None:
    """An engine in use answers."""
    engine.ping()
