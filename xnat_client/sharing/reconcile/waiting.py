"""Waiting for the next cycle, and beginning it early when somebody acted on the records.

A release that is suspended, a grant that is revoked or a person who leaves is closed on the servers
within seconds, not at the end of the interval. Not here: the cycle (``cycle``).
"""

from __future__ import annotations

import time

import sqlalchemy as sa

from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import AuditEntry

_OWN = ("loop", "records")
"""Sources of entries that cycles write themselves."""


def last_act(database: Database) -> int:
    """Return the number of the newest entry that a person wrote; 0 if there is none."""
    with database.transaction() as session:
        found = session.scalar(
            sa.select(sa.func.max(AuditEntry.sequence)).where(AuditEntry.source.not_in(_OWN))
        )
    return found or 0


def wait(database: Database, seconds: float, since: int, *, look_every_s: float = 2.0) -> bool:
    """Wait some seconds, or until a person acted on the records; tell whether one did.

    Parameters
    ----------
    since : int
        What ``last_act`` said when the last cycle began: an act during it counts.
    """
    until = time.monotonic() + seconds
    while True:
        if last_act(database) > since:
            return True
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, look_every_s))
