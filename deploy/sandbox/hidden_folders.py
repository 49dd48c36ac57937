"""What lies in an object's folder and is not the launching person's to read.

A session's folder has its assessors, which may be of another project or of a type that the
person's group does not read; a project's has all of its sessions. Whoever mounts a folder must not
see more of it than the interface would show. Not here: making the mount (``staging``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from commands.model import WrapperInputType as Type
from deploy.sandbox import objects
from deploy.sandbox.object_items import Item
from deploy.sandbox.people import User
from deploy.sandbox.rights import Action
from deploy.sandbox.site import Site

_ASSESSORS = "SELECT * FROM experiment WHERE session_id = ?"
_IN_PROJECT = (
    "SELECT * FROM experiment WHERE project = :place OR session_id IN"
    " (SELECT id FROM experiment WHERE project = :place)"
    " OR id IN (SELECT object_id FROM share WHERE kind = 'experiment' AND project = :place)"
    " OR session_id IN"
    " (SELECT object_id FROM share WHERE kind = 'experiment' AND project = :place)"
)


def hidden_folders(site: Site, user: User, source: Item) -> frozenset[Path]:
    """Return the folders below an object's own that the user may not read.

    XNAT mounts them all the same.
    """
    connection = site.store.connection
    if source.type is Type.SESSION:
        rows = _rows(connection, _ASSESSORS, (source.owner.owner_id,))
    elif source.type is Type.PROJECT:
        rows = _rows(connection, _IN_PROJECT, {"place": source.project})
    else:
        return frozenset()
    found = (objects.experiment_from_row(connection, row) for row in rows)
    return frozenset(
        site.settings.archive_dir / objects.experiment_dir(connection, each)
        for each in found
        if not site.rights.can(user, Action.READ, each.secured, source.context)
    )


def _rows(
    connection: sqlite3.Connection, statement: str, values: tuple[str, ...] | dict[str, str]
) -> Iterator[sqlite3.Row]:
    yield from connection.execute(statement, values).fetchall()
