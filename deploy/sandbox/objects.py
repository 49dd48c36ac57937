"""The XNAT objects as rows: finding them by ID, label or through a share, and where they lie.

No rights are checked here (``targets`` does), and nothing is changed (``projects``, ``subjects``,
``experiments``, ``scans`` do).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from deploy.sandbox.rights import PROJECT_TYPE, SUBJECT_TYPE, Secured


class Kind(StrEnum):
    """Kinds of objects that can own resources, as stored in ``resource.owner_kind``."""

    PROJECT = "project"
    SUBJECT = "subject"
    EXPERIMENT = "experiment"
    SCAN = "scan"
    RECONSTRUCTION = "reconstruction"


@dataclass(frozen=True, slots=True)
class Project:
    """A project row. ``fields`` maps paths such as ``PI/lastname`` to text."""

    id: str
    name: str
    secondary_id: str
    accessibility: str
    prearchive_code: int
    quarantine_code: int
    current_arc: str
    insert_date: str
    insert_user: str
    last_modified: str
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def secured(self) -> Secured:
        """Return what decides the rights on data of the project as a whole (its resources)."""
        return Secured(f"project {self.id}", PROJECT_TYPE, self.id)

    @property
    def dir(self) -> PurePosixPath:
        """Return the project's folder relative to the archive."""
        return PurePosixPath(self.id)

    @property
    def arc_dir(self) -> PurePosixPath:
        """Return the folder that holds the project's sessions."""
        return self.dir / self.current_arc


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject row; ``shares`` maps project ID to the label there."""

    id: str
    project: str
    label: str
    insert_date: str
    insert_user: str
    last_modified: str
    shares: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def secured(self) -> Secured:
        """Return what decides the rights on the subject."""
        return Secured(f"subject {self.id}", SUBJECT_TYPE, self.project, tuple(self.shares))

    def label_in(self, project: str | None) -> str:
        """Return the label that the subject has in a project (its own one by default)."""
        return self.shares.get(project or "", self.label)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A session, subject assessor, or (``session_id`` set) assessor of an image session."""

    id: str
    project: str
    label: str
    xsi_type: str
    subject_id: str | None
    session_id: str | None
    status: str
    insert_date: str
    insert_user: str
    last_modified: str
    shares: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def secured(self) -> Secured:
        """Return what decides the rights on the experiment."""
        return Secured(f"experiment {self.id}", self.xsi_type, self.project, tuple(self.shares))

    def label_in(self, project: str | None) -> str:
        """Return the label that the experiment has in a project (its own one by default)."""
        return self.shares.get(project or "", self.label)


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan (or reconstruction) row; ``key`` is the table key, ``id`` the user's text."""

    key: int
    session_id: str
    id: str
    xsi_type: str
    insert_date: str
    insert_user: str
    last_modified: str
    fields: dict[str, str] = field(default_factory=dict)


def _shares(connection: sqlite3.Connection, kind: Kind, object_id: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT project, label FROM share WHERE kind = ? AND object_id = ? ORDER BY project",
        (kind, object_id),
    )
    return {row["project"]: row["label"] for row in rows}


def find_project(connection: sqlite3.Connection, project_id: str) -> Project | None:
    """Return the project with this ID or alias (case does not matter), or None."""
    row = connection.execute(
        "SELECT * FROM project WHERE id = ? OR id ="
        " (SELECT project FROM project_alias WHERE alias = ?)",
        (project_id, project_id),
    ).fetchone()
    if row is None:
        return None
    return Project(
        id=row["id"],
        name=row["name"],
        secondary_id=row["secondary_id"],
        accessibility=row["accessibility"],
        prearchive_code=row["prearchive_code"],
        quarantine_code=row["quarantine_code"],
        current_arc=row["current_arc"],
        insert_date=row["insert_date"],
        insert_user=row["insert_user"],
        last_modified=row["last_modified"],
        fields=json.loads(row["fields"]),
    )


def subject_from_row(connection: sqlite3.Connection, row: sqlite3.Row) -> Subject:
    """Return the subject of a complete row of the table."""
    return Subject(
        id=row["id"],
        project=row["project"],
        label=row["label"],
        insert_date=row["insert_date"],
        insert_user=row["insert_user"],
        last_modified=row["last_modified"],
        shares=_shares(connection, Kind.SUBJECT, row["id"]),
        fields=json.loads(row["fields"]),
    )


def experiment_from_row(connection: sqlite3.Connection, row: sqlite3.Row) -> Experiment:
    """Return the experiment of a complete row of the table."""
    return Experiment(
        id=row["id"],
        project=row["project"],
        label=row["label"],
        xsi_type=row["xsi_type"],
        subject_id=row["subject_id"],
        session_id=row["session_id"],
        status=row["status"],
        insert_date=row["insert_date"],
        insert_user=row["insert_user"],
        last_modified=row["last_modified"],
        shares=_shares(connection, Kind.EXPERIMENT, row["id"]),
        fields=json.loads(row["fields"]),
    )


# In the order of preference: by ID, by the label of an own object, by the label of a shared one.
# Without a project (NULL) only the ID counts; with one, only objects that appear in it.
_FIND = """
SELECT * FROM {table} WHERE id = :name AND (:project IS NULL OR project = :project OR EXISTS (
  SELECT 1 FROM share WHERE kind = '{table}' AND object_id = :name AND project = :project))
UNION ALL
SELECT * FROM {table} WHERE project = :project AND label = :name
UNION ALL
SELECT * FROM {table} WHERE id IN (
  SELECT object_id FROM share WHERE kind = '{table}' AND project = :project AND label = :name)
LIMIT 1
"""


def _find_row(
    connection: sqlite3.Connection, kind: Kind, name: str, project: str | None
) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        _FIND.format(table=kind.value), {"name": name, "project": project}
    ).fetchone()
    return row


def find_subject(
    connection: sqlite3.Connection, name: str, project: str | None = None
) -> Subject | None:
    """Return a subject by ID, or, within a project, by the label it has there.

    With a project, only subjects that appear in it (own or shared) are found.
    """
    row = _find_row(connection, Kind.SUBJECT, name, project)
    return None if row is None else subject_from_row(connection, row)


def find_experiment(
    connection: sqlite3.Connection, name: str, project: str | None = None
) -> Experiment | None:
    """Return an experiment or assessor by ID, or, within a project, by its label there."""
    row = _find_row(connection, Kind.EXPERIMENT, name, project)
    return None if row is None else experiment_from_row(connection, row)


def find_assessor(
    connection: sqlite3.Connection, name: str, session: Experiment, project: str | None
) -> Experiment | None:
    """Return an assessor of a session by ID, or by its label in the project (or the session's)."""
    assessor = find_experiment(connection, name, None) or find_experiment(
        connection, name, project or session.project
    )
    return assessor if assessor is not None and assessor.session_id == session.id else None


def find_scan(
    connection: sqlite3.Connection, scan_id: str, session: Experiment, table: str = "scan"
) -> Scan | None:
    """Return a scan (or with ``table="reconstruction"`` a reconstruction) of a session."""
    if table not in {"scan", "reconstruction"}:
        raise ValueError(table)
    row = connection.execute(
        f"SELECT * FROM {table} WHERE session_id = ? AND id = ?",  # noqa: S608 - one of two names
        (session.id, scan_id),
    ).fetchone()
    if row is None:
        return None
    return Scan(
        key=row["key"],
        session_id=row["session_id"],
        id=row["id"],
        xsi_type=row["xsi_type"],
        insert_date=row["insert_date"],
        insert_user=row["insert_user"],
        last_modified=row["last_modified"],
        fields=json.loads(row["fields"]),
    )


def experiment_dir(connection: sqlite3.Connection, experiment: Experiment) -> PurePosixPath:
    """Return an experiment's folder relative to the archive; an assessor's is in its session's."""
    if experiment.session_id is not None:
        session = find_experiment(connection, experiment.session_id)
        if session is None:
            raise LookupError(experiment.session_id)
        return experiment_dir(connection, session) / "ASSESSORS" / experiment.label
    project = find_project(connection, experiment.project)
    if project is None:
        raise LookupError(experiment.project)
    return project.arc_dir / experiment.label
