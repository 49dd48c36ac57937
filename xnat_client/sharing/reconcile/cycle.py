"""One cycle of the loop: read every server, compare, close what is open too far, then open.

What is declared is read after the server was, so that a publication in between is not taken for a
mistake. A cycle never opens what it has just found wrong. Not here: repeating it (``watch``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import ConflictError, XnatClientError
from xnat_client.sharing import decisions, grants, link_table, standing, tombstones, withdrawal
from xnat_client.sharing.actors import service
from xnat_client.sharing.database.tables import Account, LoopRun, Release, Server
from xnat_client.sharing.reconcile.compare import compare
from xnat_client.sharing.reconcile.drift import Drift, OpenAgain, SetBack, unknown
from xnat_client.sharing.reconcile.exposures import record_exposures
from xnat_client.sharing.reconcile.observe import ObservedSite, observe
from xnat_client.sharing.reconcile.repair import Repairer, perform
from xnat_client.sharing.reconcile.report import CycleReport, Done, Found, ServerReport
from xnat_client.sharing.reconcile.site_rules import SiteRules
from xnat_client.sharing.records import declarations, people
from xnat_client.sharing.server_side.declared import (
    DECLARATIONS_FOLDER,
    Place,
    declared_projects,
    is_single_server,
)
from xnat_client.sharing.server_side.publish import apply_release
from xnat_client.sharing.server_side.site import SharingSite, only_one, service_login
from xnat_client.sharing.vocabulary import READABLE_STATES, Level, ReleaseState, Role, Severity

if TYPE_CHECKING:
    from xnat_client.session import XnatServer


def run_cycle(
    site: SharingSite,
    *,
    dry_run: bool = False,
    mend_site: bool = False,
    seconds_per_server: float = 120.0,
) -> CycleReport:
    """Read all servers and undo what is wrong.

    Parameters
    ----------
    dry_run : bool
        Only say what would be done.
    mend_site : bool
        Set weakened properties of the site back too.
    seconds_per_server : float
        After this time the rest of a server counts as unknown.

    Raises
    ------
    ConflictError
        Another cycle runs.
    """
    with only_one(site.home.folder / "watch.lock", "The loop"):
        began = time.monotonic()
        with site.database.transaction() as session:
            started_at = site.now(session)
            servers = list(session.scalars(sa.select(Server).order_by(Server.alias)))
            run_pk = None
            if not dry_run:
                # A restored database obeys, and a consent that ended closes, also while it watches.
                if tombstones.reapply(session, site.home, now=started_at).restored:
                    withdrawal.enforce(session, site.home, now=started_at)
                withdrawal.enforce(session, site.home, now=started_at)
                link_table.destroy_all_due(session, site.home, now=started_at)
                grants.sweep(session, now=started_at)
                run_pk = _begin_run(session, started_at)
        reports, closed_s = [], []
        for server in servers:
            report = _watch_server(
                site, server, dry_run=dry_run, mend_site=mend_site, seconds=seconds_per_server
            )
            if not dry_run:
                closed_s += record_exposures(site, report, started_at)
            reports.append(report)
        published: tuple[int, ...] = ()
        waiting: tuple[str, ...] = ()
        if not dry_run:
            # After closing, which must not wait for many files to be read; before opening.
            decisions.sweep(site.home, site.database, site.now, site.folders)
            published, waiting = _publish_due(site, reports)
        with site.database.transaction() as session:
            ended_at = site.now(session)
            whole = CycleReport(
                started_at, ended_at, tuple(reports), published, waiting,
                time.monotonic() - began, tuple(closed_s),
            )  # fmt: skip
            if run_pk is not None:
                _end_run(session, run_pk, whole)
        return whole


def _begin_run(session: Session, started_at: datetime) -> int:
    run = LoopRun(started_at=started_at)
    session.add(run)
    session.flush()
    return run.run_pk


def _end_run(session: Session, run_pk: int, report: CycleReport) -> None:
    run = session.get_one(LoopRun, run_pk)
    run.ended_at = report.ended_at
    run.requests = sum(server.requests for server in report.servers)
    run.worst = report.worst
    run.complete = report.is_complete


# One server -----------------------------------------------------------------------------------


def _watch_server(
    site: SharingSite, server: Server, *, dry_run: bool, mend_site: bool, seconds: float
) -> ServerReport:
    try:
        opened = site.log_in(server)
    except XnatClientError as error:
        return _unreadable(server, error)
    with opened:
        try:
            observed, drifts = _differences(site, server, opened, seconds)
        except XnatClientError as error:
            return _unreadable(server, error)
        repairer = Repairer(site, server, opened)
        found = tuple(
            _handle(repairer, drift, observed, dry_run=dry_run, mend_site=mend_site)
            for drift in drifts
        )
    return ServerReport(server.alias, observed.requests, found, observed.troubles)


def _unreadable(server: Server, error: XnatClientError) -> ServerReport:
    drift = unknown("", "The server cannot be read; whatever is on it counts as open.")
    return ServerReport(server.alias, 0, (Found(drift, Done.LEFT, str(error)),), (str(error),))


def _differences(
    site: SharingSite, server: Server, opened: XnatServer, seconds: float
) -> tuple[ObservedSite, list[Drift]]:
    with site.database.transaction() as session:
        places = session.scalars(
            sa.select(Release.project_id).where(Release.server == server.alias)
        )
        release_projects = frozenset(places)
    observed = observe(opened.transport, release_projects, seconds=seconds)
    login = service_login(server, opened)
    with site.database.transaction() as session:
        now = site.now(session)
        declared = declared_projects(session, Place(server, login), now)
        rules = _rules(session, server, login, now)
        altered = _altered_declarations(session, site)
    drifts = compare(declared, observed, rules)
    if altered:
        # Nobody can say which of the two is meant: close by the records, open by neither.
        drifts = [one for one in drifts if not isinstance(one.repair, OpenAgain)]
    return observed, [*altered, *drifts]


def _altered_declarations(session: Session, site: SharingSite) -> list[Drift]:
    folder = site.home.folder / DECLARATIONS_FOLDER
    if not folder.is_dir() and not declarations.current(session):
        return []
    return [unknown("", what) for what in declarations.differences(session, folder)]


def _rules(session: Session, server: Server, login: str, now: datetime) -> SiteRules:
    administrators = people.persons_with(session, Role.ADMINISTRATOR, None, now)
    names = session.scalars(
        sa.select(Account.username).where(
            Account.server == server.alias, Account.person_id.in_(sorted(administrators))
        )
    )
    has_open = session.scalar(
        sa.select(sa.func.count()).where(
            Release.server == server.alias,
            Release.level == Level.OPEN,
            Release.state.in_(sorted(READABLE_STATES)),
        )
    )
    return SiteRules(
        side=server.side,
        single=is_single_server(session),
        has_open=bool(has_open),
        administrators=frozenset(names) | {login},
        service_login=login,
    )


def _handle(
    repairer: Repairer, drift: Drift, observed: ObservedSite, *, dry_run: bool, mend_site: bool
) -> Found:
    wanted = drift.repair is not None and (mend_site or not isinstance(drift.repair, SetBack))
    if not wanted:
        return Found(drift, Done.LEFT)
    if dry_run:
        return Found(drift, Done.PLANNED)
    try:
        perform(repairer, drift, (observed.projects or {}).get(drift.project_id))
    except XnatClientError as error:
        return Found(drift, Done.FAILED, str(error))
    return Found(drift, Done.REPAIRED)


# What is due ----------------------------------------------------------------------------------


def _publish_due(
    site: SharingSite, reports: Sequence[ServerReport]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Publish what an embargo held back until now, and what was resumed or interrupted."""
    blocked = {
        (server.alias, one.drift.project_id)
        for server in reports
        for one in server.found
        if one.drift.severity >= Severity.HIGH and not isinstance(one.drift.repair, OpenAgain)
    }
    unread = {server.alias for server in reports if not server.is_complete}
    with site.database.transaction() as session:
        now = site.now(session)
        if _altered_declarations(session, site):
            return (), ("Declarations differ between files and records; nothing is opened.",)
        due = [
            one.release_pk
            for one in session.scalars(sa.select(Release).order_by(Release.release_pk))
            if _is_due(session, one, now)
            and one.server not in unread
            and (one.server, one.project_id) not in blocked
        ]
    published, waiting = [], []
    for release_pk in due:
        try:
            apply_release(site, release_pk, service("The release is due on its server."))
        except ConflictError:
            continue  # somebody publishes at this moment
        except XnatClientError as error:
            waiting.append(f"Release {release_pk}: {error}")
        else:
            published.append(release_pk)
    return tuple(published), tuple(waiting)


def _is_due(session: Session, release: Release, now: datetime) -> bool:
    if release.state is ReleaseState.EMBARGOED:
        return standing.embargo_is_over(session, release, now)
    return release.state in READABLE_STATES and not release.applied
