"""How long something was open, and whether the loop itself still runs.

Not here: finding what is open (``compare``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing.database.tables import Exposure, LoopRun
from xnat_client.sharing.reconcile.drift import Drift
from xnat_client.sharing.reconcile.report import Done, ServerReport
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import Severity


def record_exposures(site: SharingSite, report: ServerReport, started_at: datetime) -> list[float]:
    """Keep when differences began and ended; return the windows that closed, in seconds."""
    closed_s = []
    with site.database.transaction() as session:
        now = site.now(session)
        last_good = session.scalar(
            sa.select(LoopRun.started_at)
            .where(LoopRun.complete, LoopRun.ended_at.is_not(None))
            .order_by(LoopRun.run_pk.desc())
            .limit(1)
        )
        is_open = {
            (row.project_id, row.drift, row.what): row
            for row in session.scalars(
                sa.select(Exposure).where(
                    Exposure.server == report.alias, Exposure.closed_at.is_(None)
                )
            )
        }
        for one in report.found:
            key = (one.drift.project_id, one.drift.drift, one.drift.what)
            row = is_open.pop(key, None)
            if row is None:
                row = _new_exposure(report.alias, one.drift, last_good, started_at)
                session.add(row)
            if one.done is Done.REPAIRED:
                closed_s.append(_close(row, now))
        if report.is_complete:
            # Gone without our doing, or repaired by a cycle that died before it wrote this.
            closed_s += [_close(row, now) for row in is_open.values()]
    return closed_s


def _new_exposure(
    alias: str, drift: Drift, last_good: datetime | None, found_at: datetime
) -> Exposure:
    return Exposure(
        server=alias,
        project_id=drift.project_id,
        drift=drift.drift,
        severity=drift.severity,
        what=drift.what,
        last_good_at=last_good,
        found_at=found_at,
    )


def _close(row: Exposure, now: datetime) -> float:
    row.closed_at = now
    return (now - (row.last_good_at or row.found_at)).total_seconds()


@dataclass(frozen=True)
class Alive:
    """When the loop last ended a cycle, and whether that is recent enough."""

    last_ended_at: datetime | None
    age: timedelta | None
    is_alive: bool
    was_complete: bool
    worst: Severity


def sign_of_life(session: Session, now: datetime, longest: timedelta) -> Alive:
    """Tell whether the loop runs: its own absence is an alarm."""
    last = session.scalars(
        sa.select(LoopRun)
        .where(LoopRun.ended_at.is_not(None))
        .order_by(LoopRun.run_pk.desc())
        .limit(1)
    ).first()
    if last is None or last.ended_at is None:
        return Alive(None, None, is_alive=False, was_complete=False, worst=Severity.NONE)
    age = now - last.ended_at
    return Alive(last.ended_at, age, age <= longest, last.complete, last.worst)
