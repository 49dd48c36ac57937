"""Letting readers in, some at a time, with the records locked and everything asked again each time.

Not here: who they are (``declared``), publishing (``publish``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from xnat_client.errors import RefusedError
from xnat_client.sharing.database.tables import Release, Server
from xnat_client.sharing.server_side.closing import open_project
from xnat_client.sharing.server_side.content import compare_files, list_release_files
from xnat_client.sharing.server_side.declared import DeclaredProject, Place, release_project
from xnat_client.sharing.server_side.site import SharingSite, service_login

if TYPE_CHECKING:
    from xnat_client.session import XnatServer
    from xnat_client.transport import Transport


def let_in(site: SharingSite, server: Server, opened: XnatServer, project_id: str) -> None:
    """Bring the readers of a release project to those declared at this moment.

    Raises
    ------
    RefusedError
        The project holds what was not approved, or does not take the readers.
    """
    login, left, before = service_login(server, opened), True, None
    while left:
        with site.database.transaction() as session:
            inside = session.scalars(
                sa.select(Release).where(
                    Release.server == server.alias, Release.project_id == project_id
                )
            ).all()
            now = site.now(session)
            declared = release_project(session, Place(server, login), project_id, inside, now)
            if not declared.is_open:
                return  # what was declared a moment ago is declared no longer
            if before is None:
                _require_approved_content(opened.transport, declared)
            waiting = open_project(opened.transport, declared, login).left
        if before is not None and waiting >= before:
            raise RefusedError(f"Project {project_id} does not take its readers; look at it.")
        left, before = waiting > 0, waiting


def _require_approved_content(transport: Transport, declared: DeclaredProject) -> None:
    for label, resource in declared.resources.items():
        files = list_release_files(transport, declared.project_id, label)
        clean = resource.is_open and not compare_files(resource.files, files).is_harmful
        if files and not clean:
            raise RefusedError(
                f"Project {declared.project_id} is not opened to more readers: what it holds is "
                "not what was approved."
            )
