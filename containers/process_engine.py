"""The process engine: runs a container's command as an ordinary process of this machine.

For machines without Docker. It runs the steps of this distribution and command lines that
bring their own shell. It isolates nothing: what it cannot honour it names in the state. What a
container leaves behind (logs, exit code) lives in a folder, so it outlives the owner. Not here:
how paths are rewritten (``path_mapping``).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from commands import catalog
from commands.model import Command
from commands.service_json import IMAGE_LABEL, label_text
from commands.substitution import split_command_line
from containers.engine import (
    KILLED_EXIT_CODE,
    LOG_STREAMS,
    ContainerEngine,
    ContainerMissingError,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    EngineError,
    EngineUnavailableError,
    Image,
    ImageMissingError,
    NotRunnableError,
    shortened_log,
)
from containers.path_mapping import PathMapping
from containers.process_records import (
    Started,
    birth,
    exit_record,
    read_exit,
    read_started,
    write_started,
)

# -P: a folder named "containers" in the working directory must not be taken for this package.
ENTRYPOINT = (sys.executable, "-P", "-m", "containers.entrypoint")

# Runs the command, writes its exit code under a name that appears complete or not at all, then
# ends whatever the command left running, as the end of a container does.
_SUPERVISOR = (
    'record=$1; shift; "$@"; code=$?; '
    'echo "$code" >"$record.new" && mv "$record.new" "$record"; '
    'trap "" TERM; kill -TERM 0; exit "$code"'
)

_ID = re.compile(r"[0-9a-f]{32}\Z")
_POLL_S = 0.05
_LOG_PIECE_BYTES = 1024 * 1024
_SIGNAL_BASE = 128
"""A shell reports a program ended by signal N as 128 + N."""

_SEARCH_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

_NOT_HONOURED = (
    "user",
    "memory_limit_mb",
    "memory_reservation_mb",
    "cpu_limit",
    "network",
    "shm_size_bytes",
    "runtime",
    "ipc_mode",
    "ports",
    "ulimits",
    "gpus",
)


class ProcessEngine(ContainerEngine):
    """Runs steps and shell lines as local processes.

    Parameters
    ----------
    state_dir : Path
        Folder for the state of containers, made if absent; one subfolder each, deleted by
        ``remove``. Two engines may share it, one after the other or at the same time.

    Notes
    -----
    Runnable are the images of the catalogue, with the steps of this very installation, and any
    command with ``override_entrypoint``: its line is given to this machine's ``/bin/sh``, and the
    programs of its image are not there unless the machine has them too.

    Container paths in the arguments, the shell line and the environment's values are rewritten
    to host paths. A path that a program builds itself, or has compiled in, is not seen.

    Limits, network, user and read-only mounts are not enforced and stand in
    ``ContainerState.ignored``. A limit of the address space is not used for memory: programs
    that reserve much more than they touch (the BIDS validator is one) could not start under it.

    A process whose end nobody recorded (the machine went down) is reported as exited with
    ``exit_code`` None and ``killed`` True.
    """

    name = "process"

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._own: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def ping(self) -> None:
        """Return if containers can be kept in the state folder."""
        try:
            self._state_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineUnavailableError(
                f"The process engine cannot keep its state in {self._state_dir}: "
                f"{error.strerror}. Name a folder that you may write to."
            ) from error
        if not os.access(self._state_dir, os.W_OK | os.X_OK):
            raise EngineUnavailableError(
                f"The process engine may not write to {self._state_dir}. "
                "Name a folder that you may write to."
            )

    def images(self) -> tuple[Image, ...]:
        """Return an image for each command of the catalogue."""
        return tuple(sorted(map(_image_of, catalog.commands()), key=lambda image: image.tags))

    def image(self, reference: str) -> Image:
        """Return one image of the catalogue by tag or id."""
        for image in self.images():
            if reference in (*image.tags, image.image_id):
                return image
        raise ImageMissingError(
            f"Image {reference} is none of the process engine's, which has the images of this "
            "installation only. Use Docker for images of other authors or versions."
        )

    def start(self, spec: ContainerSpec) -> str:
        """Start the command in a process group of its own."""
        self.ping()
        container_id = secrets.token_hex(16)
        folder = self._state_dir / container_id
        scratch_dir = folder / "scratch"
        mapping = _mapping_of(spec, scratch_dir)
        argv = self._argv_of(spec, mapping)
        work_dir = mapping.host_path(spec.working_directory or "") or scratch_dir
        try:
            scratch_dir.mkdir(parents=True, mode=0o700)
            process = _spawn(folder, argv, work_dir, _environment_of(spec, mapping, scratch_dir))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise NotRunnableError(
                f"The process of {spec.image} cannot start in {work_dir}: {error.strerror}. "
                "Check the working directory, the mounts and the room on the disk."
            ) from error
        with self._lock:
            self._own[container_id] = process
        started = Started(process.pid, birth(process.pid), datetime.now(UTC), _ignored(spec))
        try:
            write_started(folder, started, spec)
        except OSError as error:
            os.killpg(process.pid, signal.SIGKILL)
            self.remove(container_id)
            raise EngineError(
                f"The start of {spec.image} cannot be recorded in {folder}: {error.strerror}. "
                "The process was ended; make room and start it again."
            ) from error
        return container_id

    def state(self, container_id: str) -> ContainerState:
        """Return the process's present state."""
        folder = self._folder(container_id)
        started = read_started(folder)
        if started is None:
            return ContainerState(ContainerStatus.EXITED, killed=True)
        # Alive is asked first: a process that ends in between has written its record by then.
        is_alive = self._is_alive(container_id, started)
        recorded = read_exit(folder)
        if recorded is None and is_alive:
            return ContainerState(
                ContainerStatus.RUNNING, started_at=started.started_at, ignored=started.ignored
            )
        exit_code, finished_at = recorded or (self._own_exit_code(container_id), None)
        return ContainerState(
            ContainerStatus.EXITED,
            exit_code=exit_code,
            killed=exit_code in (None, KILLED_EXIT_CODE),
            started_at=started.started_at,
            finished_at=finished_at,
            ignored=started.ignored,
        )

    def wait(self, container_id: str, timeout_s: float | None = None) -> ContainerState:
        """Block until the process has exited or the time is over; return its state."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        state = self.state(container_id)
        while state.status is not ContainerStatus.EXITED:
            left_s = _POLL_S if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                break
            time.sleep(min(_POLL_S, left_s))
            state = self.state(container_id)
        return state

    def logs(self, container_id: str, stream: str) -> bytes:
        """Return all of ``stdout`` or ``stderr`` so far."""
        if stream not in LOG_STREAMS:
            raise ValueError(stream)
        with (self._folder(container_id) / stream).open("rb") as log:
            return shortened_log(iter(lambda: log.read(_LOG_PIECE_BYTES), b""))

    def kill(self, container_id: str) -> None:
        """End the whole process group at once; does nothing if it has already exited.

        A program that left the group (a daemon) is not reached.
        """
        folder = self._folder(container_id)
        started = read_started(folder)
        if started is None or self.state(container_id).status is ContainerStatus.EXITED:
            return
        try:
            os.killpg(started.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        while self._is_alive(container_id, started):
            time.sleep(_POLL_S)
        record = exit_record(folder)
        if not record.exists():
            record.write_text(f"{KILLED_EXIT_CODE}\n", encoding="ascii")

    def remove(self, container_id: str) -> None:
        """Delete the process's logs and scratch folder; kills it first if it runs."""
        try:
            self.kill(container_id)
            folder = self._folder(container_id)
        except ContainerMissingError:
            return
        with self._lock:
            process = self._own.pop(container_id, None)
        if process is not None:
            process.wait()
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise EngineError(
                f"The state of container {container_id} in {folder} cannot be deleted: "
                f"{error.strerror}. Delete the folder by hand."
            ) from error

    def _argv_of(self, spec: ContainerSpec, mapping: PathMapping) -> list[str]:
        if spec.override_entrypoint:
            return ["/bin/sh", "-c", mapping.shell_line(spec.command_line)]
        if spec.image not in {command.image for command in catalog.commands()}:
            raise NotRunnableError(
                f"Image {spec.image} cannot run without Docker: what its entry point does is "
                "known to the image alone. Use the Docker engine, or a command with "
                "override-entrypoint."
            )
        words = split_command_line(spec.command_line)
        return [*ENTRYPOINT, *map(mapping.argument, words)]

    def _folder(self, container_id: str) -> Path:
        folder = self._state_dir / container_id
        if not _ID.match(container_id) or not folder.is_dir():
            raise ContainerMissingError(
                f"The process engine knows no container {container_id}. "
                f"It was removed, or its state is not kept in {self._state_dir}."
            )
        return folder

    def _own_exit_code(self, container_id: str) -> int | None:
        """Return the exit code of a child of this very process, for want of a record."""
        with self._lock:
            process = self._own.get(container_id)
        code = process.poll() if process is not None else None
        return code if code is None or code >= 0 else _SIGNAL_BASE - code

    def _is_alive(self, container_id: str, started: Started) -> bool:
        with self._lock:
            process = self._own.get(container_id)
        if process is not None:
            return process.poll() is None
        return bool(started.birth) and birth(started.pid) == started.birth


def _image_of(command: Command) -> Image:
    return Image(
        image_id=f"process:{command.image}",
        tags=(command.image,),
        labels={IMAGE_LABEL: label_text(command)},
    )


def _mapping_of(spec: ContainerSpec, scratch_dir: Path) -> PathMapping:
    for mount in spec.mounts:
        if not mount.host_path.exists():
            raise NotRunnableError(
                f"The mount {mount.container_path} of {spec.image} has no folder on this "
                f"machine: {mount.host_path} does not exist. Create it, or mend the mount."
            )
    paths = {mount.container_path: mount.host_path.resolve() for mount in spec.mounts}
    try:
        mapping = PathMapping(paths)
        work = spec.working_directory
        if work is None or mapping.host_path(work) is not None:
            return mapping
        return PathMapping({**paths, work: scratch_dir})
    except ValueError as error:
        raise NotRunnableError(
            f"The path '{error}' of {spec.image} cannot stand for a folder of this machine: "
            "mounts and working directory must be absolute, and not the root. Mend the command."
        ) from error


def _environment_of(spec: ContainerSpec, mapping: PathMapping, scratch_dir: Path) -> dict[str, str]:
    """Return the whole environment; nothing of the owner's own goes in."""
    programs = dict.fromkeys((str(Path(sys.executable).parent), *_SEARCH_PATH))
    return {
        "PATH": os.pathsep.join(programs),
        "LANG": "C.UTF-8",
        "HOME": str(scratch_dir),
        "TMPDIR": str(scratch_dir),
        **{key: mapping.environment_value(value) for key, value in spec.environment.items()},
    }


def _ignored(spec: ContainerSpec) -> tuple[str, ...]:
    """Name what the spec asks for and this engine does not do."""
    ignored = [name for name in _NOT_HONOURED if getattr(spec, name)]
    if not all(mount.writable for mount in spec.mounts):
        ignored.append("read-only mounts")
    return tuple(ignored)


def _spawn(
    folder: Path, argv: list[str], work_dir: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    supervisor = ["/bin/sh", "-c", _SUPERVISOR, "sh", str(exit_record(folder))]
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [*supervisor, *argv],
            cwd=work_dir,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
