"""One run of a step: folders checked, results moved into place whole, or nothing left behind.

The step writes into a staging folder below the output folder, on the same file system, so that
moving the result is a rename. Not here: arguments and exit codes (``entrypoint``), the content
of the report (``run_report``).
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from commands.model import Command
from containers.contract import (
    PARTIAL_DIR_NAME,
    REPORT_DIR_NAME,
    REPORT_FILE_NAME,
    ParameterValue,
    Step,
    StepInput,
    StepReport,
    UsageError,
    read_folders,
)
from containers.run_report import (
    FinishedRun,
    RunTimes,
    list_files,
    read_outputs,
    record_inputs,
    write_report,
)

_RESULTS = "results"
_PREVIOUS = "previous"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(BaseException):
    """Somebody asked the program to end; no ``Exception``, so that no step catches it."""


def run_step(
    command: Command,
    step: Step,
    input_dir: Path,
    output_dir: Path,
    parameters: Mapping[str, ParameterValue],
) -> StepReport:
    """Run a step from one folder into another and return what it says of itself.

    An output folder that does not exist is made. After an error of any kind it is as it was
    before, except that the staging folder of an earlier run that was killed is gone. Results of
    an earlier run of the same command are replaced; a file that no run wrote is never deleted.

    Raises
    ------
    UsageError
        A folder is missing, may not be read or written, the output folder holds files that
        no earlier run of this command wrote, or another run is writing to it.
    StoppedError
        A signal handler raised it before the results were in place.
    StepError, OSError, MemoryError
        What the step raised.
    """
    _check_input(input_dir)
    with _made_if_absent(output_dir):
        _check_output(input_dir, output_dir)
        with _alone(output_dir):
            _remove(output_dir / PARTIAL_DIR_NAME)
            previous = _previous_results(command, output_dir)
            # Steps start programs in folders of their own, where a relative path means another.
            folders = (input_dir.resolve(), output_dir.resolve())
            return _run_between(command, step, folders, parameters, previous)


def _run_between(
    command: Command,
    step: Step,
    folders: tuple[Path, Path],
    parameters: Mapping[str, ParameterValue],
    previous: tuple[str, ...],
) -> StepReport:
    input_dir, output_dir = folders
    started_at, began_s = datetime.now(UTC), time.monotonic()
    finished: FinishedRun | None = None
    try:
        with _staging(output_dir) as results_dir, _scratch() as scratch_dir:
            inputs = record_inputs(input_dir, read_folders(step))
            report = step(
                StepInput(
                    command=command.name,
                    input_dir=input_dir,
                    output_dir=results_dir,
                    scratch_dir=scratch_dir,
                    parameters=MappingProxyType(dict(parameters)),
                )
            )
            times = RunTimes(started_at, datetime.now(UTC), time.monotonic() - began_s)
            run = FinishedRun(command, parameters, inputs, report, times)
            write_report(results_dir, run)
            with _uninterrupted():
                _move_into_place(results_dir, output_dir, previous)
                finished = run
    except StoppedError:
        # Too late to stop: the results are in place, so the run is done and says so.
        if finished is None:
            raise
    return report


def _check_input(input_dir: Path) -> None:
    if not input_dir.is_dir():
        raise UsageError(
            f"The input folder {input_dir} does not exist or is no folder. Name another one."
        )
    if not os.access(input_dir, os.R_OK | os.X_OK):
        raise UsageError(
            f"The input folder {input_dir} may not be read by user {os.getuid()}. "
            "Grant that right, or run as another user."
        )


@contextmanager
def _made_if_absent(output_dir: Path) -> Iterator[None]:
    """Make the output folder if there is none, and take it away again after an error."""
    if output_dir.exists():
        yield
        return
    try:
        output_dir.mkdir()
    except OSError as error:
        raise UsageError(
            f"The output folder {output_dir} cannot be made: {error.strerror}. "
            "Create it, or name another one."
        ) from error
    try:
        yield
    except BaseException:
        with _uninterrupted():
            output_dir.rmdir()
        raise


def _check_output(input_dir: Path, output_dir: Path) -> None:
    if not output_dir.is_dir():
        raise UsageError(f"The output folder {output_dir} is no folder. Name another one.")
    if not os.access(output_dir, os.W_OK | os.X_OK):
        raise UsageError(
            f"The output folder {output_dir} may not be written by user {os.getuid()}. "
            "Grant that right, or run as another user."
        )
    inside, outside = input_dir.resolve(), output_dir.resolve()
    if inside.is_relative_to(outside) or outside.is_relative_to(inside):
        raise UsageError(
            "Input and output folder lie within each other, so results would mix with data. "
            "Name two separate folders."
        )


@contextmanager
def _alone(output_dir: Path) -> Iterator[None]:
    """Keep other runs out of an output folder; a killed run keeps nobody out."""
    descriptor = os.open(output_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(
            f"Another run is writing to the output folder {output_dir}. Wait for its end, or "
            "name another folder."
        ) from error
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF}:
            os.close(descriptor)
            raise
        # A file system without locks: there it is up to whoever starts the runs.
    try:
        yield
    finally:
        os.close(descriptor)


def _previous_results(command: Command, output_dir: Path) -> tuple[str, ...]:
    """Return the names at the top of an output folder that may be replaced.

    All or none: each file below must stand in the report of an earlier run of this command.
    """
    files = {path.relative_to(output_dir).as_posix() for path in list_files(output_dir)}
    names = tuple(sorted(each.name for each in output_dir.iterdir()))
    if not names:
        return ()
    report_name = f"{REPORT_DIR_NAME}/{REPORT_FILE_NAME}"
    earlier = read_outputs(output_dir / report_name)
    if earlier is None or earlier[0] != command.name or not files <= earlier[1] | {report_name}:
        raise UsageError(
            f"The output folder {output_dir} is not empty, and not all in it was written by an "
            f"earlier run of {command.name}. Name an empty folder, or empty this one."
        )
    return names


@contextmanager
def _staging(output_dir: Path) -> Iterator[Path]:
    partial_dir = output_dir / PARTIAL_DIR_NAME
    try:
        results_dir = partial_dir / _RESULTS
        results_dir.mkdir(parents=True)
        yield results_dir
    finally:
        with _uninterrupted():
            _remove(partial_dir)


@contextmanager
def _scratch() -> Iterator[Path]:
    # Not below the output folder: what lies here may hold identities, and must not stay beside
    # results when the process is killed.
    scratch_dir = Path(tempfile.mkdtemp(prefix="winxnat-"))
    try:
        yield scratch_dir
    finally:
        with _uninterrupted():
            _remove(scratch_dir)


def _move_into_place(results_dir: Path, output_dir: Path, previous: tuple[str, ...]) -> None:
    """Swap earlier results for new ones by renames; on an error put the earlier ones back."""
    previous_dir = results_dir.parent / _PREVIOUS
    moves = [(output_dir / name, previous_dir / name) for name in previous]
    moves += [(each, output_dir / each.name) for each in sorted(results_dir.iterdir())]
    previous_dir.mkdir()
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            source.rename(target)
            done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            target.rename(source)
        raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let signals that stop the program wait until the block is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _remove(folder: Path) -> None:
    """Delete a folder, also one with parts that a tool made read-only; absent is fine.

    Of a link only the link itself goes, never what it points at.
    """
    if folder.is_symlink():
        folder.unlink()
        return
    if not folder.exists():
        return
    folder.chmod(0o700)
    for parent, names, _ in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder)
