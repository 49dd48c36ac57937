"""The properties of XNAT objects under the Container Service's names.

Matchers and ``derived-from-xnat-object-property`` read these documents. Not here: child lists,
which are loaded where they are needed (``object_tree``).
"""

from __future__ import annotations

import sqlite3
from typing import Any

from commands.model import WrapperInputType as Type
from deploy.sandbox.objects import Experiment, Project, Scan, Subject

_SCAN_FIELDS = {
    "note": "note",
    "modality": "modality",
    "quality": "quality",
    "scanner": "scanner",
    "scanner-manufacturer": "scanner/manufacturer",
    "scanner-model": "scanner/model",
    "scanner-software-version": "scanner/softwareVersion",
    "series-description": "series_description",
    "start-time": "startTime",
    "uid": "UID",
}


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    # The service leaves out what is null, so that a comparison with it is simply not true.
    return {key: value for key, value in document.items() if value not in (None, "")}


def _tags(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def project_document(project: Project, uri: str, aliases: list[str]) -> dict[str, Any]:
    """Return a project's properties."""
    return {
        **_without_empty(
            {
                "id": project.id,
                "label": project.id,
                "title": project.name,
                "running-title": project.secondary_id,
                "description": project.fields.get("description"),
                "keywords": project.fields.get("keywords"),
                "accessibility": project.accessibility,
                "uri": uri,
                "type": Type.PROJECT,
                "xsiType": "xnat:projectData",
            }
        ),
        "aliases": aliases,
    }


def subject_document(subject: Subject, uri: str, context: str | None) -> dict[str, Any]:
    """Return a subject's properties, as seen through a project."""
    return _without_empty(
        {
            "id": subject.id,
            "label": subject.label_in(context),
            "project-id": context or subject.project,
            "group": subject.fields.get("group"),
            "source": subject.fields.get("src"),
            "initials": subject.fields.get("initials"),
            "datatype-string": "xnat:subjectData",
            "uri": uri,
            "type": Type.SUBJECT,
            "xsiType": "xnat:subjectData",
        }
    )


def experiment_document(
    experiment: Experiment, uri: str, kind: Type, context: str | None, directory: str
) -> dict[str, Any]:
    """Return the properties of a session, assessor or subject assessor."""
    document: dict[str, Any] = {
        "id": experiment.id,
        "label": experiment.label_in(context),
        "project-id": context or experiment.project,
        "directory": directory,
        "datatype-string": experiment.xsi_type,
        "uri": uri,
        "type": kind,
        "xsiType": experiment.xsi_type,
    }
    if kind is Type.ASSESSOR:
        document |= {"session-id": experiment.session_id, "name": experiment.label}
    else:
        document["subject-id"] = experiment.subject_id
        document["visit-id"] = experiment.fields.get("visit_id")
        if context is not None and context != experiment.project:
            document["shared-from-project-id"] = experiment.project
    return _without_empty(document)


def scan_document(
    scan: Scan, uri: str, session: Experiment, context: str | None, directory: str
) -> dict[str, Any]:
    """Return a scan's properties; its label is made of the ID and the type."""
    scan_type = scan.fields.get("type", "")
    frames = scan.fields.get("frames", "")
    return _without_empty(
        {
            "id": scan.id,
            "integer-id": scan.key,
            "label": f"{scan.id} - {scan_type}",
            "project-id": context or session.project,
            "session-id": session.id,
            "scan-type": scan_type,
            "frames": int(frames) if frames.isascii() and frames.isdigit() else None,
            **{name: scan.fields.get(field) for name, field in _SCAN_FIELDS.items()},
            "directory": directory,
            "datatype-string": scan.xsi_type,
            "uri": uri,
            "type": Type.SCAN,
            "xsiType": scan.xsi_type,
        }
    )


def resource_document(
    row: sqlite3.Row, uri: str, parent_uri: str, directory: str
) -> dict[str, Any]:
    """Return a resource's properties."""
    return _without_empty(
        {
            "id": str(row["id"]),
            "integer-id": row["id"],
            "label": row["label"],
            "parent-uri": parent_uri,
            "directory": directory,
            "datatype-string": "xnat:resourceCatalog",
            "uri": uri,
            "type": Type.RESOURCE,
            "xsiType": "xnat:resourceCatalog",
        }
    )


def file_document(row: sqlite3.Row, uri: str, path: str) -> dict[str, Any]:
    """Return a file's properties; ``path`` is where it lies on the server."""
    return {
        **_without_empty(
            {
                "id": row["path"],
                "name": row["path"],
                "label": row["path"],
                "path": path,
                "format": row["format"],
                "content": row["content"],
                "checksum": row["md5"],
                "uri": uri,
                "type": Type.FILE,
            }
        ),
        "size": row["size"],
        "tags": _tags(row["tags"]),
    }
