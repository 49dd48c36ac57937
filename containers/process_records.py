"""What the process engine keeps of a process: how it began, whether it lives, how it ended.

Plain files in one folder per process, so that another engine can go on with them after the
first one is gone. Not here: starting or ending processes (``process_engine``).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from containers.engine import ContainerSpec

_START_RECORD = "started.json"
_EXIT_RECORD = "exit-code"


@dataclass(frozen=True, slots=True)
class Started:
    """How a process began.

    ``birth`` tells it from a later process of the same number; ``ignored`` as in
    ``ContainerState``.
    """

    pid: int
    birth: str
    started_at: datetime
    ignored: tuple[str, ...]


def birth(pid: int) -> str:
    """Return what tells this process from a later one of the same number; empty if it is over.

    On Linux the start time in clock ticks, field 22 of ``/proc/PID/stat`` (proc(5)).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "" if Path("/proc/self/stat").exists() else _birth_without_proc(pid)
    state, *rest = fields.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def _birth_without_proc(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "another user's"
    return "alive"


def write_started(folder: Path, started: Started, spec: ContainerSpec) -> None:
    """Write how a process began, complete or not at all."""
    document = {
        "pid": started.pid,
        "birth": started.birth,
        "started_at": started.started_at.isoformat(),
        "ignored": started.ignored,
        # For whoever looks into the folder. The environment may hold secrets and stays out.
        "image": spec.image,
        "name": spec.name,
        "labels": dict(spec.labels),
    }
    path = folder / _START_RECORD
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1), encoding="utf-8")
    new.replace(path)


def read_started(folder: Path) -> Started | None:
    """Return what ``start`` wrote; None where the owner ended before it could."""
    try:
        document = json.loads((folder / _START_RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Started(
        pid=int(document["pid"]),
        birth=str(document["birth"]),
        started_at=datetime.fromisoformat(document["started_at"]),
        ignored=tuple(document["ignored"]),
    )


def exit_record(folder: Path) -> Path:
    """Return the file whose presence says that the process has ended; it holds the exit code."""
    return folder / _EXIT_RECORD


def read_exit(folder: Path) -> tuple[int, datetime] | None:
    """Return exit code and time of the end (UTC); None where nobody recorded them."""
    path = exit_record(folder)
    try:
        text = path.read_text(encoding="ascii")
        modified_s = path.stat().st_mtime
    except FileNotFoundError:
        return None
    return int(text), datetime.fromtimestamp(modified_s, UTC)
