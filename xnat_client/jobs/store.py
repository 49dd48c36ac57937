"""The memory of jobs: an SQLite file of this machine, readable by its owner only.

It holds labels, IDs and parameters, no credentials. Each change is one committed transaction, so
that a client killed at any moment leaves the truth. Not here: what to do with jobs (``driver``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import platformdirs

from xnat_client.errors import BadInputError, ConflictError
from xnat_client.jobs.model import Job, JobState, Wish

VARIABLE = "WINXNAT_JOBS"
"""Environment variable that names the state file."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    job_id INTEGER PRIMARY KEY,
    server TEXT NOT NULL,
    project_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    session_label TEXT NOT NULL,
    command TEXT NOT NULL,
    wrapper TEXT NOT NULL,
    image TEXT NOT NULL,
    parameters TEXT NOT NULL,
    state TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    known_workflows TEXT NOT NULL,
    run_status TEXT NOT NULL,
    reason TEXT NOT NULL,
    inputs_digest TEXT NOT NULL,
    results TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    launched_at TEXT NOT NULL,
    ended_at TEXT NOT NULL,
    UNIQUE (server, project_id, session_id, command, wrapper, parameters)
)
"""
_LISTS = frozenset({"known_workflows", "results"})
_COLUMNS = (
    "server", "project_id", "session_id", "session_label", "command", "wrapper", "image",
    "parameters", "state", "workflow_id", "known_workflows", "run_status", "reason",
    "inputs_digest", "results", "attempts", "launched_at", "ended_at",
)  # fmt: skip


def default_path() -> Path:
    """Return the state file: WINXNAT_JOBS, or a file in the user's state folder."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    return Path(platformdirs.user_state_dir("winxnat", appauthor=False)) / "jobs.sqlite"


class JobStore:
    """Jobs in a file; a context manager.

    Parameters
    ----------
    path : Path
        Made with its folder when absent.

    Raises
    ------
    BadInputError
        The file cannot be opened, or is no state file of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            found = getattr(error, "strerror", None) or error
            raise BadInputError(f"Cannot open the state file {path}: {found}.") from error
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self._connection.close()
            raise BadInputError(f"Cannot write the state file {path}: {error}.") from error
        except sqlite3.Error as error:
            self._connection.close()
            raise BadInputError(
                f"The state file {path} is not one of winxnat. Name another file with --state."
            ) from error
        except BadInputError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, _VERSION):
            raise BadInputError(
                f"The state file {self.path} is of another version of winxnat. Name another file "
                "with --state."
            )
        self._connection.execute(_SCHEMA)
        self._connection.execute(f"PRAGMA user_version = {_VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def add(self, wish: Wish) -> Job:
        """Return the job for a wish: the remembered one, or a new one that waits."""
        new = Job(0, **{name: getattr(wish, name) for name in Wish.__dataclass_fields__})
        cells = _cells(new)
        marks = ", ".join("?" * len(_COLUMNS))
        self._write(
            f"INSERT OR IGNORE INTO job ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608 - fixed names
            [cells[name] for name in _COLUMNS],
        )
        row = self._connection.execute(
            "SELECT * FROM job WHERE server = ? AND project_id = ? AND session_id = ?"
            " AND command = ? AND wrapper = ? AND parameters = ?",
            [cells[name] for name in
             ("server", "project_id", "session_id", "command", "wrapper", "parameters")],
        ).fetchone()  # fmt: skip
        return _job(row)

    def change(self, job: Job, **changes: Any) -> Job:
        """Store changed fields of a job; return it as it is now."""
        changed = replace(job, **changes)
        cells = _cells(changed)
        settings = ", ".join(f"{name} = ?" for name in changes)
        self._write(
            f"UPDATE job SET {settings} WHERE job_id = ?",  # noqa: S608 - names of fields
            [*(cells[name] for name in changes), job.job_id],
        )
        return changed

    def _write(self, statement: str, cells: Sequence[Any]) -> None:
        try:
            self._connection.execute(statement, cells)
        except sqlite3.Error as error:
            raise BadInputError(
                f"Cannot write the state file {self.path}: {error}. Make room or rights for it and "
                "run the same command again; what was launched is found again."
            ) from error

    def jobs(self, *, server: str | None = None, project_id: str | None = None) -> list[Job]:
        """Return the jobs of a server and project (None: of all), in the order of their making."""
        rows = self._connection.execute(
            "SELECT * FROM job WHERE (? IS NULL OR server = ?) AND (? IS NULL OR project_id = ?)"
            " ORDER BY job_id",
            (server, server, project_id, project_id),
        )
        return [_job(row) for row in rows]

    def workflows(self, server: str) -> set[str]:
        """Return the workflows that belong to jobs of a server."""
        rows = self._connection.execute(
            "SELECT workflow_id FROM job WHERE server = ? AND workflow_id <> ''", (server,)
        )
        return {text for (text,) in rows}

    @contextmanager
    def driving(self, server: str, project_id: str) -> Iterator[None]:
        """Hold the right to launch in a project: one process at a time for one state file.

        The lock is the system's: it ends with the process, however that ends.

        Raises
        ------
        ConflictError
            Another process has it.
        """
        name = hashlib.sha256(f"{server}\n{project_id}".encode()).hexdigest()[:12]
        path = self.path.with_name(f"{self.path.name}.{name}.lock")
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConflictError(
                    f"Another winxnat is launching in project {project_id} with the same state "
                    f"file ({self.path}). Wait for it, or stop it and run this again."
                ) from error
            yield


def _cells(job: Job) -> dict[str, Any]:
    cells: dict[str, Any] = {name: getattr(job, name) for name in _COLUMNS}
    cells["parameters"] = json.dumps(dict(sorted(job.parameters.items())))
    cells["state"] = job.state.value
    for name in _LISTS:
        cells[name] = json.dumps(list(cells[name]))
    return cells


def _job(row: sqlite3.Row) -> Job:
    cells = dict(row)
    cells["parameters"] = json.loads(cells["parameters"])
    cells["state"] = JobState(cells["state"])
    for name in _LISTS:
        cells[name] = tuple(json.loads(cells[name]))
    return Job(**cells)


def select(jobs: Sequence[Job], names: Sequence[str]) -> list[Job]:
    """Return the jobs that these job numbers, session labels or session IDs name; all if none."""
    if not names:
        return list(jobs)
    wanted = set(names)
    return [job for job in jobs if wanted & {str(job.job_id), job.session_label, job.session_id}]
