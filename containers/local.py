"""Runs a command on two folders of this machine, through either engine.

The same definition, arguments and entry point as on a server. Not here: the command line
(``run_cli``), or anything that talks to XNAT.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from commands.arguments import argv_for
from commands.authoring import INPUT_MOUNT, OUTPUT_MOUNT, file_mount
from commands.errors import ArgumentsError
from commands.model import Command
from containers.contract import (
    PARTIAL_DIR_NAME,
    STOPPED_EXIT_CODE,
    ExitCode,
    ParameterValue,
    UsageError,
)
from containers.docker_engine import DockerEngine
from containers.engine import (
    BindMount,
    ContainerEngine,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
)
from containers.process_engine import ProcessEngine

_LOOK_S = 0.5


class EngineKind(StrEnum):
    """What runs a command here."""

    PROCESS = "process"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class LocalRun:
    """How a run ended.

    ``exit_code`` is one of ``contract.ExitCode``, or ``STOPPED_EXIT_CODE``. ``ignored`` as in
    ``engine.ContainerState``.
    """

    exit_code: int
    summary: str
    messages: str
    ignored: tuple[str, ...] = ()


def run_local(
    command: Command,
    folders: tuple[Path, Path],
    values: Mapping[str, ParameterValue],
    engine: EngineKind = EngineKind.PROCESS,
    tell: Callable[[str], None] = lambda _: None,
) -> LocalRun:
    """Run a command from one folder into another.

    Parameters
    ----------
    folders : tuple of Path
        Input folder, output folder; the latter is made if absent. With Docker its files belong
        to the user who calls.
    values : Mapping
        By input name; absent and None leave the default.
    tell : callable
        Takes each piece of what the step writes to stderr, while it runs.

    Raises
    ------
    UsageError
        A folder or a value does not fit.
    EngineError
        The engine does not answer, or has not the image.
    """
    input_dir, output_dir = (folder.absolute() for folder in folders)
    if not input_dir.is_dir():
        raise UsageError(
            f"The input folder {input_dir} does not exist or is no folder. Name another one."
        )
    with (
        _files(command, values) as (mounts, inside_values),
        _engine(engine) as runner,
        _output_folder(output_dir),
    ):
        spec = _spec(command, (input_dir, output_dir), mounts, inside_values)
        runner.ping()
        container_id = runner.start(spec)
        try:
            state = _watch(runner, container_id, tell)
            messages = runner.logs(container_id, "stderr").decode(errors="replace")
            summary = runner.logs(container_id, "stdout").decode(errors="replace").strip()
        finally:
            runner.remove(container_id)
            # A step that was killed could not clear its staging folder itself.
            shutil.rmtree(output_dir / PARTIAL_DIR_NAME, ignore_errors=True)
    exit_code, reason = _ending(command, state)
    if reason:
        tell(f"{reason}\n")
    return LocalRun(exit_code, summary, f"{messages}{reason}".strip(), state.ignored)


@contextmanager
def _files(
    command: Command, values: Mapping[str, ParameterValue]
) -> Iterator[tuple[tuple[BindMount, ...], Mapping[str, ParameterValue]]]:
    """Yield a folder for each file among the values, and the values as the step reads them.

    A copy alone in a folder: the step sees nothing of what lies beside the file.
    """
    mounts: list[BindMount] = []
    inside_values = dict(values)
    with tempfile.TemporaryDirectory(prefix="winxnat-files-") as name:
        for key, value in values.items():
            mount = file_mount(command, key)
            if mount is None or not value:
                continue
            source = Path(str(value)).absolute()
            folder = Path(name) / key
            folder.mkdir()
            try:
                shutil.copyfile(source, folder / source.name)
            except OSError as error:
                raise UsageError(
                    f"The file for --{key} cannot be read: {error.strerror}. Name another one."
                ) from error
            mounts.append(BindMount(folder, mount.path))
            inside_values[key] = f"{mount.path}/{source.name}"
        yield tuple(mounts), inside_values


def _spec(
    command: Command,
    folders: tuple[Path, Path],
    mounts: tuple[BindMount, ...],
    values: Mapping[str, ParameterValue],
) -> ContainerSpec:
    input_dir, output_dir = folders
    try:
        argv = argv_for(command, INPUT_MOUNT.path, OUTPUT_MOUNT.path, values)
    except ArgumentsError as error:
        raise UsageError(str(error)) from error
    return ContainerSpec(
        image=command.image,
        command_line=shlex.join(argv),
        environment=command.environment_variables,
        mounts=(
            BindMount(input_dir, INPUT_MOUNT.path),
            BindMount(output_dir, OUTPUT_MOUNT.path, writable=True),
            *mounts,
        ),
        working_directory=command.working_directory,
        user=f"{os.getuid()}:{os.getgid()}",
        memory_limit_mb=command.limit_memory,
        cpu_limit=command.limit_cpu,
        network=command.network,
        shm_size_bytes=command.shm_size,
        ulimits=command.ulimits,
        gpus=command.gpus,
    )


@contextmanager
def _engine(kind: EngineKind) -> Iterator[ContainerEngine]:
    if kind is EngineKind.DOCKER:
        with DockerEngine() as engine:
            yield engine
        return
    with tempfile.TemporaryDirectory(prefix="winxnat-run-") as state_dir:
        yield ProcessEngine(Path(state_dir))


@contextmanager
def _output_folder(output_dir: Path) -> Iterator[None]:
    """Make the output folder if there is none; take it away again if it stays empty."""
    is_new = not output_dir.exists()
    try:
        output_dir.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The output folder {output_dir} cannot be made: {error.strerror}. "
            "Create it, or name another one."
        ) from error
    try:
        yield
    finally:
        if is_new and not any(output_dir.iterdir()):
            output_dir.rmdir()


def _watch(
    engine: ContainerEngine, container_id: str, tell: Callable[[str], None]
) -> ContainerState:
    told = 0
    while True:
        state = engine.wait(container_id, timeout_s=_LOOK_S)
        written = engine.logs(container_id, "stderr")
        # Whole lines only, so that no character is cut in two.
        end = len(written)
        if state.status is not ContainerStatus.EXITED:
            end = written.rfind(b"\n") + 1
        if end > told:
            tell(written[told:end].decode(errors="replace"))
            told = end
        if state.status is ContainerStatus.EXITED:
            return state


def _ending(command: Command, state: ContainerState) -> tuple[int, str]:
    """Return the exit code, and a sentence where the step could not say one itself."""
    if state.out_of_memory:
        return ExitCode.OUT_OF_RESOURCES, (
            f"{command.name} did not finish: it needed more than its {command.limit_memory} MB "
            "of memory. Give it less to do, or raise limit-memory in its definition."
        )
    if state.killed or state.exit_code is None:
        return STOPPED_EXIT_CODE, (
            f"{command.name} did not finish: it was killed from outside. Run it again; if it is "
            "killed again, look whether the machine has run out of memory."
        )
    return state.exit_code, ""
