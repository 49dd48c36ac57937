"""Undoing differences: closing at once and read back, opening last and asked again.

Not here: which difference needs what (``compare``).
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from xnat_client.projects import Accessibility
from xnat_client.sharing import decisions
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.audit.chain import Change, append
from xnat_client.sharing.database.tables import Release, Server
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.reconcile.drift import (
    CloseVersion,
    Drift,
    EndShare,
    LeaveSiteGroup,
    MakePrivate,
    OpenAgain,
    RemoveMember,
    SetBack,
    SuspendReleases,
)
from xnat_client.sharing.server_side.access import (
    end_sessions,
    leave_site_group,
    remove_member,
    set_accessibility,
    set_site_property,
    unshare,
)
from xnat_client.sharing.server_side.admission import let_in
from xnat_client.sharing.server_side.closing import close_project
from xnat_client.sharing.server_side.publish import close_release
from xnat_client.sharing.server_side.site import SharingSite, service_login

if TYPE_CHECKING:
    from xnat_client.session import XnatServer
    from xnat_client.sharing.reconcile.observe import ObservedProject
    from xnat_client.transport import Transport

_OWNER_ONLY = 0o600


@dataclass(frozen=True)
class Repairer:
    """What repairs on one server need."""

    site: SharingSite
    server: Server
    opened: XnatServer

    @property
    def transport(self) -> Transport:
        """The connection as the service account."""
        return self.opened.transport

    @property
    def login(self) -> str:
        """The service account."""
        return service_login(self.server, self.opened)


def perform(repairer: Repairer, drift: Drift, observed: ObservedProject | None) -> None:
    """Undo one difference, read it back, and write it down.

    Raises
    ------
    XnatClientError
        It could not be undone; it stays and is reported.
    """
    if isinstance(drift.repair, SuspendReleases) and observed is not None:
        _keep_evidence(repairer, drift, observed)
    _do(drift.repair, repairer, drift)
    with repairer.site.database.transaction() as session:
        change = Change(
            "loop.repair",
            "project",
            f"{repairer.server.alias}/{drift.project_id}",
            {"drift": drift.drift.value, "what": drift.what},
            {"repair": type(drift.repair).__name__},
        )
        append(session, _actor(drift), change, now=repairer.site.now(session))


def _actor(drift: Drift) -> Actor:
    return service(f"The loop found: {drift.what}")


@singledispatch
def _do(repair: Any, _repairer: Repairer, _drift: Drift) -> None:
    raise TypeError(f"no way to undo {type(repair).__name__}")


@_do.register
def _(repair: MakePrivate, repairer: Repairer, _drift: Drift) -> None:
    set_accessibility(repairer.transport, repair.project_id, Accessibility.PRIVATE)


@_do.register
def _(repair: RemoveMember, repairer: Repairer, _drift: Drift) -> None:
    remove_member(repairer.transport, repair.project_id, repair.member)
    if repair.member.login != repairer.login:
        end_sessions(repairer.transport, repair.member.login)


@_do.register
def _(repair: LeaveSiteGroup, repairer: Repairer, _drift: Drift) -> None:
    leave_site_group(repairer.transport, repair.member.login, repair.member.group)
    end_sessions(repairer.transport, repair.member.login)


@_do.register
def _(repair: EndShare, repairer: Repairer, _drift: Drift) -> None:
    share = repair.share
    unshare(repairer.transport, share.kind, share.object_id, share.receiver)


@_do.register
def _(repair: SetBack, repairer: Repairer, _drift: Drift) -> None:
    set_site_property(repairer.transport, repair.name, repair.value)


@_do.register
def _(repair: SuspendReleases, repairer: Repairer, drift: Drift) -> None:
    close_project(repairer.transport, repair.project_id, repairer.login)
    site = repairer.site
    with site.database.transaction() as session:
        now = site.now(session)
        for release_pk in repair.release_pks:
            release = session.get_one(Release, release_pk)
            decisions.fire(
                session, site.home, _actor(drift), release, ReleaseEvent.SUSPEND, now=now
            )


@_do.register
def _(repair: CloseVersion, repairer: Repairer, drift: Drift) -> None:
    close_release(repairer.site, repair.release_pk, _actor(drift))


@_do.register
def _(repair: OpenAgain, repairer: Repairer, _drift: Drift) -> None:
    let_in(repairer.site, repairer.server, repairer.opened, repair.project_id)


def _keep_evidence(repairer: Repairer, drift: Drift, observed: ObservedProject) -> None:
    """Write down what a project held when it was found wrong, for the owner of the records only.

    Names of foreign files may identify somebody: they stand here and in no report.
    """
    folder = repairer.site.home.folder / "findings"
    folder.mkdir(mode=0o700, exist_ok=True)
    document = {
        "server": repairer.server.alias,
        "project": drift.project_id,
        "what": drift.what,
        "resources": {
            label: None if files is None else [[one.path, one.size_bytes, one.md5] for one in files]
            for label, files in observed.files.items()
        },
    }
    with repairer.site.database.transaction() as session:
        stamp = repairer.site.now(session).strftime("%Y%m%dT%H%M%S%f")
    path = folder / f"{stamp}-{repairer.server.alias}-{secrets.token_hex(4)}.json"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False)
