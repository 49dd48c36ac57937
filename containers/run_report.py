"""The report that each run leaves: what ran, on what, with which result.

``report_schema.json`` beside this module describes the file. Names of input files may hold a
person's name, so inputs appear as counts and checksums only. Not here: what a step says of
itself (``contract.StepReport``), or when the report is written (``step_run``).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from commands.authoring import file_mount
from commands.model import Command
from containers.contract import (
    REPORT_DIR_NAME,
    REPORT_FILE_NAME,
    BadInputError,
    ParameterValue,
    StepReport,
    UsageError,
)

REPORT_VERSION = 1
WITHHELD = "(withheld)"
"""Stands for the value of a parameter that the definition calls sensitive."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file: its path below the folder with ``/``, its size and its SHA-256 in hexadecimal."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class InputRecord:
    """The input folder without its names.

    ``sha256`` is the checksum of the files' own checksums, sorted, one a line. It can be had
    again in the folder by ``find . -type f -exec sha256sum {} + | cut -c1-64 | LC_ALL=C sort |
    sha256sum``.
    """

    count: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RunTimes:
    """When a run began and ended (UTC), and how long it took by a clock nobody sets."""

    started_at: datetime
    finished_at: datetime
    duration_s: float


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run whose step has ended well."""

    command: Command
    parameters: Mapping[str, ParameterValue]
    inputs: InputRecord
    step_report: StepReport
    times: RunTimes


def list_files(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, sorted; links to folders are not followed.

    Raises
    ------
    OSError
        A folder below cannot be listed.
    """

    def stop(error: OSError) -> None:
        raise error

    for parent, folders, files in os.walk(folder, onerror=stop):
        folders.sort()
        for name in sorted(files):
            yield Path(parent) / name


def record_inputs(input_dir: Path, only: Collection[str] | None = None) -> InputRecord:
    """Return size and checksum of all input files; costs one reading of them.

    Parameters
    ----------
    only : collection of str, optional
        Names of folders; files elsewhere are passed over, whatever they are.

    Raises
    ------
    UsageError
        A file or folder may not be read.
    BadInputError
        There is something besides files and folders. A link to a folder would be passed over, a
        link to nowhere is a file that is missing, and reading a pipe never ends.
    """
    try:
        roots = [input_dir] if only is None else list(_folders_named(input_dir, only))
        for root in roots:
            _refuse_other_entries(root)
        records = [_record(path, input_dir) for root in roots for path in list_files(root)]
    except PermissionError as error:
        # The error's own text holds the file's name, which may be a person's.
        raise UsageError(
            "The input folder holds files or folders that may not be read. "
            "Grant the running user the right to read all of it."
        ) from error
    lines = "".join(sorted(f"{record.sha256}\n" for record in records))
    return InputRecord(
        count=len(records),
        size_bytes=sum(record.size_bytes for record in records),
        sha256=hashlib.sha256(lines.encode("ascii")).hexdigest(),
    )


def _folders_named(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """Yield the folders of these names, sorted; what lies inside one is not looked through."""
    for parent, folders, _ in os.walk(folder):
        folders.sort()
        for name in [name for name in folders if name in names]:
            folders.remove(name)
            if not Path(parent, name).is_symlink():
                yield Path(parent, name)


def _refuse_other_entries(input_dir: Path) -> None:
    counts = {"links to folders": 0, "links that lead nowhere": 0, "pipes or devices": 0}
    for parent, folders, files in os.walk(input_dir):
        counts["links to folders"] += sum(Path(parent, name).is_symlink() for name in folders)
        for path in (Path(parent, name) for name in files):
            try:
                is_file = stat.S_ISREG(path.stat().st_mode)
            except FileNotFoundError:
                counts["links that lead nowhere"] += 1
            else:
                counts["pipes or devices"] += not is_file
    found = [f"{count} {what}" for what, count in counts.items() if count]
    if found:
        raise BadInputError(
            f"The input folder holds {', '.join(found)}, and a step reads plain files only. "
            "Put the files themselves there, or take these out."
        )


def record_outputs(output_dir: Path) -> tuple[FileRecord, ...]:
    """Return path, size and checksum of every file of a result."""
    return tuple(_record(path, output_dir) for path in list_files(output_dir))


def write_report(results_dir: Path, run: FinishedRun) -> Path:
    """Write the report of a run among its results; return its path."""
    command, said = run.command, run.step_report
    document = {
        "report_version": REPORT_VERSION,
        "command": command.name,
        "version": command.version,
        "image": command.image,
        "exit_code": int(said.exit_code),
        "started_at": run.times.started_at.isoformat(),
        "finished_at": run.times.finished_at.isoformat(),
        "duration_s": round(run.times.duration_s, 3),
        "parameters": _shown_parameters(command, run.parameters),
        "inputs": asdict(run.inputs),
        "outputs": [asdict(record) for record in record_outputs(results_dir)],
        "summary": said.summary,
        "accounted": [asdict(each) for each in said.accounted],
        "warnings": list(said.warnings),
        "tools": dict(sorted(said.tools.items())),
        "facts": dict(said.facts),
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
    }
    path = results_dir / REPORT_DIR_NAME / REPORT_FILE_NAME
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read_outputs(report_path: Path) -> tuple[str, frozenset[str]] | None:
    """Return command and output paths of an earlier run's report; None if it is no report."""
    try:
        document = json.loads(report_path.read_text(encoding="utf-8"))
        return str(document["command"]), frozenset(each["path"] for each in document["outputs"])
    except (OSError, ValueError, KeyError, TypeError):
        # Whatever cannot be read as a report is simply not one; the caller then keeps its hands
        # off the folder and says so.
        return None


def _record(path: Path, folder: Path) -> FileRecord:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size_bytes = os.fstat(stream.fileno()).st_size
    return FileRecord(path.relative_to(folder).as_posix(), size_bytes, digest)


def _shown_parameters(
    command: Command, parameters: Mapping[str, ParameterValue]
) -> dict[str, ParameterValue]:
    sensitive = {each.name for each in command.inputs if each.sensitive}
    shown = {
        name: WITHHELD if name in sensitive and value is not None else value
        for name, value in sorted(parameters.items())
    }
    # Of a file only its name: where it lies is the engine's business and differs by run.
    return {
        name: Path(str(value)).name if value and file_mount(command, name) else value
        for name, value in shown.items()
    }
