"""Searches as rows: stored ones, which have a name, and those kept for reading in pages.

Not here: HTTP (``stored_searches``) and running them (``searches``).
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass

from deploy.sandbox.call import Call
from deploy.sandbox.people import User
from deploy.sandbox.store import now_text

KEPT_PER_PERSON = 200
"""Searches kept for paging; the oldest go first."""


@dataclass(frozen=True, slots=True)
class StoredSearch:
    """A stored search; ``logins`` are those it is shared with, empty for everybody."""

    id: str
    owner_id: int
    root_type: str
    brief_description: str
    description: str
    secure: bool
    logins: tuple[str, ...]
    document: bytes

    def is_visible_to(self, user: User) -> bool:
        """Return whether a person may see and run the search."""
        if self.is_changeable_by(user):
            return True
        if not self.logins:
            return not self.secure
        return user.login.lower() in {login.lower() for login in self.logins}

    def is_changeable_by(self, user: User) -> bool:
        """Return whether a person may replace or delete the search."""
        return user.is_admin or (user.id == self.owner_id and not user.is_guest)


def _of_row(row: sqlite3.Row) -> StoredSearch:
    return StoredSearch(
        row["id"], row["owner_id"], row["root_type"], row["brief_description"],
        row["description"], bool(row["secure"]), tuple(json.loads(row["logins"])),
        row["document"],
    )  # fmt: skip


def all_stored(connection: sqlite3.Connection) -> list[StoredSearch]:
    """Return every stored search in order of its ID."""
    rows = connection.execute("SELECT * FROM stored_search ORDER BY id")
    return [_of_row(row) for row in rows]


def find_stored(connection: sqlite3.Connection, search_id: str) -> StoredSearch | None:
    """Return the stored search with this ID, or None."""
    row = connection.execute("SELECT * FROM stored_search WHERE id = ?", (search_id,)).fetchone()
    return None if row is None else _of_row(row)


def put_stored(connection: sqlite3.Connection, found: StoredSearch) -> None:
    """Store a search, in the place of one with the same ID."""
    connection.execute(
        "INSERT OR REPLACE INTO stored_search (id, owner_id, root_type, brief_description,"
        " description, secure, logins, document, last_modified)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            found.id, found.owner_id, found.root_type, found.brief_description,
            found.description, found.secure, json.dumps(found.logins), found.document, now_text(),
        ),
    )  # fmt: skip


def delete_stored(connection: sqlite3.Connection, search_id: str) -> None:
    """Delete a stored search."""
    connection.execute("DELETE FROM stored_search WHERE id = ?", (search_id,))


# Kept for paging ----------------------------------------------------------------------------


def keep(call: Call, document: bytes) -> str:
    """Keep a search document for its maker; return the ID to read it by."""
    kept = f"xs{secrets.token_hex(16)}"
    with call.site.store.write() as connection:
        connection.execute(
            "INSERT INTO kept_search (id, user_id, document) VALUES (?, ?, ?)",
            (kept, call.user.id, document),
        )
        connection.execute(
            "DELETE FROM kept_search WHERE user_id = ? AND number NOT IN"
            " (SELECT number FROM kept_search"
            " WHERE user_id = ? ORDER BY number DESC LIMIT ?)",
            (call.user.id, call.user.id, KEPT_PER_PERSON),
        )
    return kept


def find_kept(call: Call, search_id: str) -> bytes | None:
    """Return the document of a search that the caller kept, or None."""
    row = call.site.store.connection.execute(
        "SELECT document FROM kept_search WHERE id = ? AND user_id = ?", (search_id, call.user.id)
    ).fetchone()
    return None if row is None else bytes(row["document"])
