"""Items: XNAT objects as command inputs, made from rows, only where they may be read.

Not here: finding and walking (``object_tree``) and the documents' content (``item_documents``).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from commands.model import WrapperInputType as Type
from deploy.sandbox import objects
from deploy.sandbox.datatypes import IMAGE_SESSION
from deploy.sandbox.item_documents import (
    experiment_document,
    file_document,
    project_document,
    resource_document,
    scan_document,
    subject_document,
)
from deploy.sandbox.objects import Experiment, Kind, Project, Scan, Subject
from deploy.sandbox.people import User
from deploy.sandbox.rights import Action, Secured
from deploy.sandbox.site import Site
from deploy.sandbox.targets import Owner


@dataclass(frozen=True)
class Item:
    """One XNAT object as a command input.

    Parameters
    ----------
    uri : str
        ``/archive/...``, with IDs.
    directory : Path or None
        Its folder (a file: the file); None where XNAT keeps no single one (subjects).
    owner : Owner or None
        Where resources of it hang; of a resource or file: where that resource hangs.
    context : str or None
        The project through which it is seen.
    """

    type: Type
    uri: str
    label: str
    xsi_type: str
    document: dict[str, Any]
    directory: Path | None
    secured: Secured
    context: str | None
    owner: Owner
    resource_id: int | None = None

    @property
    def project(self) -> str:
        """Return the project that the object is seen through, or its own one."""
        return self.context or self.secured.project


class ItemMaker:
    """Makes the items that one person may read; None stands for the others."""

    def __init__(self, site: Site, user: User) -> None:
        self._site = site
        self._user = user

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._site.store.connection

    def _may_read(self, secured: Secured, context: str | None) -> bool:
        return self._site.rights.can(self._user, Action.READ, secured, context)

    def project(self, project: Project | None) -> Item | None:
        """Return the project's item."""
        if project is None or not self._may_read(project.secured, project.id):
            return None
        uri = f"/archive/projects/{project.id}"
        aliases = self._connection.execute(
            "SELECT alias FROM project_alias WHERE project = ?", (project.id,)
        )
        owner = Owner(
            Kind.PROJECT, project.id, "", project.secured, project.id,
            project.dir / "resources", f"/data/projects/{project.id}", project=project,
        )  # fmt: skip
        return Item(
            Type.PROJECT, uri, project.id, "xnat:projectData",
            project_document(project, uri, [alias for (alias,) in aliases]),
            self._site.settings.archive_dir / project.dir,
            project.secured, project.id, owner,
        )  # fmt: skip

    def subject(self, found: tuple[Subject, str | None] | None) -> Item | None:
        """Return a subject's item, as seen through a project."""
        if found is None:
            return None
        subject, context = found
        if not self._may_read(subject.secured, context):
            return None
        uri = f"/archive/subjects/{subject.id}"
        owner = Owner(
            Kind.SUBJECT, subject.id, "", subject.secured, context,
            PurePosixPath(subject.project) / "subjects" / subject.label,
            f"/data/subjects/{subject.id}", subject=subject,
        )  # fmt: skip
        return Item(
            Type.SUBJECT, uri, subject.label_in(context), "xnat:subjectData",
            subject_document(subject, uri, context), None, subject.secured, context, owner,
        )  # fmt: skip

    def experiment(self, found: tuple[Experiment, str | None] | None) -> Item | None:
        """Return the item of a session or assessor, as seen through a project."""
        if found is None:
            return None
        experiment, context = found
        if not self._may_read(experiment.secured, context):
            return None
        folder = objects.experiment_dir(self._connection, experiment)
        kind = self._experiment_type(experiment)
        uri, data_uri = _experiment_uris(experiment)
        owner = Owner(
            Kind.EXPERIMENT, experiment.id, "", experiment.secured, context,
            folder if experiment.session_id else folder / "RESOURCES",
            data_uri, experiment=experiment,
        )  # fmt: skip
        directory = self._site.settings.archive_dir / folder
        return Item(
            kind, uri, experiment.label_in(context), experiment.xsi_type,
            experiment_document(experiment, uri, kind, context, str(directory)),
            directory, experiment.secured, context, owner,
        )  # fmt: skip

    def _experiment_type(self, experiment: Experiment) -> Type:
        if experiment.session_id is not None:
            return Type.ASSESSOR
        is_session = self._site.types.is_a(experiment.xsi_type, IMAGE_SESSION)
        return Type.SESSION if is_session else Type.SUBJECT_ASSESSOR

    def scan(self, session: Item, scan: Scan) -> Item:
        """Return the item of a scan of a session."""
        experiment = session.owner.experiment
        if experiment is None:  # pragma: no cover - the owner of a session's item has it
            raise LookupError(session.uri)
        folder = objects.experiment_dir(self._connection, experiment) / "SCANS" / scan.id
        uri = f"{session.uri}/scans/{scan.id}"
        owner = Owner(
            Kind.SCAN, str(scan.key), "", session.secured, session.context, folder,
            f"/data/experiments/{experiment.id}/scans/{scan.id}",
            experiment=experiment, scan=scan,
        )  # fmt: skip
        directory = self._site.settings.archive_dir / folder
        document = scan_document(scan, uri, experiment, session.context, str(directory))
        return Item(
            Type.SCAN, uri, document["label"], scan.xsi_type, document,
            directory, session.secured, session.context, owner,
        )  # fmt: skip

    def resource(self, parent: Item, row: sqlite3.Row) -> Item:
        """Return the item of a row of the resource table."""
        uri = f"{parent.uri}/resources/{row['label']}"
        directory = self._site.settings.archive_dir / row["dir"]
        return Item(
            Type.RESOURCE, uri, row["label"], "xnat:resourceCatalog",
            resource_document(row, uri, parent.uri, str(directory)),
            directory, parent.secured, parent.context, parent.owner, row["id"],
        )  # fmt: skip

    def file(self, resource: Item, row: sqlite3.Row) -> Item:
        """Return the item of a row of the file table."""
        if resource.directory is None:  # pragma: no cover - a resource has a folder
            raise LookupError(resource.uri)
        path = resource.directory / row["path"]
        uri = f"{resource.uri}/files/{row['path']}"
        return Item(
            Type.FILE, uri, row["path"], "", file_document(row, uri, str(path)),
            path, resource.secured, resource.context, resource.owner, resource.resource_id,
        )  # fmt: skip


def _experiment_uris(experiment: Experiment) -> tuple[str, str]:
    if experiment.session_id is None:
        path = f"experiments/{experiment.id}"
    else:
        path = f"experiments/{experiment.session_id}/assessors/{experiment.id}"
    return f"/archive/{path}", f"/data/{path}"
