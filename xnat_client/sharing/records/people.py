"""People by directory identity, and the roles they have for a study or for the site.

One person may have several roles; which of them act together is checked where they act. The lead
of a study stands in the study's own record; members of the centre are those whom the directory
names. Not here: the directory (``directory``), approvals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import ConflictError, NotAllowedError, NotFoundError, UsageError
from xnat_client.sharing.actors import SERVICE_ID, Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Account, Person, RoleAssignment, Server, Study
from xnat_client.sharing.vocabulary import Role

SITE_ROLES = frozenset({Role.OFFICER, Role.ADMINISTRATOR, Role.EXTERNAL})
"""Roles that are had for the whole site only."""

STUDY_ROLES = frozenset({Role.STUDY_TEAM})
"""Roles that are had for one study only."""

EITHER_ROLES = frozenset({Role.STEWARD, Role.CUSTODIAN})
"""Roles that are had for one study, or for all."""

_NOT_GIVEN = {
    Role.LEAD: "The lead stands in the study's record; name another with 'winxnat share study'.",
    Role.MEMBER: "Members are those whom the centre's directory names; synchronise with it.",
    Role.SERVICE: "The service is no person; its account is named with the server.",
}

_GIVERS: dict[Role, frozenset[Role]] = {
    Role.STUDY_TEAM: frozenset({Role.LEAD, Role.ADMINISTRATOR}),
    Role.EXTERNAL: frozenset({Role.ADMINISTRATOR, Role.STEWARD, Role.OFFICER}),
}
"""Who gives a role; the others are given by the officer alone, so that no administrator can make
the approvers of a release."""

_APART = frozenset({Role.STEWARD, Role.OFFICER})
"""Roles that approve, and that no administrator has: who runs the site does not decide."""


@dataclass(frozen=True)
class NewPerson:
    """A person to be added.

    Attributes
    ----------
    person_id : str
        Directory identity, or another that stays with the person for life.
    name, email, institution, orcid : str
        For agreements, notices and receipts; ``email`` is where notices go.
    """

    person_id: str
    name: str
    email: str = ""
    institution: str = ""
    orcid: str = ""


def add_person(session: Session, actor: Actor, person: NewPerson, *, now: datetime) -> Person:
    """Add a person without any role.

    Raises
    ------
    ConflictError
        The identity is taken.
    UsageError
        The identity or the name is empty, or the ORCID iD's check digit is wrong.
    """
    require_any_role(session, actor, Role.ADMINISTRATOR, Role.OFFICER, Role.STEWARD, now=now)
    return insert_person(session, actor, person, now=now)


def insert_person(session: Session, actor: Actor, person: NewPerson, *, now: datetime) -> Person:
    """Add a person; the caller has checked that the actor may."""
    if not person.person_id.strip() or not person.name.strip():
        raise UsageError("A person needs an identity and a name; give both.")
    if person.orcid and not is_orcid(person.orcid):
        raise UsageError(
            f"The ORCID iD of person {person.person_id} has a wrong form or check digit. "
            "Copy it again, like 0000-0002-1825-0097."
        )
    if session.get(Person, person.person_id) is not None:
        raise ConflictError(
            f"There is a person {person.person_id} already; change that record instead."
        )
    row = Person(
        person_id=person.person_id,
        name=person.name.strip(),
        email=person.email.strip(),
        institution=person.institution.strip(),
        orcid=person.orcid,
    )
    session.add(row)
    session.flush()
    change = chain.Change("person.add", "person", row.person_id, {}, {"active": True})
    chain.append(session, actor, change, now=now)
    return row


def is_orcid(text: str) -> bool:
    """Tell whether a text is an ORCID iD with a right check digit (ISO 7064, MOD 11-2)."""
    digits = text.replace("-", "")
    if len(text) != 19 or text[4::5] != "---" or len(digits) != 16:  # noqa: PLR2004  # the fixed form
        return False
    if not (digits[:15].isascii() and digits[:15].isdigit()):
        return False
    total = 0
    for digit in digits[:15]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return digits[15] == ("X" if check == 10 else str(check))  # noqa: PLR2004  # ten is written X


def person_of(session: Session, person_id: str) -> Person:
    """Return a person's record.

    Raises
    ------
    NotFoundError
        The records know no such person.
    """
    row = session.get(Person, person_id)
    if row is None:
        raise NotFoundError(
            f"The records know no person {person_id}; add the person first "
            "(winxnat share person add)."
        )
    return row


def set_active(
    session: Session, actor: Actor, person_id: str, *, active: bool, now: datetime
) -> bool:
    """End or restore a person's standing, and return whether that was not so before.

    Who is not active has no role and no access.
    """
    allowed = {Role.ADMINISTRATOR, Role.OFFICER} | (set() if active else {Role.STEWARD})
    require_any_role(session, actor, *allowed, now=now)
    row = person_of(session, person_id)
    if row.active == active:
        return False
    row.active = active
    session.flush()
    change = chain.Change(
        "person.active", "person", person_id, {"active": not active}, {"active": active}
    )
    chain.append(session, actor, change, now=now)
    return True


def give_role(  # noqa: PLR0913  # who gives what to whom, for what, and when
    session: Session,
    actor: Actor,
    person_id: str,
    role: Role,
    study_pk: int | None,
    *,
    now: datetime,
    until: datetime | None = None,
) -> RoleAssignment:
    """Give a role to a person.

    Parameters
    ----------
    study_pk : int or None
        The study; None for the whole site.
    until : datetime or None
        When it ends by itself.

    Raises
    ------
    NotAllowedError
        The actor may not give it, or gives it to themself, or the person would both run the
        site and approve.
    UsageError
        The role is not had that way.
    """
    _check_scope(role, study_pk)
    if until is not None and until <= now:
        raise UsageError("A role cannot end before it begins; give a later date.")
    givers = _GIVERS.get(role, frozenset({Role.OFFICER}))
    require_any_role(session, actor, *givers, study_pk=study_pk, now=now)
    if actor.person_id == person_id:
        raise NotAllowedError("Nobody gives a role to themself; ask another of those who may.")
    return insert_role(session, actor, person_id, role, study_pk, now=now, until=until)


def insert_role(  # noqa: PLR0913  # as give_role
    session: Session,
    actor: Actor,
    person_id: str,
    role: Role,
    study_pk: int | None,
    *,
    now: datetime,
    until: datetime | None = None,
) -> RoleAssignment:
    """Give a role; the caller has checked that the actor may."""
    person_of(session, person_id)
    has = roles_of(session, person_id, None, now, everywhere=True)
    if (role in _APART and Role.ADMINISTRATOR in has) or (
        role is Role.ADMINISTRATOR and has & _APART
    ):
        raise NotAllowedError(
            f"Person {person_id} cannot both run the site and approve releases. "
            "Give one of the roles to somebody else."
        )
    row = RoleAssignment(person_id=person_id, role=role, study_pk=study_pk, since=now, until=until)
    session.add(row)
    session.flush()
    after = {
        "role": role.value,
        "study": study_pk,
        "until": until.isoformat() if until else None,
    }
    chain.append(session, actor, chain.Change("role.give", "person", person_id, {}, after), now=now)
    return row


def end_role(  # noqa: PLR0913  # as give_role
    session: Session,
    actor: Actor,
    person_id: str,
    role: Role,
    study_pk: int | None,
    *,
    now: datetime,
) -> int:
    """End a person's role at once and return how many assignments ended.

    Raises
    ------
    NotFoundError
        The person does not have that role.
    NotAllowedError
        The actor may not end it, or it is the last officer's.
    """
    _check_scope(role, study_pk)
    givers = _GIVERS.get(role, frozenset({Role.OFFICER}))
    if actor.person_id != person_id:
        require_any_role(session, actor, *givers, study_pk=study_pk, now=now)
    running = [
        one
        for one in session.scalars(
            sa.select(RoleAssignment).where(
                RoleAssignment.person_id == person_id, RoleAssignment.role == role
            )
        )
        if one.study_pk == study_pk and _runs(one, now)
    ]
    if not running:
        raise NotFoundError(f"Person {person_id} does not have the role {role.value} there.")
    if role is Role.OFFICER and persons_with(session, role, None, now) == {person_id}:
        raise NotAllowedError(
            "This is the site's only officer, and nobody could name another. "
            "Give the role to the next one first."
        )
    for one in running:
        one.until = now
    session.flush()
    before = {"role": role.value, "study": study_pk}
    change = chain.Change("role.end", "person", person_id, before, {})
    chain.append(session, actor, change, now=now)
    return len(running)


def _check_scope(role: Role, study_pk: int | None) -> None:
    if role in _NOT_GIVEN:
        raise UsageError(_NOT_GIVEN[role])
    if study_pk is None and role in STUDY_ROLES:
        raise UsageError(f"The role {role.value} is had for one study; name it.")
    if study_pk is not None and role in SITE_ROLES:
        raise UsageError(f"The role {role.value} is had for the whole site; name no study.")


def _runs(assignment: RoleAssignment, now: datetime) -> bool:
    return assignment.since <= now and (assignment.until is None or now < assignment.until)


def roles_of(
    session: Session,
    person_id: str,
    study_pk: int | None,
    now: datetime,
    *,
    everywhere: bool = False,
) -> set[Role]:
    """Return the roles that a person has for a study, those for the whole site included.

    Parameters
    ----------
    study_pk : int or None
        The study; None asks for the roles for the whole site only.
    everywhere : bool
        Whether the roles for any study are asked for instead.
    """
    person = session.get(Person, person_id)
    if person_id == SERVICE_ID:
        return {Role.SERVICE}
    if person is None or not person.active:
        return set()
    assignments = session.scalars(
        sa.select(RoleAssignment).where(RoleAssignment.person_id == person_id)
    )
    found = {
        one.role
        for one in assignments
        if _runs(one, now) and (everywhere or one.study_pk in {None, study_pk})
    }
    if person.from_directory:
        found.add(Role.MEMBER)
    led = sa.select(Study.study_pk).where(Study.lead_id == person_id)
    if set(session.scalars(led)) & ({study_pk} if not everywhere else _all_studies(session)):
        found |= {Role.LEAD, Role.STUDY_TEAM}
    return found


def _all_studies(session: Session) -> set[int]:
    return set(session.scalars(sa.select(Study.study_pk)))


def persons_with(session: Session, role: Role, study_pk: int | None, now: datetime) -> set[str]:
    """Return who has a role for a study, or (``study_pk`` None) for the whole site.

    The service is no person and never among them.
    """
    candidates = set(
        session.scalars(
            sa.select(RoleAssignment.person_id).where(RoleAssignment.role == role).distinct()
        )
    )
    if role is Role.MEMBER:
        candidates |= set(
            session.scalars(sa.select(Person.person_id).where(Person.from_directory.is_(True)))
        )
    if role in {Role.LEAD, Role.STUDY_TEAM} and study_pk is not None:
        study = session.get(Study, study_pk)
        candidates |= {study.lead_id} if study else set()
    candidates.discard(SERVICE_ID)
    return {one for one in candidates if role in roles_of(session, one, study_pk, now)}


def require_role(session: Session, actor: Actor, study_pk: int | None, now: datetime) -> None:
    """Refuse an actor who does not have the role in which they act.

    Parameters
    ----------
    study_pk : int or None
        The study that the action is about; None for actions on the site.

    Raises
    ------
    NotAllowedError
        The person is unknown, not active, or does not have the role there now.
    """
    if actor.role in roles_of(session, actor.person_id, study_pk, now):
        return
    # The study's number, never its project: this may be read by people of no study.
    where = "for the site" if study_pk is None else f"for study {study_pk}"
    raise NotAllowedError(
        f"Person {actor.person_id} does not have the role {actor.role.value} {where}. "
        "Act in a role you have, or have it given (winxnat share person give): study-team by the "
        "lead or the administrator, the roles of those who decide by the officer."
    )


def require_any_role(
    session: Session, actor: Actor, *allowed: Role, now: datetime, study_pk: int | None = None
) -> None:
    """Refuse an actor whose acting role is not among those allowed, or who does not have it.

    Raises
    ------
    NotAllowedError
        As ``require_role``, or the role is none of the allowed ones.
    """
    if actor.role not in allowed:
        names = ", ".join(sorted(role.value for role in allowed))
        raise NotAllowedError(
            f"The role {actor.role.value} may not do this; it takes one of: {names}."
        )
    require_role(session, actor, study_pk, now)


def set_account(  # noqa: PLR0913  # whose name on which server
    session: Session, actor: Actor, person_id: str, server: str, username: str, *, now: datetime
) -> bool:
    """Record a person's user name on a server; the one they had there before is forgotten.

    Returns
    -------
    bool
        Whether that was not on record before.

    Raises
    ------
    ConflictError
        The user name is another person's there.
    NotFoundError
        The records know no such person or server.
    """
    require_any_role(session, actor, Role.ADMINISTRATOR, Role.SERVICE, now=now)
    person_of(session, person_id)
    if session.get(Server, server) is None:
        raise NotFoundError(f"The records know no server {server}; add it first.")
    taken = session.get(Account, (server, username))
    if taken is not None:
        if taken.person_id != person_id:
            raise ConflictError(
                f"That user name on server {server} belongs to person {taken.person_id}. "
                "An account belongs to one person; correct the record that is wrong."
            )
        return False
    former = sa.select(Account).where(Account.server == server, Account.person_id == person_id)
    for one in session.scalars(former):
        session.delete(one)
    session.add(Account(server=server, username=username, person_id=person_id))
    session.flush()
    change = chain.Change("person.account", "person", person_id, {}, {"server": server})
    chain.append(session, actor, change, now=now)
    return True
