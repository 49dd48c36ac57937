"""The records' clock: UTC, and never earlier than any time the records have seen.

A wrong or turned-back system clock must not end an embargo early nor make an expired grant live
again: time stands still until the system's clock has caught up. A clock that is wrong
forwards cannot be told from one that is right. Not here: what time decides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing.database.tables import AuditEntry, ClockMark

_ONLY_ROW = 1
_NEVER = datetime.min.replace(tzinfo=UTC)


def system_time() -> datetime:
    """Return the machine's time in UTC."""
    return datetime.now(UTC)


def now(session: Session, source: Callable[[], datetime] = system_time) -> datetime:
    """Return the time of the records and remember it.

    Parameters
    ----------
    session : Session
        A session of ``Database.transaction``.
    source : callable
        Where the time comes from; tests give their own.
    """
    read = max(source().astimezone(UTC), latest_seen(session) or _NEVER)
    mark = session.get(ClockMark, _ONLY_ROW)
    if mark is None:
        session.add(ClockMark(mark_pk=_ONLY_ROW, latest_at=read))
        session.flush()
    elif read > mark.latest_at:
        mark.latest_at = read
        session.flush()
    return read


def latest_seen(session: Session) -> datetime | None:
    """Return the latest time the records have seen, None before the first.

    The mark alone could be set back by whoever can edit one row, the log's last entry cannot.
    """
    latest = (
        sa.select(AuditEntry.at).order_by(AuditEntry.sequence.desc()).limit(1),
        sa.select(ClockMark.latest_at),
    )
    seen = [session.execute(one).scalar_one_or_none() for one in latest]
    return max((one for one in seen if one is not None), default=None)
