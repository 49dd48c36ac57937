"""Launches as they were asked for: stored before they are answered, so none is ever lost.

Not here: doing them (``runner``) and HTTP (``launch``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.sandbox import workflow_rows
from deploy.sandbox.object_items import Item
from deploy.sandbox.orchestration_rows import Step, first_step
from deploy.sandbox.workflow_rows import WorkflowEntry

QUEUED, RUNNING, DONE = "queued", "running", "done"

RESOLUTION_FAILED = "Failed (Command resolution)"
UPLOAD_FAILED = "Failed (Upload)"
UNAUTHORISED = "Failed (org.nrg.containers.exceptions.UnauthorizedException)"


@dataclass(frozen=True)
class LaunchRequest:
    """One launch: which wrapper, for whom, with what."""

    workflow_id: int
    wrapper_id: int
    user_id: int
    project: str | None
    params: Mapping[str, str]
    phase: str
    container_id: int | None
    step: Step | None = None


class LaunchFailure(Exception):  # noqa: N818 - the Container Service's own word for it
    """A launch cannot go on.

    Parameters
    ----------
    status : str
        The workflow's last status, such as ``Failed (Staging)``.
    details : str
        One or two sentences for the person who launched.
    """

    def __init__(self, status: str, details: str) -> None:
        super().__init__(details)
        self.status = status
        self.details = details


def add(  # noqa: PLR0913 - the parts of a launch, by name
    connection: sqlite3.Connection,
    *,
    wrapper_id: int,
    wrapper_name: str,
    user_id: int,
    project: str | None,
    params: Mapping[str, str],
    root: Item | None,
    justification: str = "",
    step: Step | None = None,
) -> int:
    """Store a launch with its workflow; return the workflow's number. Call inside a write.

    Parameters
    ----------
    step : Step or None
        The place in an orchestration that it is; None where it may only be the beginning of one.
    """
    if step is None:
        step = first_step(connection, project, wrapper_id)
    object_id, data_type, place = _about(root)
    number = workflow_rows.create(
        connection,
        WorkflowEntry(
            object_id=object_id,
            data_type=data_type,
            project=project or place,
            pipeline_name=wrapper_name,
            status="Queued",
            user_id=user_id,
            justification=justification,
        ),
    )
    connection.execute(
        "INSERT INTO launch (workflow_id, wrapper_id, user_id, project, params, phase,"
        " orchestration, step) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number, wrapper_id, user_id, project or "", json.dumps(dict(params)), QUEUED,
            None if step is None else step.orchestration, 0 if step is None else step.position,
        ),
    )  # fmt: skip
    return number


def _about(root: Item | None) -> tuple[str, str, str]:
    """Return ID, data type and project of the object that a workflow is filed under."""
    if root is None:
        return "", "", ""
    owner = root.owner
    # Scans and resources have no workflows of their own: they count to what they belong to.
    if owner.experiment is not None:
        return owner.experiment.id, owner.experiment.xsi_type, root.project
    if owner.subject is not None:
        return owner.subject.id, "xnat:subjectData", root.project
    return root.project, "xnat:projectData", root.project


def find(connection: sqlite3.Connection, workflow_id: int) -> LaunchRequest | None:
    """Return a launch by its workflow's number, or None."""
    row = connection.execute(
        "SELECT * FROM launch WHERE workflow_id = ?", (workflow_id,)
    ).fetchone()
    if row is None:
        return None
    return LaunchRequest(
        workflow_id=row["workflow_id"],
        wrapper_id=row["wrapper_id"],
        user_id=row["user_id"],
        project=row["project"] or None,
        params=json.loads(row["params"]),
        phase=row["phase"],
        container_id=row["container_id"],
        step=None if row["orchestration"] is None else Step(row["orchestration"], row["step"]),
    )


def unfinished(connection: sqlite3.Connection) -> list[int]:
    """Return the workflow numbers of launches that are not done: running ones, then oldest."""
    rows = connection.execute(
        "SELECT workflow_id FROM launch WHERE phase <> ? ORDER BY phase = ? DESC, workflow_id",
        (DONE, RUNNING),
    )
    return [number for (number,) in rows]


def uncleaned(connection: sqlite3.Connection) -> list[int]:
    """Return the workflow numbers of launches that are done but still hold tokens or folders."""
    rows = connection.execute(
        "SELECT DISTINCT launch.workflow_id FROM launch JOIN container"
        " ON container.workflow_id = launch.workflow_id WHERE launch.phase = ?"
        " AND json_extract(container.state, '$.cleaned') IS NULL",
        (DONE,),
    )
    return [number for (number,) in rows]


def move(
    connection: sqlite3.Connection,
    workflow_id: int,
    phase: str,
    container_id: int | None = None,
) -> None:
    """Move a launch to its next phase."""
    connection.execute(
        "UPDATE launch SET phase = ?, container_id = COALESCE(?, container_id)"
        " WHERE workflow_id = ?",
        (phase, container_id, workflow_id),
    )
