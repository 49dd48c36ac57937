"""The records' clock: UTC, and never earlier than any time the records have seen.

A wrong or turned-back system clock must not end an embargo early nor make an expired grant live
again: time stands still until the system's clock has caught up. A clock that is wrong
forwards cannot be told from one that is right. Not here: what time decides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from xnat_client.sharing.database.tables import ClockMark

_ONLY_ROW = 1


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
    read = source().astimezone(UTC)
    mark = session.get(ClockMark, _ONLY_ROW)
    if mark is None:
        session.add(ClockMark(mark_pk=_ONLY_ROW, latest_at=read))
        session.flush()
        return read
    if read > mark.latest_at:
        mark.latest_at = read
        session.flush()
    return mark.latest_at
