"""Participants of a study: a number for everything that is printed, a secret label for finding.

The number stands in outputs, audit log and errors; the label of the source project stands in this
table and in the encrypted link table only. Not here: consent (``consent``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import NotFoundError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Participant
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Role

_LONGEST_LABEL = 120


def add_all(
    session: Session,
    actor: Actor,
    study_pk: int,
    subjects: Mapping[str, str],
    *,
    now: datetime,
) -> dict[str, int]:
    """Put participants on record who are not there yet.

    Parameters
    ----------
    subjects : mapping of str to str
        Source label to XNAT's own identifier of the subject; the latter may be empty, and an
        empty one on record is filled in.

    Returns
    -------
    dict of str to int
        Numbers of all the participants named, by label.
    """
    allowed = (Role.STUDY_TEAM, Role.LEAD, Role.CUSTODIAN, Role.ADMINISTRATOR, Role.SERVICE)
    people.require_any_role(session, actor, *allowed, now=now, study_pk=study_pk)
    known = by_label(session, study_pk)
    folded = {label.casefold() for label in known}
    added: list[Participant] = []
    for label, xnat_id in subjects.items():
        if label in known:
            row = known[label]
            row.xnat_subject_id = row.xnat_subject_id or xnat_id
            continue
        if not label.strip() or len(label) > _LONGEST_LABEL or not label.isprintable():
            raise UsageError(
                "A participant's label is empty, longer than 120 characters, or holds signs that "
                "cannot be printed. Use the subject's label in XNAT."
            )
        if label.casefold() in folded:
            raise UsageError(
                "A participant's label differs from that of another one in capitals only; two "
                "histories of one person cannot be told apart. Use the label on record."
            )
        folded.add(label.casefold())
        known[label] = Participant(study_pk=study_pk, source_label=label, xnat_subject_id=xnat_id)
        added.append(known[label])
    session.add_all(added)
    session.flush()
    if added:
        numbers = [row.participant_pk for row in added]
        after = {"count": len(numbers), "first": min(numbers), "last": max(numbers)}
        change = chain.Change("participants.add", "study", str(study_pk), {}, after)
        chain.append(session, actor, change, now=now)
    return {label: known[label].participant_pk for label in subjects}


def by_label(session: Session, study_pk: int) -> dict[str, Participant]:
    """Return the participants of a study by source label."""
    query = sa.select(Participant).where(Participant.study_pk == study_pk)
    return {row.source_label: row for row in session.scalars(query)}


def participant_of(session: Session, study_pk: int, label: str) -> Participant:
    """Return the participant with a source label.

    Raises
    ------
    NotFoundError
        The study has none; the text does not repeat the label.
    """
    query = sa.select(Participant).where(
        Participant.study_pk == study_pk, Participant.source_label == label
    )
    row = session.scalars(query).first()
    if row is None:
        raise NotFoundError(
            f"Study {study_pk} has no participant with that label. "
            "Look at the spelling, or import the participants' consent first."
        )
    return row


def numbers_of(session: Session, study_pk: int, labels: Iterable[str]) -> dict[str, int | None]:
    """Return the number of each label, None for a label that is not on record."""
    known = by_label(session, study_pk)
    return {label: known[label].participant_pk if label in known else None for label in labels}
