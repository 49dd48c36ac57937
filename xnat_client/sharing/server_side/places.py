"""Where a release may be published: on which side of the wall, and never in a source project.

Not here: publishing (``publish``).
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing.database.tables import Release, Server, Study
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.server_side.declared import is_single_server
from xnat_client.sharing.vocabulary import READABLE_STATES, Level, ServerSide


def check_place(session: Session, release: Release) -> None:
    """Refuse a release whose project is a source, or that stands on the wrong side."""
    clash = session.scalar(
        sa.select(Study.study_pk).where(
            Study.server == release.server,
            sa.func.lower(Study.project_id) == release.project_id.lower(),
        )
    )
    if clash is not None:
        raise RefusedByPolicyError(
            f"Project {release.project_id} is a source project; it is never opened. Build the "
            "release for a project of its own."
        )
    levels = set(
        session.scalars(
            sa.select(Release.level).where(
                Release.server == release.server,
                Release.project_id == release.project_id,
                Release.state.in_(READABLE_STATES),
            )
        )
    )
    if levels - {release.level}:
        raise RefusedByPolicyError(
            f"Project {release.project_id} holds releases of another level. Build this one for a "
            "project of its own."
        )
    server = session.get_one(Server, release.server)
    outsiders = release.level >= Level.EXTERNAL
    if outsiders and server.side is ServerSide.INSIDE and not is_single_server(session):
        raise RefusedByPolicyError(
            f"Server {server.alias} is an inside server; a release for outsiders belongs on the "
            "outside one."
        )


def warnings_of_place(session: Session, release: Release, server: Server) -> tuple[str, ...]:
    """Say what is right but not good about where a release stands."""
    if release.level < Level.EXTERNAL or server.side is ServerSide.OUTSIDE:
        return ()
    if not is_single_server(session):
        return ()
    readers = (
        "every account of the site reads it, and everybody if log-in is not required"
        if release.level is Level.OPEN
        else "outsiders get accounts beside the source projects"
    )
    return (
        f"One server is both inside and outside: {readers}. A second server is the right shape.",
    )
