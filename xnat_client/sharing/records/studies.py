"""Studies: source projects with their lead, ethics reference, and how long they are kept.

Not here: who else has a role in a study (``people``), its participants (``participants``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.address import check_project_id
from xnat_client.errors import ConflictError, NotAllowedError, NotFoundError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Study
from xnat_client.sharing.records import people, servers
from xnat_client.sharing.vocabulary import DataType, Role


@dataclass(frozen=True)
class StudyFacts:
    """What the record of a study says; empty and None mean: not known yet.

    Attributes
    ----------
    ethics_reference, dpia_reference : str
        Of the approval, and of the data protection impact assessment.
    retention_until : date or None
        Until when the source data are kept.
    data_types : tuple of DataType
        The kinds of data that the study collects.
    """

    ethics_reference: str = ""
    dpia_reference: str = ""
    retention_until: date | None = None
    data_types: tuple[DataType, ...] = ()


def register(  # noqa: PLR0913, PLR0917  # the fields of the record
    session: Session,
    actor: Actor,
    server: str,
    project_id: str,
    lead_id: str,
    facts: StudyFacts,
    *,
    now: datetime,
) -> Study:
    """Put a source project on record.

    Raises
    ------
    NotFoundError
        The records know no such server or lead.
    ConflictError
        The project is on record already.
    UsageError
        The project's name cannot be one of XNAT's.
    """
    people.require_any_role(session, actor, Role.ADMINISTRATOR, Role.OFFICER, now=now)
    check_project_id(project_id)
    servers.server_of(session, server)
    lead = people.person_of(session, lead_id)
    if not lead.active:
        raise UsageError(f"Person {lead_id} is not active and cannot lead a study; name another.")
    # XNAT takes no two projects whose names differ in capitals only.
    taken = sa.select(Study).where(
        Study.server == server, sa.func.lower(Study.project_id) == project_id.lower()
    )
    if session.scalars(taken).first() is not None:
        raise ConflictError(f"Project {project_id} of server {server} is a study already.")
    row = Study(
        server=server,
        project_id=project_id,
        lead_id=lead_id,
        created_at=now,
        **_columns(facts),
    )
    session.add(row)
    session.flush()
    change = chain.Change("study.register", "study", _name(row), {}, _said(row))
    chain.append(session, actor, change, now=now)
    return row


def update(
    session: Session, actor: Actor, study_pk: int, facts: StudyFacts, *, now: datetime
) -> bool:
    """Write what is known now into a study's record; what ``facts`` leaves empty stays.

    Returns
    -------
    bool
        Whether the record says anything else now.

    Raises
    ------
    NotFoundError
        There is no such study.
    """
    row = study_by_number(session, study_pk)
    allowed = (Role.LEAD, Role.ADMINISTRATOR, Role.OFFICER)
    people.require_any_role(session, actor, *allowed, now=now, study_pk=study_pk)
    before = _said(row)
    for name, value in _columns(facts).items():
        if value:
            setattr(row, name, value)
    session.flush()
    if _said(row) == before:
        return False
    change = chain.Change("study.update", "study", _name(row), before, _said(row))
    chain.append(session, actor, change, now=now)
    return True


def set_lead(session: Session, actor: Actor, study_pk: int, lead_id: str, *, now: datetime) -> bool:
    """Hand a study to another lead; the officer decides it.

    Returns
    -------
    bool
        Whether the lead is another one now.

    Raises
    ------
    NotAllowedError
        The officer names themself.
    """
    row = study_by_number(session, study_pk)
    people.require_any_role(session, actor, Role.OFFICER, now=now)
    lead = people.person_of(session, lead_id)
    if actor.person_id == lead_id:
        raise NotAllowedError("Nobody makes themself the lead of a study; ask another officer.")
    if not lead.active:
        raise UsageError(f"Person {lead_id} is not active and cannot lead a study; name another.")
    if row.lead_id == lead_id:
        return False
    before, row.lead_id = row.lead_id, lead_id
    session.flush()
    change = chain.Change("study.lead", "study", _name(row), {"lead": before}, {"lead": lead_id})
    chain.append(session, actor, change, now=now)
    return True


def study_by_number(session: Session, study_pk: int) -> Study:
    """Return a study by its number.

    Raises
    ------
    NotFoundError
        There is none.
    """
    row = session.get(Study, study_pk)
    if row is None:
        raise NotFoundError(f"The records know no study {study_pk}.")
    return row


def study_of(session: Session, project_id: str, server: str | None = None) -> Study:
    """Return the study of a source project.

    Parameters
    ----------
    server : str or None
        Its server; may be left out where one server only has such a study.

    Raises
    ------
    NotFoundError
        No study has that project.
    UsageError
        Several servers have one.
    """
    query = sa.select(Study).where(sa.func.lower(Study.project_id) == project_id.lower())
    found = [
        row
        for row in session.scalars(query.order_by(Study.server))
        if server is None or row.server == server
    ]
    if not found:
        raise NotFoundError(
            f"The records know no study of project {project_id}. "
            "Register it first (winxnat share study add)."
        )
    if len(found) > 1:
        raise UsageError(
            f"Project {project_id} is a study on several servers "
            f"({', '.join(row.server for row in found)}). Name the one you mean."
        )
    return found[0]


def all_studies(session: Session) -> list[Study]:
    """Return all studies, by server and project."""
    return list(session.scalars(sa.select(Study).order_by(Study.server, Study.project_id)))


def _columns(facts: StudyFacts) -> dict[str, Any]:
    return {
        "ethics_reference": facts.ethics_reference.strip(),
        "dpia_reference": facts.dpia_reference.strip(),
        "retention_until": facts.retention_until,
        "data_types": _words(facts.data_types),
    }


def _words(kinds: Iterable[DataType]) -> list[str]:
    return sorted({kind.value for kind in kinds})


def _name(row: Study) -> str:
    return f"{row.server}/{row.project_id}"


def _said(row: Study) -> dict[str, Any]:
    return {
        "lead": row.lead_id,
        "ethics_reference": row.ethics_reference,
        "dpia_reference": row.dpia_reference,
        "retention_until": row.retention_until.isoformat() if row.retention_until else None,
        "data_types": list(row.data_types),
    }
