"""Dated statements of named persons, where no machine can decide.

A statement is revoked, never changed. Not here: which level needs which (``levels``), approvals.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import NotFoundError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Release, Statement
from xnat_client.sharing.levels import PREREQUISITES
from xnat_client.sharing.records import people, studies
from xnat_client.sharing.records.rights import Rights
from xnat_client.sharing.vocabulary import Role

WHO_STATES: dict[str, frozenset[Role]] = {
    "rights": frozenset({Role.LEAD}),
    "faces": frozenset({Role.STEWARD}),
    "terms": frozenset({Role.LEAD, Role.STEWARD}),
    "dpia": frozenset({Role.OFFICER}),
    "embargo": frozenset({Role.LEAD, Role.STEWARD, Role.OFFICER}),
    "risk": frozenset({Role.OFFICER}),
}
"""Prerequisites that can be stated, by key, and by whom: the lead answers for the rights, the
steward that doubtful faces were looked at, the officer for data protection; an approver waives an
embargo."""

_NUMBERS = {one.key: one.number for one in PREREQUISITES}
_SHORTEST = 10


def state(  # noqa: PLR0913  # who states what of which study or release
    session: Session,
    actor: Actor,
    study_pk: int,
    prerequisite: str,
    text: str,
    *,
    now: datetime,
    release_pk: int | None = None,
) -> Statement:
    """Record a statement.

    Parameters
    ----------
    prerequisite : str
        Its key, one of ``WHO_STATES``.
    text : str
        What the person states, in their words; of the rights, ``Rights.text``.
    release_pk : int or None
        The release that it is about; None for all releases of the study.

    Raises
    ------
    UsageError
        The prerequisite is not stated but checked, the text says nothing, or the release is
        another study's.
    """
    if prerequisite not in WHO_STATES:
        raise UsageError(
            f"{prerequisite!r} is not stated by a person; that can be said of "
            f"{', '.join(sorted(WHO_STATES))}."
        )
    if len(text.strip()) < _SHORTEST:
        raise UsageError("A statement needs a sentence that others can understand later.")
    if prerequisite == "rights" and Rights.read(text) is None:
        raise UsageError(
            "The rights are stated in three answers, each a sentence: on intellectual property, on "
            "third-party data, on export control."
        )
    study = studies.study_by_number(session, study_pk)
    allowed = WHO_STATES[prerequisite]
    people.require_any_role(session, actor, *allowed, now=now, study_pk=study_pk)
    if release_pk is not None:
        release = session.get(Release, release_pk)
        if release is None or release.study_pk != study_pk:
            raise UsageError(f"Study {study.project_id} has no release {release_pk}.")
    row = Statement(
        study_pk=study_pk,
        release_pk=release_pk,
        prerequisite=_NUMBERS[prerequisite],
        person_id=actor.person_id,
        role=actor.role,
        text=text.strip(),
        made_at=now,
    )
    session.add(row)
    session.flush()
    after = {"study": study_pk, "release": release_pk, "prerequisite": prerequisite}
    change = chain.Change("statement.make", "statement", str(row.statement_pk), {}, after)
    chain.append(session, actor, change, now=now)
    return row


def revoke(session: Session, actor: Actor, statement_pk: int, *, now: datetime) -> None:
    """Take a statement back; who made it, the lead or the officer may.

    Raises
    ------
    NotFoundError
        There is no such statement.
    """
    row = session.get(Statement, statement_pk)
    if row is None:
        raise NotFoundError(f"The records have no statement {statement_pk}.")
    if row.person_id == actor.person_id:
        people.require_role(session, actor, row.study_pk, now)
    else:
        allowed = (Role.LEAD, Role.OFFICER)
        people.require_any_role(session, actor, *allowed, now=now, study_pk=row.study_pk)
    if row.revoked_at is not None:
        return
    row.revoked_at = now
    session.flush()
    change = chain.Change("statement.revoke", "statement", str(statement_pk), {}, {})
    chain.append(session, actor, change, now=now)


def in_force(
    session: Session, study_pk: int, prerequisite: str, release_pk: int | None = None
) -> list[Statement]:
    """Return the statements on a prerequisite that were not revoked, newest first.

    Those on the whole study are among them, and those on the release that is named.
    """
    query = (
        sa.select(Statement)
        .where(
            Statement.study_pk == study_pk,
            Statement.prerequisite == _NUMBERS[prerequisite],
            Statement.revoked_at.is_(None),
        )
        .order_by(Statement.statement_pk.desc())
    )
    return [one for one in session.scalars(query) if one.release_pk in {None, release_pk}]


def all_of(session: Session, study_pk: int) -> list[Statement]:
    """Return all statements on a study, revoked ones among them."""
    query = sa.select(Statement).where(Statement.study_pk == study_pk)
    return list(session.scalars(query.order_by(Statement.statement_pk)))
