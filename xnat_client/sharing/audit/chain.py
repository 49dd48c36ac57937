"""Adding to the audit log, and the hash that ties each entry to the one before.

Each entry's hash is the SHA-256 of the canonical JSON (sorted keys, UTF-8, no spaces) of all its
fields with the previous hash among them; among the fields are the seals of the rows that the
transaction wrote (``seals``). Not here: verification, checkpoints, questions.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.audit import seals
from xnat_client.sharing.database.tables import AuditEntry, ClockMark

FIRST_HASH = "0" * 64


@dataclass(frozen=True)
class Change:
    """What was done to what.

    Attributes
    ----------
    action : str
        Like ``release.publish``.
    object_kind, object_id : str
        To what; never a source label of a participant (use the participant's number).
    before, after : mapping
        State before and after, without identities; JSON values only.
    """

    action: str
    object_kind: str
    object_id: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


def append(session: Session, actor: Actor, change: Change, *, now: datetime) -> AuditEntry:
    """Add one entry within the caller's transaction.

    Parameters
    ----------
    session : Session
        A session of ``Database.transaction``: writers take turns, so the chain cannot fork.
    actor : Actor
        Who, in which role, and why.
    change : Change
        What was done to what.
    now : datetime
        Aware time of the records' clock.

    Returns
    -------
    AuditEntry
        The entry, already part of the session.
    """
    sealed = seals.take(session)
    last = session.execute(
        sa.select(AuditEntry.sequence, AuditEntry.hash)
        .order_by(AuditEntry.sequence.desc())
        .limit(1)
    ).first()
    entry = AuditEntry(
        sequence=last.sequence + 1 if last else 1,
        at=now,
        actor_id=actor.person_id,
        role=actor.role.value,
        action=change.action,
        object_kind=change.object_kind,
        object_id=change.object_id,
        before=dict(change.before),
        after=dict(change.after),
        reason=actor.reason,
        request_id=uuid.uuid4().hex,
        source=actor.source,
        sealed=sealed,
        previous_hash=last.hash if last else FIRST_HASH,
    )
    entry.hash = entry_hash(entry)
    session.add(entry)
    session.flush()
    return entry


def seal_rest(session: Session) -> None:
    """Add an entry for rows that were written without one, so that no row stays unsealed."""
    session.flush()
    if not seals.has_unsealed(session):
        return
    mark = session.execute(sa.select(ClockMark.latest_at)).scalar_one_or_none()
    what = Change("records.write", "records", "rows without an entry of their own")
    append(
        session,
        service("Rows that no entry of their own speaks of are sealed too.", "records"),
        what,
        now=mark or datetime.now(UTC),
    )


def entry_hash(entry: AuditEntry) -> str:
    """Return the hash that an entry's fields demand."""
    fields = {
        "sequence": entry.sequence,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor_id": entry.actor_id,
        "role": entry.role,
        "action": entry.action,
        "object_kind": entry.object_kind,
        "object_id": entry.object_id,
        "before": entry.before,
        "after": entry.after,
        "reason": entry.reason,
        "request_id": entry.request_id,
        "source": entry.source,
        "sealed": entry.sealed,
        "previous_hash": entry.previous_hash,
    }
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
