"""What the prerequisites are asked about: everything on one study or release, read in bulk.

Nothing is judged here, and no query is made per participant or file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing import evidence
from xnat_client.sharing.check import freshness
from xnat_client.sharing.check.folder import FolderObservation
from xnat_client.sharing.check.freshness import Freshness
from xnat_client.sharing.database.tables import (
    Evidence,
    Release,
    ReleaseParticipant,
    Statement,
    Study,
)
from xnat_client.sharing.evidence import CheckId
from xnat_client.sharing.home import Home
from xnat_client.sharing.records import consent, old_checks
from xnat_client.sharing.records.consent import Effective
from xnat_client.sharing.vocabulary import Level


@dataclass(frozen=True)
class Facts:
    """Everything that the prerequisites ask about.

    Attributes
    ----------
    level : Level
        The level that is asked about.
    release : Release or None
        None before anything was built.
    participants : mapping of int to tuple of str
        Number to the kinds of data, of all who are (or would be) in the release.
    consents : mapping of int to Effective
        Of the whole study.
    evidence : mapping of CheckId to Evidence
        The newest of each check.
    freshness : Freshness or None
        What the evidence rests on now; None before anything was built.
    statements : tuple of Statement
        Of the study or the release, not revoked, oldest first.
    """

    session: Session
    home: Home
    study: Study
    release: Release | None
    level: Level
    now: datetime
    participants: Mapping[int, tuple[str, ...]]
    consents: Mapping[int, Effective]
    evidence: Mapping[CheckId, Evidence]
    freshness: Freshness | None
    statements: tuple[Statement, ...]


def of_release(  # noqa: PLR0913  # which release, where, for whom, when
    session: Session,
    home: Home,
    release: Release,
    level: Level,
    *,
    now: datetime,
    folder: FolderObservation | None = None,
) -> Facts:
    """Read everything on a release."""
    rows = session.execute(
        sa.select(ReleaseParticipant.participant_pk, ReleaseParticipant.data_types).where(
            ReleaseParticipant.release_pk == release.release_pk
        )
    )
    return Facts(
        session,
        home,
        session.get_one(Study, release.study_pk),
        release,
        level,
        now,
        {number: tuple(kinds) for number, kinds in rows},
        consent.effective_for_study(session, release.study_pk),
        evidence.newest(session, release.release_pk),
        replace(
            freshness.look(session, home, release, folder),
            accepted=old_checks.counting(session, release, freshness.version_now(), now)
            is not None,
        ),
        _statements(session, release.study_pk, release.release_pk),
    )


def of_project(session: Session, home: Home, study: Study, level: Level, *, now: datetime) -> Facts:
    """Read everything on a study of which nothing was built: all its participants count."""
    consents = consent.effective_for_study(session, study.study_pk)
    kinds = tuple(study.data_types)
    return Facts(
        session,
        home,
        study,
        None,
        level,
        now,
        dict.fromkeys(consents, kinds),
        consents,
        {},
        None,
        _statements(session, study.study_pk, None),
    )


def _statements(session: Session, study_pk: int, release_pk: int | None) -> tuple[Statement, ...]:
    rows = session.scalars(
        sa.select(Statement)
        .where(
            Statement.study_pk == study_pk,
            sa.or_(Statement.release_pk.is_(None), Statement.release_pk == release_pk),
            Statement.revoked_at.is_(None),
        )
        .order_by(Statement.statement_pk)
    )
    return tuple(rows)
