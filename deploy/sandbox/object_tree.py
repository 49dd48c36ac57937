"""XNAT objects as commands see them: found by URI, with properties, parents and children.

Each object is an ``Item`` whose ``document`` has the Container Service's property names. Only
what the launching person may read is ever returned. Not here: which input takes which object
(``resolution``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from commands.model import WrapperInputType as Type
from deploy.sandbox import objects
from deploy.sandbox.matchers import json_value
from deploy.sandbox.object_items import Item, ItemMaker
from deploy.sandbox.objects import Experiment, Scan, Subject
from deploy.sandbox.people import User
from deploy.sandbox.site import Site

CHILD_LISTS: dict[Type, dict[str, Type]] = {
    Type.PROJECT: {
        "resources": Type.RESOURCE,
        "subjects": Type.SUBJECT,
        "project-assets": Type.PROJECT_ASSET,
    },
    Type.SUBJECT: {
        "sessions": Type.SESSION,
        "resources": Type.RESOURCE,
        "subject-assessors": Type.SUBJECT_ASSESSOR,
    },
    Type.SESSION: {
        "scans": Type.SCAN,
        "assessors": Type.ASSESSOR,
        "resources": Type.RESOURCE,
    },
    Type.SCAN: {"resources": Type.RESOURCE},
    Type.ASSESSOR: {"resources": Type.RESOURCE},
    Type.SUBJECT_ASSESSOR: {"resources": Type.RESOURCE},
    Type.RESOURCE: {"files": Type.FILE},
}
"""Lists of children by type of object, with the names they have in documents."""


class UnknownItemError(Exception):
    """There is no such object, or the person may not read it."""


class ObjectTree:
    """What one person can reach. Not for several threads at a time.

    Parameters
    ----------
    project : str or None
        The project of the launch; objects named without a project are seen through it, and
        those that do not appear in it are not there: its owners decide what runs on what.
    """

    def __init__(self, site: Site, user: User, project: str | None = None) -> None:
        self._site = site
        self._items = ItemMaker(site, user)
        self._project = project

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._site.store.connection

    # Finding --------------------------------------------------------------------------------

    def find(self, value: str, wanted: Type) -> Item:
        """Return the object that a launch value names.

        Parameters
        ----------
        value : str
            A URI (``/archive/experiments/E``, ``/archive/projects/P/subjects/S``, with ``/data``
            or without), a bare ID, or a JSON object with ``uri`` or ``id``.

        Raises
        ------
        UnknownItemError
            None of that type that the person may read.
        """
        name = _named(value)
        parts = [part for part in name.split("/") if part]
        for prefix in ("data", "archive"):
            if parts[:1] == [prefix] and "/" in name:
                parts = parts[1:]
        item = None
        if len(parts) == 1 and "/" not in name:
            item = self._by_id(parts[0], wanted)
        elif parts:
            item = self._by_path(parts)
        if item is None or not _is_a(item, wanted):
            raise UnknownItemError(f"There is no {wanted} '{value[:200]}' that you can read.")
        return item

    def _by_id(self, name: str, wanted: Type) -> Item | None:
        if wanted is Type.PROJECT:
            return self._items.project(objects.find_project(self._connection, name))
        if wanted is Type.SUBJECT:
            return self._items.subject(self._find_subject(name, self._project))
        if wanted in {Type.SESSION, Type.ASSESSOR, Type.SUBJECT_ASSESSOR, Type.PROJECT_ASSET}:
            return self._items.experiment(self._find_experiment(name, self._project))
        return None

    def _by_path(self, parts: list[str]) -> Item | None:
        item: Item | None = None
        context: str | None = None
        for kind, name in zip(parts[::2], parts[1::2], strict=False):
            if kind == "projects" and item is None:
                item = self._items.project(objects.find_project(self._connection, name))
                context = None if item is None else item.secured.project
                if self._project not in (None, context):
                    return None
            elif kind == "subjects":
                item = self._items.subject(self._find_subject(name, context or self._project))
            elif kind == "experiments":
                item = self._experiment_in(item, name, context or self._project)
            elif item is not None:
                item = self._child_named(item, kind, name)
            if item is None:
                return None
        return item if len(parts) % 2 == 0 else None

    def _find_subject(self, name: str, project: str | None) -> tuple[Subject, str | None] | None:
        found = objects.find_subject(self._connection, name, project)
        return None if found is None else (found, project)

    def _find_experiment(
        self, name: str, project: str | None
    ) -> tuple[Experiment, str | None] | None:
        found = objects.find_experiment(self._connection, name, project)
        return None if found is None else (found, project)

    def _experiment_in(self, parent: Item | None, name: str, project: str | None) -> Item | None:
        item = self._items.experiment(self._find_experiment(name, project))
        if item is None or parent is None or parent.type is not Type.SUBJECT:
            return item
        return item if item.document.get("subject-id") == parent.document["id"] else None

    def _child_named(self, parent: Item, kind: str, name: str) -> Item | None:
        wanted = CHILD_LISTS.get(parent.type, {}).get(kind)
        if wanted is None:
            return None
        for child in self.children(parent, wanted):
            if name in (child.document["id"], child.label, child.document.get("name")):
                return child
        return None

    # Children and parents -------------------------------------------------------------------

    def children(self, parent: Item, wanted: Type) -> list[Item]:
        """Return the readable children of one type, in XNAT's order of creation."""
        if wanted is Type.RESOURCE:
            return [self._items.resource(parent, row) for row in self._resource_rows(parent)]
        if wanted in {Type.FILE, Type.FILES}:
            rows = self._connection.execute(
                "SELECT * FROM file WHERE resource_id = ? ORDER BY path", (parent.resource_id,)
            )
            return [self._items.file(parent, row) for row in rows.fetchall()]
        if wanted is Type.SCAN and parent.owner.experiment is not None:
            return [self._items.scan(parent, scan) for scan in self._scans(parent)]
        if wanted is Type.SUBJECT:
            return [item for item in self._subjects(parent) if item is not None]
        if wanted in {Type.SESSION, Type.ASSESSOR, Type.SUBJECT_ASSESSOR}:
            items = (self._items.experiment(found) for found in self._experiments(parent, wanted))
            return [item for item in items if item is not None and item.type is wanted]
        return []

    def _resource_rows(self, parent: Item) -> list[sqlite3.Row]:
        return self._connection.execute(
            "SELECT * FROM resource WHERE owner_kind = ? AND owner_id = ? ORDER BY id",
            (parent.owner.kind, parent.owner.owner_id),
        ).fetchall()

    def _scans(self, session: Item) -> Iterator[Scan]:
        rows = self._connection.execute(
            "SELECT * FROM scan WHERE session_id = ? ORDER BY key", (session.owner.owner_id,)
        ).fetchall()
        for row in rows:
            yield Scan(
                key=row["key"],
                session_id=row["session_id"],
                id=row["id"],
                xsi_type=row["xsi_type"],
                insert_date=row["insert_date"],
                insert_user=row["insert_user"],
                last_modified=row["last_modified"],
                fields=json.loads(row["fields"]),
            )

    def _subjects(self, project: Item) -> Iterator[Item | None]:
        place = project.secured.project
        rows = self._connection.execute(
            "SELECT * FROM subject WHERE project = ? OR id IN (SELECT object_id FROM share"
            " WHERE kind = 'subject' AND project = ?) ORDER BY id",
            (place, place),
        ).fetchall()
        for row in rows:
            subject = objects.subject_from_row(self._connection, row)
            yield self._items.subject((subject, place))

    def _experiments(self, parent: Item, wanted: Type) -> Iterator[tuple[Experiment, str | None]]:
        column = "session_id" if wanted is Type.ASSESSOR else "subject_id"
        rows = self._connection.execute(
            f"SELECT * FROM experiment WHERE {column} = ? ORDER BY id",  # noqa: S608 - one of two
            (parent.owner.owner_id,),
        ).fetchall()
        for row in rows:
            yield objects.experiment_from_row(self._connection, row), parent.context

    def parent(self, child: Item, wanted: Type) -> Item | None:
        """Return the readable object above this one, of the wanted type."""
        experiment = child.owner.experiment
        if wanted is Type.PROJECT:
            return self._items.project(objects.find_project(self._connection, child.project))
        if wanted is Type.SUBJECT and experiment is not None:
            name = experiment.subject_id
            if name is None and experiment.session_id is not None:
                session = objects.find_experiment(self._connection, experiment.session_id)
                name = session.subject_id if session else None
            return None if name is None else self._items.subject(self._in_context(child, name))
        if wanted is Type.SESSION and experiment is not None:
            name = experiment.session_id or experiment.id
            found = objects.find_experiment(self._connection, name, child.context)
            return None if found is None else self._items.experiment((found, child.context))
        return None

    def _in_context(self, child: Item, subject_id: str) -> tuple[Subject, str | None] | None:
        found = objects.find_subject(self._connection, subject_id, child.context)
        return None if found is None else (found, child.context)

    def document(self, item: Item, text: str = "") -> dict[str, Any]:
        """Return an item's document with the child lists that a matcher or path mentions.

        Parameters
        ----------
        text : str
            The matcher; lists that it does not name are not loaded.
        """
        document = dict(item.document)
        for name, kind in CHILD_LISTS.get(item.type, {}).items():
            if name in text:
                document[name] = [self.document(c, text) for c in self.children(item, kind)]
        return document


def _named(value: str) -> str:
    """Return the URI or ID in a launch value, which may be a JSON object."""
    if not value.startswith("{"):
        return value
    document = json_value(value)
    if not isinstance(document, dict):
        raise UnknownItemError("The value begins with '{' but is not a JSON object.")
    name = document.get("uri") or document.get("URI") or document.get("id")
    if not isinstance(name, str):
        raise UnknownItemError("The JSON object has neither 'uri' nor 'id'.")
    return name


def _is_a(item: Item, wanted: Type) -> bool:
    return item.type is wanted or {item.type, wanted} == {Type.SUBJECT_ASSESSOR, Type.SESSION}
