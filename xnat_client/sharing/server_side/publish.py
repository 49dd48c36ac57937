"""Publishing a release on its server, and closing it: close first, open last.

The project is closed and its files are brought to exactly the approved ones while nobody can read
it. Then, with the records locked, every guard is evaluated again, the readers are let in, all of
it is read back, and only then do the records say ``applied``. A process that dies on the way
leaves a project that the records call closed; the loop closes it. Not here: the guards
(``machines``), the loop (``reconcile``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import NotFoundError, UsageError, XnatClientError
from xnat_client.projects import Accessibility, create_project, get_accessibility
from xnat_client.sharing import decisions
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit.chain import Change, append
from xnat_client.sharing.check import check_release
from xnat_client.sharing.check.folder import FolderObservation, observe
from xnat_client.sharing.database.tables import Release, Server
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.evidence import release_folder
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import people
from xnat_client.sharing.server_side.admission import let_in
from xnat_client.sharing.server_side.closing import close_project, open_project
from xnat_client.sharing.server_side.content import (
    compare_files,
    delete_resource,
    list_labels,
    list_release_files,
    require_no_objects,
    resource_label,
    store_release,
)
from xnat_client.sharing.server_side.declared import (
    Place,
    release_project,
    wanted_files,
)
from xnat_client.sharing.server_side.places import check_place, warnings_of_place
from xnat_client.sharing.server_side.site import SharingSite, only_one, service_login
from xnat_client.sharing.vocabulary import READABLE_STATES, ReleaseState, Role

if TYPE_CHECKING:
    from xnat_client.session import XnatServer

_TO_APPLY = frozenset({ReleaseState.APPROVED, ReleaseState.EMBARGOED})


@dataclass(frozen=True)
class Applied:
    """What became of a release.

    Attributes
    ----------
    opened : bool
        Whether it can be read now; False for one under embargo.
    files_sent : int
        Files that were not on the server yet.
    unknown_accounts : int
        Declared readers whose account the server does not have.
    warnings : tuple of str
        What is right but not good.
    """

    release_pk: int
    state: ReleaseState
    opened: bool
    files_sent: int = 0
    readers: int = 0
    accessibility: Accessibility = Accessibility.PRIVATE
    unknown_accounts: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Closed:
    """What closing a release did.

    Attributes
    ----------
    removed : tuple of str
        Accounts that were taken out.
    not_opened : tuple of str
        Why other versions in the project were not opened again, one sentence each.
    """

    removed: tuple[str, ...] = ()
    not_opened: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """What one publication is about; rows are copies that no session holds."""

    release: Release
    server: Server
    restored: frozenset[int]
    """Other versions in the project that were readable before and will be again."""
    warnings: tuple[str, ...]


class _RolledBackError(Exception):
    """Ends a rehearsal; nothing of it is kept."""


def apply_release(
    site: SharingSite, release_pk: int, actor: Actor, *, dry_run: bool = False
) -> Applied:
    """Publish an approved release on its server, or one again that is published but not there.

    Raises
    ------
    RefusedByPolicyError
        A guard objects, before or after the files were sent; nobody can read the project.
    XnatClientError
        The server did not do it; the project was closed again as far as it answers.
    """
    with only_one(site.home.folder / "apply.lock", "Publishing"):
        seen = _read_folder(site, release_pk)
        state = _rehearse(site, release_pk, actor, seen)
        if dry_run:
            opened = state is not ReleaseState.EMBARGOED
            return Applied(release_pk, state, opened, warnings=_warnings_of(site, release_pk))
        if state is ReleaseState.EMBARGOED:
            return _enter_embargo(site, release_pk, actor, seen)
        plan = _begin(site, release_pk, actor)
        if plan is None:
            return Applied(release_pk, state, opened=True)
        with site.log_in(plan.server) as opened_server:
            sent = _send(site, plan, opened_server)
            try:
                applied = _open(site, plan, actor, opened_server, sent, seen)
            except BaseException:
                login = service_login(plan.server, opened_server)
                close_project(opened_server.transport, plan.release.project_id, login)
                raise
            _look_again(site, plan, opened_server)
            let_in(site, plan.server, opened_server, plan.release.project_id)
            return applied


def close_release(site: SharingSite, release_pk: int, actor: Actor) -> Closed:
    """Close the project of a release that the records no longer call readable, at once.

    Other versions in the same project are opened again afterwards, if their guards still hold,
    without the files of this one.

    Raises
    ------
    XnatClientError
        The server could not be reached or did not close; the loop tries again in each cycle.
    """
    with site.database.transaction() as session:
        release = _release(session, release_pk)
        if release.state in READABLE_STATES and release.applied:
            raise UsageError("The release is to be read; suspend or withdraw it first.")
        now = site.now(session)
        server = session.get_one(Server, release.server)
        others = _others(session, release)
        release.applied = False
        for other in others:
            other.applied = False
        project, label = release.project_id, resource_label(release.version)
        must_go = release.state is ReleaseState.WITHDRAWN or bool(others)
        change = Change("release.close", "release", str(release_pk), {}, {"project": project})
        append(session, actor, change, now=now)
    with site.log_in(server) as opened:
        try:
            get_accessibility(opened.transport, project)
        except NotFoundError:
            return Closed()  # there is nothing to close
        removed = close_project(opened.transport, project, service_login(server, opened))
        if must_go:
            delete_resource(opened.transport, project, label)
    not_opened = []
    for other in others:
        try:
            apply_release(site, other.release_pk, actor)
        except XnatClientError as error:
            not_opened.append(f"{other.family} {other.version}: {error}")
    return Closed(removed, tuple(not_opened))


# The steps of publishing ------------------------------------------------------------------------


def _release(session: Session, release_pk: int) -> Release:
    release = session.get(Release, release_pk)
    if release is None:
        raise NotFoundError(f"The records know no release number {release_pk}.")
    return release


def _others(session: Session, release: Release) -> list[Release]:
    """Return the other versions in the same project that can be read now."""
    found = session.scalars(
        sa.select(Release).where(
            Release.server == release.server,
            Release.project_id == release.project_id,
            Release.release_pk != release.release_pk,
            Release.applied,
        )
    )
    return [one for one in found if one.state in READABLE_STATES]


def _read_folder(site: SharingSite, release_pk: int) -> FolderObservation:
    """Digest the release's files before the records are locked, so that others need not wait."""
    with site.database.transaction() as session:
        folder = release_folder(site.home, _release(session, release_pk))
    return observe(folder)


def _rehearse(
    site: SharingSite, release_pk: int, actor: Actor, seen: FolderObservation
) -> ReleaseState:
    """Return the state that applying leads to now, with every guard asked; keep nothing."""
    try:
        with site.database.transaction() as session:
            release = _release(session, release_pk)
            check_place(session, release)
            _fire(session, site, release, actor, seen)
            state = release.state
            raise _RolledBackError  # noqa: TRY301  # leaving by an error is what rolls it back
    except _RolledBackError:
        return state


def _fire(
    session: Session, site: SharingSite, release: Release, actor: Actor, seen: FolderObservation
) -> None:
    """Let the release be published by the machine; ask all guards of one that is already."""
    now = site.now(session)
    if release.state in _TO_APPLY:
        decisions.fire(session, site.home, actor, release, ReleaseEvent.APPLY, now=now, folder=seen)
        return
    people.require_any_role(session, actor, Role.SERVICE, Role.ADMINISTRATOR, now=now)
    if release.state not in READABLE_STATES:
        raise RefusedByPolicyError(
            f"The release is {release.state.value}; only an approved one is published. Nothing "
            "was changed."
        )
    findings = check_release(session, site.home, release, release.level, now=now, folder=seen)
    objections = tuple(one for one in findings if one.blocks)
    if objections:
        raise RefusedByPolicyError(
            f"The release is not opened again: {objections[0].sentence}", findings=objections
        )


def _warnings_of(site: SharingSite, release_pk: int) -> tuple[str, ...]:
    with site.database.transaction() as session:
        release = _release(session, release_pk)
        return warnings_of_place(session, release, session.get_one(Server, release.server))


def _enter_embargo(
    site: SharingSite, release_pk: int, actor: Actor, seen: FolderObservation
) -> Applied:
    with site.database.transaction() as session:
        release = _release(session, release_pk)
        _fire(session, site, release, actor, seen)
        return Applied(release_pk, release.state, opened=False)


def _begin(site: SharingSite, release_pk: int, actor: Actor) -> _Plan | None:
    """Say in the records that nobody reads the project from now on; None if all is done already."""
    with site.database.transaction() as session:
        release = _release(session, release_pk)
        if release.state in READABLE_STATES and release.applied:
            return None
        server = session.get_one(Server, release.server)
        others = _others(session, release)
        for other in others:
            other.applied = False
        change = Change(
            "release.send",
            "release",
            str(release_pk),
            {"closed_meanwhile": [one.release_pk for one in others]},
            {"project": release.project_id},
        )
        append(session, actor, change, now=site.now(session))
        warnings = warnings_of_place(session, release, server)
        return _Plan(release, server, frozenset(one.release_pk for one in others), warnings)


def _send(site: SharingSite, plan: _Plan, opened: XnatServer) -> int:
    """Make or close the project, and bring its files to exactly those that will be read."""
    transport, project = opened.transport, plan.release.project_id
    login = service_login(plan.server, opened)
    try:
        get_accessibility(transport, project)
    except NotFoundError:
        create_project(transport, project)
    close_project(transport, project, login)
    require_no_objects(transport, project)
    with site.database.transaction() as session:
        stays = [_release(session, pk) for pk in sorted({plan.release.release_pk, *plan.restored})]
        wanted = {
            resource_label(one.version): (
                release_folder(site.home, one),
                wanted_files(session, one),
            )
            for one in stays
        }
    if any(not files for _, files in wanted.values()):
        raise RefusedByPolicyError("The release has no files. Build it again.")
    for label in set(list_labels(transport, project)) - wanted.keys():
        delete_resource(transport, project, label)
    return sum(
        store_release(transport, project, label, folder, files)
        for label, (folder, files) in wanted.items()
    )


def _open(  # noqa: PLR0913, PLR0917  # what, where, by whom, and what was read before
    site: SharingSite,
    plan: _Plan,
    actor: Actor,
    opened: XnatServer,
    sent: int,
    seen: FolderObservation,
) -> Applied:
    """Ask every guard again and let the readers in, in one transaction of the records."""
    transport, login = opened.transport, service_login(plan.server, opened)
    with site.database.transaction() as session:
        now = site.now(session)
        release = _release(session, plan.release.release_pk)
        check_place(session, release)
        _fire(session, site, release, actor, seen)
        release.applied = True
        inside = [release]
        for pk in plan.restored:
            other = _release(session, pk)
            if other.state in READABLE_STATES:
                other.applied = True
                inside.append(other)
        session.flush()
        declared = release_project(
            session, Place(plan.server, login), release.project_id, inside, now
        )
        if release.release_pk in declared.fallen:
            raise RefusedByPolicyError(
                f"The release is not opened: {declared.fallen[release.release_pk]}"
            )
        if declared.contradiction:
            raise RefusedByPolicyError(
                f"Project {release.project_id} stays closed: {declared.contradiction}."
            )
        require_no_objects(transport, release.project_id)
        for label, resource in declared.resources.items():
            found = list_release_files(transport, release.project_id, label)
            if not compare_files(resource.files, found).is_none:
                raise RefusedByPolicyError(
                    f"The files of project {release.project_id} changed while it was closed. It "
                    "stays closed; find out who writes there, then try again."
                )
        unknown = open_project(transport, declared, login).unknown
        change = Change(
            "release.open",
            "release",
            str(release.release_pk),
            {},
            {
                "project": release.project_id,
                "accessibility": declared.accessibility.value,
                "readers": len(declared.readers) - len(unknown),
            },
        )
        append(session, actor, change, now=now)
        return Applied(
            release.release_pk,
            release.state,
            opened=True,
            files_sent=sent,
            readers=len(declared.readers) - len(unknown),
            accessibility=declared.accessibility,
            unknown_accounts=len(unknown) + declared.without_account,
            warnings=plan.warnings,
        )


def _look_again(site: SharingSite, plan: _Plan, opened: XnatServer) -> None:
    """Close at once what was withdrawn or suspended between the guards and now."""
    with site.database.transaction() as session:
        release = _release(session, plan.release.release_pk)
        still = release.applied and release.state in READABLE_STATES
    if not still:
        login = service_login(plan.server, opened)
        close_project(opened.transport, plan.release.project_id, login)
        raise RefusedByPolicyError(
            f"The release became {release.state.value} while it was published; its project was "
            "closed again."
        )
