"""Making the records of a site, and opening them so that every known withdrawal is obeyed.

Not here: the tables and their migrations (``database``), the list of withdrawals (``tombstones``).
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import ConflictError, UsageError
from xnat_client.sharing import clock, link_table, tombstones, withdrawal
from xnat_client.sharing.actors import SERVICE_ID, Actor
from xnat_client.sharing.database.migrating import open_current
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Person
from xnat_client.sharing.home import Home
from xnat_client.sharing.records import people
from xnat_client.sharing.records.people import NewPerson
from xnat_client.sharing.tombstones import Kept
from xnat_client.sharing.vocabulary import Role


def make_records(home: Home, administrator: NewPerson, officer: NewPerson) -> Database:
    """Make the records of a site with its first two people, and open them.

    Two, because whoever runs the site does not decide, and everybody else gets a role from one
    of them.

    Raises
    ------
    ConflictError
        There are records already.
    UsageError
        Both are the same person.
    """
    if administrator.person_id == officer.person_id:
        raise UsageError(
            "The administrator and the officer must be two people: who runs the site does not "
            "approve releases. Name another one."
        )
    database = open_current(home.database_url)
    try:
        _add_first_people(database, administrator, officer)
    except BaseException:
        database.close()
        raise
    return database


def _add_first_people(database: Database, administrator: NewPerson, officer: NewPerson) -> None:
    with database.transaction() as session:
        if session.scalars(sa.select(Person.person_id).limit(1)).first() is not None:
            raise ConflictError("There are sharing records at this place already.")
        now = clock.now(session)
        actor = Actor(administrator.person_id, Role.ADMINISTRATOR, "the records were made", "cli")
        service = NewPerson(SERVICE_ID, "Release service")
        for person in (service, administrator, officer):
            people.insert_person(session, actor, person, now=now)
        for person, role in ((administrator, Role.ADMINISTRATOR), (officer, Role.OFFICER)):
            people.insert_role(session, actor, person.person_id, role, None, now=now)


def open_obeying(home: Home) -> tuple[Database, Kept]:
    """Open the records and bring all withdrawals to bear that the list beside them knows.

    Returns
    -------
    Database
        Open, at this program's tables.
    Kept
        What was restored, and whether the list is whole.
    """
    database = open_current(home.database_url, create=False)
    try:
        with database.transaction() as session:
            kept = obey(session, home)
    except BaseException:
        database.close()
        raise
    return database, kept


def obey(session: Session, home: Home) -> Kept:
    """Bring the withdrawals of the list to bear, and do what a day has come for."""
    now = clock.now(session)
    kept = tombstones.reapply(session, home, now=now)
    if kept.restored:
        withdrawal.enforce(session, home, now=now)
    link_table.destroy_all_due(session, home, now=now)
    return kept
