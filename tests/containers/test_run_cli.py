"""``winxnat run``, and the local runs behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commands import catalog
from commands.model import Command, Mount
from containers.contract import ExitCode, UsageError
from containers.docker_engine import DockerEngine
from containers.engine import BindMount, ContainerSpec, ImageMissingError
from containers.local import EngineKind, run_local
from containers.run_cli import run

COMMAND = catalog.find("dicom-to-bids")
ENGINES = [pytest.param("docker", marks=pytest.mark.docker), "process"]


def call(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(run, list(arguments), env=env)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """Return an input folder without images, and an output folder that is not there yet."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no image", encoding="utf-8")
    return str(tmp_path / "in"), str(tmp_path / "out")


def test_run_alone_lists_the_commands() -> None:
    """Without a command the list of commands is the result."""
    result = call()

    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.stdout.splitlines()]
    assert listed == [command.name for command in catalog.commands()]


@pytest.mark.parametrize("command", catalog.commands(), ids=lambda command: command.name)
def test_help_shows_the_definition(command: Command) -> None:
    """Each input of the definition is an option in the help text."""
    result = call(command.name, "--help")

    assert result.exit_code == 0
    assert all(f"--{each.name}" in result.stdout for each in command.inputs)


@pytest.mark.parametrize(
    "arguments",
    [("nothing",), (COMMAND.name,), (COMMAND.name, "a", "b", "--wrong"), ("--wrong",)],
    ids=str,
)
def test_wrong_usage_gives_2(arguments: tuple[str, ...]) -> None:
    """Unknown commands and options, and missing folders, give 2."""
    assert call(*arguments).exit_code == ExitCode.WRONG_USAGE


@pytest.mark.parametrize("engine", ENGINES)
def test_exit_code_of_the_step_comes_through(
    request: pytest.FixtureRequest, folders: tuple[str, str], engine: str
) -> None:
    """A folder without images gives the step's own code and sentence, and no output folder."""
    if engine == "docker":
        request.getfixturevalue("docker_engine")

    result = call(COMMAND.name, *folders, "--engine", engine)

    assert result.exit_code == ExitCode.BAD_INPUT
    assert f"{COMMAND.name} did not finish" in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path(folders[1]).exists()


def test_json_is_all_that_stdout_holds(folders: tuple[str, str]) -> None:
    """With --json the outcome of a failure is one document, settings without effect included."""
    document = json.loads(call(COMMAND.name, *folders, "--json").stdout)

    assert document["exit_code"] == ExitCode.BAD_INPUT
    assert document["report"] is None
    assert "did not finish" in document["messages"]
    assert "network" in document["not_honoured"]


def test_missing_input_folder_gives_2(folders: tuple[str, str]) -> None:
    """An input folder that is not there is named, and no output folder is made."""
    result = call(COMMAND.name, "/none/such", folders[1])

    assert result.exit_code == ExitCode.WRONG_USAGE
    assert "/none/such" in result.stderr
    assert not Path(folders[1]).exists()


def test_absent_docker_is_one_sentence(folders: tuple[str, str], tmp_path: Path) -> None:
    """Docker that was asked for and does not answer gives 5 and one sentence."""
    env = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}

    result = call(COMMAND.name, *folders, "--engine", "docker", env=env)

    assert result.exit_code == ExitCode.TOOL_FAILED
    assert len(result.stderr.splitlines()) == 1
    assert "process engine" in result.stderr


@pytest.mark.docker
def test_missing_image_says_how_to_build_it(
    docker_engine: DockerEngine, folders: tuple[str, str]
) -> None:
    """A command whose image is not built leads to the build command."""
    docker_engine.ping()
    command = Command(
        name="none",
        image="winxnat/none:1",
        mounts=(Mount("input", "/input"), Mount("output", "/output", writable=True)),
    )
    paths = (Path(folders[0]), Path(folders[1]))

    with pytest.raises(ImageMissingError, match="winxnat image build"):
        run_local(command, paths, {}, EngineKind.DOCKER)


def test_unknown_value_is_wrong_usage(folders: tuple[str, str]) -> None:
    """A value for an input that the command has not is refused before anything starts."""
    paths = (Path(folders[0]), Path(folders[1]))

    with pytest.raises(UsageError, match="nonsense"):
        run_local(COMMAND, paths, {"nonsense": "1"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_command_line_stops_the_step(
    folders: tuple[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """A stopped run leaves no process, no output folder and no temporary file."""
    temporary_dir = tmp_path / "tmp"
    temporary_dir.mkdir()
    # A file of a tebibyte that takes no room: its checksum keeps the step busy for long.
    large_path = Path(folders[0]) / "large"
    large_path.touch()
    os.truncate(large_path, 1 << 40)
    with subprocess.Popen(
        [sys.executable, "-c", "from containers.run_cli import run; run()", COMMAND.name, *folders],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary_dir)},
    ) as program:
        while program.poll() is None and not (Path(folders[1]) / ".partial").exists():
            time.sleep(0.02)

        program.send_signal(number)
        program.communicate()

    still = subprocess.run(["pgrep", "-f", folders[1]], capture_output=True, check=False)
    assert program.returncode == 143
    assert still.stdout == b""
    assert not Path(folders[1]).exists()
    assert list(temporary_dir.iterdir()) == []


@pytest.mark.docker
def test_memory_limit_of_the_definition_gives_6(
    docker_engine: DockerEngine, folders: tuple[str, str]
) -> None:
    """A step that outgrows its limit-memory ends with 6 and a sentence that names the limit."""
    docker_engine.ping()
    command = replace(COMMAND, limit_memory=6)
    paths = (Path(folders[0]), Path(folders[1]))

    outcome = run_local(command, paths, {}, EngineKind.DOCKER)

    assert outcome.exit_code == ExitCode.OUT_OF_RESOURCES
    assert "6 MB" in outcome.messages


@pytest.mark.docker
def test_folder_of_another_user_is_refused_inside(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    """An output folder that the container's user may not write gives 2 and says who asked."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir(mode=0o755)
    spec = ContainerSpec(
        image=COMMAND.image,
        command_line=f"{COMMAND.name} /input /output",
        mounts=(
            BindMount(tmp_path / "in", "/input"),
            BindMount(tmp_path / "out", "/output", writable=True),
        ),
    )
    container_id = docker_engine.start(spec)

    state = docker_engine.wait(container_id)

    printed = docker_engine.logs(container_id, "stderr").decode()
    docker_engine.remove(container_id)
    assert state.exit_code == ExitCode.WRONG_USAGE
    assert "may not be written by user 65534" in printed


def test_a_run_says_where_its_results_are(folders: tuple[str, str]) -> None:
    """Who has run a step is told what to read, also where the step found something unsafe."""
    result = call("check-identity", *folders)

    assert result.exit_code == ExitCode.UNSAFE_OUTPUT, result.stderr
    _, _, said = result.stderr.partition(f"Results are in {folders[1]}; read ")
    assert Path(said.strip()).is_file()
    assert Path(said.strip()).is_relative_to(folders[1])
