"""Checkpoints: the head of the audit log, signed by the site, to be kept somewhere else.

A checkpoint is a small JSON file with the number and hash of the last entry, the time, the site's
public key (``site_key``), and the signature over the canonical JSON of the rest. The key stands in
the records' folder, so a checkpoint that stays there proves nothing against somebody who can write
there: copy checkpoints to a place of the officer's, and note the public key there.
Not here: comparing checkpoints with the log (``verify``).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import BadInputError
from xnat_client.sharing import site_key
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit.chain import Change, append
from xnat_client.sharing.database.tables import AuditEntry
from xnat_client.sharing.home import Home

ACTION = "audit.checkpoint"
_FORMAT = "winxnat-checkpoint/1"


@dataclass(frozen=True)
class Checkpoint:
    """The head of the log at one time, signed.

    Attributes
    ----------
    sequence : int
        Number of the last entry.
    head : str
        Its hash.
    at : datetime
        When it was signed, in UTC by the records' clock.
    public_key : str
        The site's public key: base64 of the raw 32 bytes.
    signature : str
        Base64 of the Ed25519 signature.
    """

    sequence: int
    head: str
    at: datetime
    public_key: str
    signature: str

    def is_signed_by(self, public_key: str) -> bool:
        """Tell whether the signature fits the content and is of this key."""
        if public_key != self.public_key:
            return False
        return site_key.is_signature(self.signed_bytes(), self.signature, public_key)

    def as_json(self) -> str:
        """Return the file's text."""
        return json.dumps({**self._content(), "signature": self.signature}, sort_keys=True) + "\n"

    def _content(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "sequence": self.sequence,
            "hash": self.head,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "key": self.public_key,
        }

    def signed_bytes(self) -> bytes:
        """Return what is signed: everything but the signature, as canonical JSON."""
        return json.dumps(self._content(), sort_keys=True, separators=(",", ":")).encode()


def make_checkpoint(session: Session, home: Home, actor: Actor, *, now: datetime) -> Checkpoint:
    """Sign the head of the log; the entry that says so is part of it.

    Parameters
    ----------
    session : Session
        A session of ``Database.transaction``; write the file after it was committed.
    home : Home
        Holds the site's key; one is made if there is none.
    actor : Actor
        Who wants it; anybody may, for it opens nothing.
    now : datetime
        Time of the records' clock.
    """
    public = site_key.public_key(home)
    change = Change(ACTION, "audit", "head", after={"key": public})
    entry = append(session, actor, change, now=now)
    unsigned = Checkpoint(entry.sequence, entry.hash, now, public, "")
    return replace(unsigned, signature=site_key.sign(home, unsigned.signed_bytes()))


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write a checkpoint's file, whole or not at all, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    at = checkpoint.at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"checkpoint-{checkpoint.sequence:09d}-{at}.json"
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(checkpoint.as_json())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's file; whether its signature fits is asked of the checkpoint.

    Raises
    ------
    BadInputError
        The file is no checkpoint.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = Checkpoint(
            int(document["sequence"]),
            str(document["hash"]),
            datetime.fromisoformat(document["at"]).astimezone(UTC),
            str(document["key"]),
            str(document["signature"]),
        )
        # The signature is over the content as it is written here, so nothing may stand beside it.
        if document != json.loads(found.as_json()):
            raise ValueError(_FORMAT)  # noqa: TRY301  # the same reaction as for the other faults
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path.name} is not a checkpoint of the audit log, or was changed. Compare it with "
            "the copy that is kept elsewhere."
        ) from error
    return found


def read_checkpoints(folder: Path) -> list[Checkpoint]:
    """Read all checkpoints of a folder, the oldest first; none if there is no folder."""
    return [read_checkpoint(path) for path in sorted(folder.glob("checkpoint-*.json"))]


def is_due(session: Session, now: datetime, *, every_hours: float = 24.0) -> bool:
    """Tell whether entries were added and the last checkpoint is older than a number of hours."""
    last = session.execute(
        sa.select(AuditEntry.sequence, AuditEntry.at)
        .where(AuditEntry.action == ACTION)
        .order_by(AuditEntry.sequence.desc())
        .limit(1)
    ).first()
    head = session.execute(sa.select(sa.func.max(AuditEntry.sequence))).scalar()
    if head is None or (last is not None and last.sequence == head):
        return False
    return last is None or (now - last.at).total_seconds() >= every_hours * 3600
