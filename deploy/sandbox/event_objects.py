"""What an event is about: its address, its project, and what a filter sees of it.

Not here: who hears of it (``event_dispatch``).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.datatypes import IMAGE_SESSION, DataTypes
from deploy.sandbox.event_rows import Event


@dataclass(frozen=True)
class EventObject:
    """What an event is about.

    Parameters
    ----------
    uri : str or None
        Its address below ``/archive``; None when it is gone.
    document : dict or None
        What a filter sees; None when the object's own document is to be taken.
    wrapper_id : int or None
        Of a launch's workflow: what was launched.
    """

    event_types: tuple[str, ...]
    project: str
    uri: str | None
    about: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] | None = None
    wrapper_id: int | None = None


def describe(connection: sqlite3.Connection, types: DataTypes, event: Event) -> EventObject:
    """Return what an event is about, as far as it is still there."""
    if event.kind == "workflow":
        return _workflow(connection, event)
    about = {"id": event.object_id, **event.details}
    if event.kind == "resource":
        return _resource(connection, event, about)
    names, uri = _EASY.get(event.kind, (("ScanEvent",), None))
    if event.kind == "experiment":
        names = _experiment_types(types, event)
    if event.status != "DELETED":
        uri = _uri(connection, event.kind, event.object_id)
        return EventObject(names, event.project, uri, about)
    return EventObject(names, event.project, None, about, document=about)


_EASY: dict[str, tuple[tuple[str, ...], None]] = {
    "project": (("ProjectEvent",), None),
    "subject": (("SubjectEvent",), None),
}


def _experiment_types(types: DataTypes, event: Event) -> tuple[str, ...]:
    if event.details.get("session-id"):
        return ("ImageAssessorEvent",)
    if types.is_a(str(event.details["xsiType"]), IMAGE_SESSION):
        return ("SessionEvent", "SubjectAssessorEvent")
    return ("SubjectAssessorEvent",)


def _uri(connection: sqlite3.Connection, kind: str, object_id: str) -> str | None:
    """Return the address of an object that is there, or None."""
    if kind in {"project", "subject"}:
        found = connection.execute(
            f"SELECT id FROM {kind} WHERE id = ?",  # noqa: S608 - one of two names
            (object_id,),
        ).fetchone()
        return None if found is None else f"/archive/{kind}s/{found['id']}"
    if kind == "experiment":
        found = connection.execute(
            "SELECT id, session_id FROM experiment WHERE id = ?", (object_id,)
        ).fetchone()
        if found is None:
            return None
        if found["session_id"] is not None:
            return f"/archive/experiments/{found['session_id']}/assessors/{found['id']}"
        return f"/archive/experiments/{found['id']}"
    if kind == "scan":
        found = connection.execute(
            "SELECT id, session_id FROM scan WHERE key = ?", (int(object_id),)
        ).fetchone()
        return (
            None
            if found is None
            else f"/archive/experiments/{found['session_id']}/scans/{found['id']}"
        )
    return None  # reconstructions have no address that a launch can take


_PROJECT_OF = {
    "project": "SELECT id AS project FROM project WHERE id = ?",
    "subject": "SELECT project FROM subject WHERE id = ?",
    "experiment": "SELECT project FROM experiment WHERE id = ?",
    "scan": "SELECT project FROM experiment JOIN scan ON scan.session_id = experiment.id"
    " WHERE scan.key = ?",
    "reconstruction": "SELECT project FROM experiment JOIN reconstruction"
    " ON reconstruction.session_id = experiment.id WHERE reconstruction.key = ?",
}


def _resource(connection: sqlite3.Connection, event: Event, about: dict[str, Any]) -> EventObject:
    row = connection.execute(
        "SELECT * FROM resource WHERE id = ?", (int(event.object_id),)
    ).fetchone()
    if row is None:
        return EventObject(("ResourceEvent",), "", None, about)
    kind, owner = row["owner_kind"], row["owner_id"]
    found = connection.execute(_PROJECT_OF[kind], (owner,)).fetchone()
    parent = _uri(connection, kind, owner)
    uri = None if parent is None else f"{parent}/resources/{row['label']}"
    about = {**about, "label": row["label"], "xsiType": "xnat:resourceCatalog"}
    return EventObject(("ResourceEvent",), found["project"] if found else "", uri, about)


def _workflow(connection: sqlite3.Connection, event: Event) -> EventObject:
    names = ("WorkflowStatusChangeEvent",)
    row = connection.execute(
        "SELECT workflow.*, launch.wrapper_id FROM workflow LEFT JOIN launch"
        " ON launch.workflow_id = workflow.id WHERE workflow.id = ?",
        (int(event.object_id),),
    ).fetchone()
    if row is None:
        return EventObject(names, event.project, None, {"id": event.object_id})
    kinds = {"xnat:projectData": "project", "xnat:subjectData": "subject"}
    kind = kinds.get(row["data_type"], "experiment")
    document = {
        "id": event.object_id,
        "label": row["pipeline_name"],
        "xsiType": "wrk:workflowData",
        "pipelineName": row["pipeline_name"],
        # What the status was then: the workflow may have moved on meanwhile.
        "status": event.details["status"],
        "objectId": row["object_id"],
        "dataType": row["data_type"],
        "externalId": row["project"],
        "justification": row["justification"],
        "launchTime": row["launch_time"],
    }
    return EventObject(
        names, row["project"], _uri(connection, kind, row["object_id"]), document, document,
        row["wrapper_id"],
    )  # fmt: skip
