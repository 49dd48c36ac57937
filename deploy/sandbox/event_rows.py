"""Subscriptions, events that wait to be delivered, and the history of deliveries, as rows.

Events are noted by triggers (``schemas/events.sql``). Not here: what a delivery does
(``event_dispatch``) and HTTP (``events_api``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.errors import conflict
from deploy.sandbox.objects import Experiment
from deploy.sandbox.store import ACTING_LOGIN, now_text

MISMATCH = "OBJECT_FILTER_MISMATCH_HALT"
"""Outcome of an event that the subscription's filter does not accept."""


@dataclass(frozen=True)
class Draft:
    """What a subscription says; an empty tuple of projects stands for the whole site."""

    name: str
    active: bool
    event_type: str
    status: str
    projects: tuple[str, ...]
    payload_filter: str
    action_key: str
    attributes: Mapping[str, str]
    as_event_user: bool


@dataclass(frozen=True)
class Subscription:
    """A stored subscription."""

    id: int
    draft: Draft
    owner_id: int
    owner_login: str
    after_event: int
    created_at: str


@dataclass(frozen=True)
class Event:
    """Something that happened; ``details`` is what was known of the object then."""

    id: int
    kind: str
    object_id: str
    status: str
    project: str
    login: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Delivery:
    """What became of one event for one subscription.

    Parameters
    ----------
    about : Mapping
        What the event was about: label, xsiType, uri.
    steps : tuple of (str, str)
        Status words with a sentence each, in order; the last one is the outcome.
    """

    project: str
    login: str
    event_type: str
    event_status: str
    about: Mapping[str, Any]
    inputs: Mapping[str, str]
    failed: bool
    steps: tuple[tuple[str, str], ...]


# Subscriptions ------------------------------------------------------------------------------

_SELECT = (
    "SELECT event_subscription.*, user.login FROM event_subscription"
    " JOIN user ON user.id = event_subscription.owner_id"
)


def _of_row(row: sqlite3.Row) -> Subscription:
    draft = Draft(
        name=row["name"],
        active=bool(row["active"]),
        event_type=row["event_type"],
        status=row["status"],
        projects=tuple(json.loads(row["projects"])),
        payload_filter=row["payload_filter"],
        action_key=row["action_key"],
        attributes=json.loads(row["attributes"]),
        as_event_user=bool(row["as_event_user"]),
    )
    return Subscription(
        row["id"], draft, row["owner_id"], row["login"], row["after_event"], row["created_at"]
    )


def _columns(draft: Draft) -> tuple[object, ...]:
    return (
        draft.name, draft.active, draft.event_type, draft.status, json.dumps(draft.projects),
        draft.payload_filter, draft.action_key, json.dumps(dict(draft.attributes)),
        draft.as_event_user,
    )  # fmt: skip


def last_event(connection: sqlite3.Connection) -> int:
    """Return the number of the latest event that was ever noted."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return int(row["seq"]) if row is not None else 0


def add_subscription(connection: sqlite3.Connection, draft: Draft, owner_id: int) -> int:
    """Store a subscription, which hears of what happens from now on; return its number.

    Raises
    ------
    HttpError
        409 when the name is taken.
    """
    try:
        cursor = connection.execute(
            "INSERT INTO event_subscription (name, active, event_type, status, projects,"
            " payload_filter, action_key, attributes, as_event_user, owner_id, after_event,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*_columns(draft), owner_id, last_event(connection), now_text()),
        )
    except sqlite3.IntegrityError as error:
        raise _taken(draft) from error
    return int(cursor.lastrowid or 0)


def change_subscription(connection: sqlite3.Connection, number: int, draft: Draft) -> None:
    """Change a subscription; as changed it hears of what happens from now on.

    Raises
    ------
    HttpError
        409 when the name is that of another one.
    """
    try:
        connection.execute(
            "UPDATE event_subscription SET name = ?, active = ?, event_type = ?, status = ?,"
            " projects = ?, payload_filter = ?, action_key = ?, attributes = ?,"
            " as_event_user = ?, after_event = ? WHERE id = ?",
            (*_columns(draft), last_event(connection), number),
        )
    except sqlite3.IntegrityError as error:
        raise _taken(draft) from error


def _taken(draft: Draft) -> Exception:
    return conflict(f"Subscription with the name {draft.name} exists. Choose another name.")


def set_active(connection: sqlite3.Connection, number: int, *, active: bool) -> None:
    """Have a subscription listen from now on, or no longer."""
    connection.execute(
        "UPDATE event_subscription SET active = ?, after_event = CASE WHEN active = ?"
        " THEN after_event ELSE ? END WHERE id = ?",
        (active, active, last_event(connection), number),
    )


def delete_subscription(connection: sqlite3.Connection, number: int) -> None:
    """Delete a subscription with its history."""
    connection.execute("DELETE FROM event_subscription WHERE id = ?", (number,))


def find_subscription(connection: sqlite3.Connection, number: int) -> Subscription | None:
    """Return the subscription of this number, or None."""
    row = connection.execute(f"{_SELECT} WHERE event_subscription.id = ?", (number,)).fetchone()
    return None if row is None else _of_row(row)


def list_subscriptions(
    connection: sqlite3.Connection, project: str | None = None
) -> list[Subscription]:
    """Return all subscriptions, or those that hear of events in a project, the oldest first."""
    rows = connection.execute(f"{_SELECT} ORDER BY event_subscription.id").fetchall()
    found = [_of_row(row) for row in rows]
    return [s for s in found if project is None or project in s.draft.projects or not
            s.draft.projects]  # fmt: skip


# Events -------------------------------------------------------------------------------------


def next_event(connection: sqlite3.Connection) -> Event | None:
    """Return the oldest event that was not delivered yet, or None."""
    row = connection.execute("SELECT * FROM event ORDER BY id LIMIT 1").fetchone()
    if row is None:
        return None
    return Event(
        row["id"], row["kind"], row["object_id"], row["status"], row["project"], row["login"],
        json.loads(row["details"]),
    )  # fmt: skip


def take_event(connection: sqlite3.Connection, event: Event) -> bool:
    """Remove an event that is being delivered; return whether it was still there."""
    return connection.execute("DELETE FROM event WHERE id = ?", (event.id,)).rowcount == 1


def note_merge(connection: sqlite3.Connection, session: Experiment) -> None:
    """Note that more data were archived into a session; call inside the write that does it."""
    details = {"label": session.label, "xsiType": session.xsi_type, "session-id": None}
    connection.execute(
        "INSERT INTO event (kind, object_id, status, project, login, details)"
        " SELECT 'experiment', ?, 'MERGED', ?, ?, ? WHERE EXISTS (SELECT 1 FROM"
        " event_subscription WHERE active AND event_type = 'SessionEvent')",
        (session.id, session.project, ACTING_LOGIN.get(), json.dumps(details)),
    )


# Deliveries ---------------------------------------------------------------------------------


def add_delivery(connection: sqlite3.Connection, subscription_id: int, done: Delivery) -> None:
    """Store what became of an event for a subscription."""
    now = now_text()
    steps = [{"status": word, "timestamp": now, "message": said} for word, said in done.steps]
    connection.execute(
        "INSERT INTO event_delivery (subscription_id, project, login, event_type, event_status,"
        " object, inputs, outcome, failed, statuses, delivered_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            subscription_id, done.project, done.login, done.event_type, done.event_status,
            json.dumps(dict(done.about)), json.dumps(dict(done.inputs)), done.steps[-1][0],
            done.failed, json.dumps(steps), now,
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class HistoryQuery:
    """Which deliveries are asked for; None stands for all."""

    project: str | None = None
    subscription_id: int | None = None
    mismatches: bool = False

    @property
    def condition(self) -> str:
        """Return the SQL condition that takes ``values``."""
        return (
            " WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR subscription_id = ?2)"
            " AND (?3 OR outcome <> ?4)"
        )

    @property
    def values(self) -> tuple[object, ...]:
        """Return the values of the condition."""
        return (self.project, self.subscription_id, self.mismatches, MISMATCH)


def count_deliveries(connection: sqlite3.Connection, query: HistoryQuery) -> int:
    """Return how many deliveries there are."""
    (count,) = connection.execute(
        f"SELECT count(*) FROM event_delivery{query.condition}",  # noqa: S608 - a text of ours
        query.values,
    ).fetchone()
    return int(count)


def list_deliveries(
    connection: sqlite3.Connection, query: HistoryQuery, *, limit: int, offset: int = 0
) -> list[sqlite3.Row]:
    """Return rows of deliveries, the latest first."""
    return connection.execute(
        f"SELECT * FROM event_delivery{query.condition} ORDER BY id DESC LIMIT ?5 OFFSET ?6",  # noqa: S608 - same
        (*query.values, limit, offset),
    ).fetchall()


def find_delivery(connection: sqlite3.Connection, number: int) -> sqlite3.Row | None:
    """Return the row of a delivery, or None."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM event_delivery WHERE id = ?", (number,)
    ).fetchone()
    return row
