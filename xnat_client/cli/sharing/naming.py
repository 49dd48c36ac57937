"""Releases and grants by the names that people type.

Not here: any subcommand.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import NotFoundError, UsageError
from xnat_client.sharing.database.tables import Grant, Release


def release_named(session: Session, name: str) -> Release:
    """Return the release ``FAMILY/VERSION``.

    Raises
    ------
    UsageError
        The name is not of this form.
    NotFoundError
        There is no such release.
    """
    family, slash, version = name.partition("/")
    if not (family and slash and version):
        raise UsageError("A release is named FAMILY/VERSION, such as heads/1.0.0.")
    return release_of(session, family, version)


def release_of(session: Session, family: str, version: str) -> Release:
    """Return a version of a family.

    Raises
    ------
    NotFoundError
        There is no such release.
    """
    found = session.scalars(
        sa.select(Release).where(Release.family == family, Release.version == version)
    ).first()
    if found is None:
        raise NotFoundError(
            f"The records know no release {family} {version}; 'winxnat release list' names them."
        )
    return found


def grant_numbered(session: Session, number: int) -> Grant:
    """Return a grant by its number.

    Raises
    ------
    NotFoundError
        There is no such grant.
    """
    found = session.get(Grant, number)
    if found is None:
        raise NotFoundError(
            f"The records know no grant {number}; 'winxnat share grant list' shows them."
        )
    return found
