"""A small site for tests of sharing: its records in a fresh database, its people, one study."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing.actors import SERVICE_ID, Actor
from xnat_client.sharing.database.migrating import open_current
from xnat_client.sharing.database.migrations import HEAD
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import (
    Account,
    Base,
    ConsentForm,
    Participant,
    Person,
    RoleAssignment,
    Server,
    Study,
)
from xnat_client.sharing.records import consent
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.vocabulary import ConsentEvent, DataType, Level, Role, ServerSide

POSTGRESQL_VARIABLE = "WINXNAT_TEST_POSTGRESQL"
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
FORM = ("open-brain", "2.0")
INSIDE, OUTSIDE = "inside", "outside"

_TEMPLATES: dict[str, bytes] = {}
_IDLE: list[Database] = []


@contextmanager
def fresh_records(folder: Path, kind: str = "sqlite") -> Iterator[Database]:
    """Yield an empty, migrated database: a copy of one that is migrated once.

    SQLite's engine is the same in all tests of a process that come one after the other, so that
    statements are compiled once; its file is new each time.
    """
    if kind == "sqlite":
        yield from _fresh_sqlite(folder)
        return
    with _fresh_postgresql(folder) as url:
        database = open_current(url)
        try:
            yield database
        finally:
            database.close()


def _fresh_sqlite(folder: Path) -> Iterator[Database]:
    if "empty" not in _TEMPLATES:
        template = folder / "template.sqlite"
        open_current(f"sqlite:///{template}").close()
        _TEMPLATES["empty"] = template.read_bytes()
    if _IDLE:
        database = _IDLE.pop()
    else:
        # It outlives the test that asked first, and so does its folder.
        lasting = Path(tempfile.mkdtemp(prefix="winxnat-records-"))
        atexit.register(shutil.rmtree, lasting, ignore_errors=True)
        database = Database(f"sqlite:///{lasting / 'records.sqlite'}")
    _fill(database, "empty")
    try:
        yield database
    finally:
        database.close()
    _IDLE.append(database)


def _fill(database: Database, template: str) -> None:
    """Put a copy of a template in the place of a database's file.

    It is another file: what a test before left open on the old one does not touch it.
    """
    database.close()
    path = Path(str(database.engine.url.database))
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    fresh = path.with_name("fresh.sqlite")
    fresh.write_bytes(_TEMPLATES[template])
    fresh.replace(path)


@contextmanager
def _fresh_postgresql(_folder: Path) -> Iterator[str]:
    # Making and dropping databases is slow; emptying the tables of one that is free is not.
    name = _FREE.pop() if _FREE else _new_postgresql()
    url = _postgresql().set(database=name)
    yield _text(url)
    if _is_emptied(url):
        _FREE.append(name)


_FREE: list[str] = []


def _postgresql() -> sa.URL:
    return sa.make_url(os.environ[POSTGRESQL_VARIABLE]).set(drivername="postgresql+psycopg")


def _new_postgresql() -> str:
    name = f"winxnat_test_{uuid.uuid4().hex[:12]}"
    admin = sa.create_engine(_postgresql(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    open_current(_text(_postgresql().set(database=name))).close()
    return name


def _is_emptied(url: sa.URL) -> bool:
    """Empty all tables and start their numbers at 1; False if a test changed the tables."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
        numbers = connection.exec_driver_sql(
            "SELECT quote_ident(sequencename) FROM pg_sequences WHERE schemaname = 'public'"
        )
        for number in numbers.scalars().all():
            connection.exec_driver_sql(f"ALTER SEQUENCE {number} RESTART")
    return bool(version == HEAD)


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


@dataclass(frozen=True)
class Site:
    """A site with everybody whom a test may need; all are different persons.

    Attributes
    ----------
    records : Database
        Its records.
    study_pk : int
        The study SOURCE on server ``inside``, of imaging data.
    participants : list of int
        Two participants who consented to imaging and behaviour at level OPEN.
    lead, steward, officer, administrator, custodian : str
        Persons with these roles; ``steward`` and ``custodian`` for the whole site.
    requester, outsider : str
        One of the study's team, and a person without any role.
    members, externals : list of str
        Two each; members are in the directory, every one has an account.
    """

    records: Database
    study_pk: int
    participants: list[int]
    lead: str = "p-lead"
    steward: str = "p-steward"
    officer: str = "p-officer"
    administrator: str = "p-administrator"
    custodian: str = "p-custodian"
    requester: str = "p-requester"
    outsider: str = "p-outsider"
    members: list[str] = field(default_factory=lambda: ["p-member1", "p-member2"])
    externals: list[str] = field(default_factory=lambda: ["p-external1", "p-external2"])

    def acting(self, role: Role, reason: str = "a test needs it") -> Actor:
        """Return the person of this site who has a role, acting in it."""
        persons = {
            Role.LEAD: self.lead,
            Role.STEWARD: self.steward,
            Role.OFFICER: self.officer,
            Role.ADMINISTRATOR: self.administrator,
            Role.CUSTODIAN: self.custodian,
            Role.STUDY_TEAM: self.requester,
            Role.MEMBER: self.members[0],
            Role.EXTERNAL: self.externals[0],
            Role.SERVICE: SERVICE_ID,
        }
        return Actor(persons[role], role, reason)


def quick_site(records: Database) -> Site:
    """Return the site of ``make_site`` in empty records: a copy, where the database is a file."""
    if records.engine.dialect.name != "sqlite":
        return make_site(records)
    if "site" not in _TEMPLATES:
        made = make_site(records)
        records.close()  # writes the log ahead back into the file
        path = Path(str(records.engine.url.database))
        _TEMPLATES["site"] = path.read_bytes()
        _MADE.update(study_pk=made.study_pk, participants=made.participants)
        return made
    _fill(records, "site")
    return Site(records, _MADE["study_pk"], list(_MADE["participants"]))


_MADE: dict[str, Any] = {}


def make_site(records: Database, now: datetime = NOW) -> Site:
    """Fill records with the site that ``Site`` describes."""
    with records.transaction() as session:
        session.add(
            Server(
                alias=INSIDE,
                address="http://inside.test",
                side=ServerSide.INSIDE,
                service_account="releaser",
            )
        )
        session.add(
            Server(
                alias=OUTSIDE,
                address="http://outside.test",
                side=ServerSide.OUTSIDE,
                service_account="releaser",
            )
        )
        _add_people(session)
        session.flush()
        study = Study(
            server=INSIDE,
            project_id="SOURCE",
            lead_id="p-lead",
            ethics_reference="R12345/RE001",
            dpia_reference="DPIA-7",
            retention_until=date(2040, 1, 1),
            data_types=[DataType.IMAGING.value],
            created_at=now,
        )
        session.add(study)
        session.flush()
        _add_roles(session, study.study_pk, now)
        session.add(
            ConsentForm(
                form_id=FORM[0],
                version=FORM[1],
                highest_level=Level.OPEN,
                data_types=[kind.value for kind in DataType],
                duo_codes=["GRU"],
                accepted=True,
                accepted_by="p-officer",
                accepted_at=now,
            )
        )
        session.flush()
        participants = [
            add_participant(session, study.study_pk, f"SRC{number:03d}", now) for number in (1, 2)
        ]
        return Site(records, study.study_pk, participants)  # fmt: skip


def add_participant(  # noqa: PLR0913, PLR0917  # each is one thing a test varies
    session: Session,
    study_pk: int,
    label: str,
    now: datetime = NOW,
    level: Level | None = Level.OPEN,
    data_types: tuple[DataType, ...] = (DataType.IMAGING, DataType.BEHAVIOUR),
) -> int:
    """Add a participant, with a consent to a level (None: without any); return the number."""
    row = Participant(study_pk=study_pk, source_label=label, xnat_subject_id=f"XNAT_{label}")
    session.add(row)
    session.flush()
    if level is not None:
        line = ConsentLine(ConsentEvent.GIVEN, date(2026, 1, 15), *FORM, level, data_types)
        team = Actor("p-requester", Role.STUDY_TEAM, "consent on paper")
        consent.record(session, team, row.participant_pk, line, now=now)
    return row.participant_pk


def _add_people(session: Session) -> None:
    session.add(Person(person_id=SERVICE_ID, name="Release service"))
    in_directory = {"lead", "steward", "requester", "member1", "member2"}
    everybody = (*sorted(in_directory), "officer", "administrator", "custodian", "outsider",
                 "external1", "external2")  # fmt: skip
    for word in everybody:
        session.add(Person(person_id=f"p-{word}", name=f"{word.capitalize()} Person",
                           email=f"{word}@people.test", institution="Institute",
                           from_directory=word in in_directory))  # fmt: skip
    session.flush()
    for word in everybody:
        for server in (INSIDE, OUTSIDE):
            session.add(Account(server=server, username=word, person_id=f"p-{word}"))


def _add_roles(session: Session, study_pk: int, now: datetime) -> None:
    roles = [
        ("steward", Role.STEWARD, None),
        ("officer", Role.OFFICER, None),
        ("administrator", Role.ADMINISTRATOR, None),
        ("custodian", Role.CUSTODIAN, None),
        ("requester", Role.STUDY_TEAM, study_pk),
        ("external1", Role.EXTERNAL, None),
        ("external2", Role.EXTERNAL, None),
    ]
    for word, role, study in roles:
        session.add(RoleAssignment(person_id=f"p-{word}", role=role, study_pk=study, since=now))
    session.flush()
