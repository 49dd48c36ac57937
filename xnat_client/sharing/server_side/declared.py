"""What the records say must be true of the projects of one server, at one time.

Whatever the records do not say clearly is read as closed: a release project whose releases
contradict each other has no readers. Not here: what a server says (``reconcile.observe``), who
may declare (``records.declarations``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.projects import Accessibility
from xnat_client.sharing import grants, standing
from xnat_client.sharing.database.tables import (
    Account,
    Declaration,
    Person,
    Release,
    ReleaseFile,
    RoleAssignment,
    Server,
    Study,
)
from xnat_client.sharing.server_side.access import COLLABORATORS, OWNERS
from xnat_client.sharing.server_side.content import WantedFile, resource_label
from xnat_client.sharing.vocabulary import READABLE_STATES, Level, Role, ServerSide

DECLARATIONS_FOLDER = "declarations"
"""Folder of the records' home that holds the declarations as files, for version control."""


class ProjectRole(StrEnum):
    """What a project is to the records."""

    SOURCE = "source"
    RELEASE = "release"
    OTHER = "other"


@dataclass(frozen=True)
class DeclaredResource:
    """A version's resource in a release project; ``is_open`` when its readers may have it."""

    release_pk: int
    is_open: bool
    files: Mapping[str, WantedFile]


@dataclass(frozen=True)
class DeclaredProject:
    """What must be true of one project.

    Attributes
    ----------
    accessibility : Accessibility
        The widest that is right; for an open release also the narrowest.
    allowed : mapping of str to frozenset of str
        User name to the groups it may be in; whoever is not here must not be there. None allows
        anybody (a project that is only declared not to be open).
    readers : frozenset of str
        User names that must be collaborators.
    resources : mapping of str to DeclaredResource
        Of a release project; nothing else may be in it.
    without_account : int
        Declared readers of whom the records know no user name on this server.
    contradiction : str
        Why the records keep the project closed though releases in it are published; else empty.
    fallen : mapping of int to str
        Releases that the table calls published and that nobody may read, with the first reason.
    """

    project_id: str
    role: ProjectRole
    accessibility: Accessibility = Accessibility.PRIVATE
    allowed: Mapping[str, frozenset[str]] | None = field(default_factory=dict)
    readers: frozenset[str] = frozenset()
    resources: Mapping[str, DeclaredResource] = field(default_factory=dict)
    without_account: int = 0
    contradiction: str = ""
    fallen: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Tell whether anybody but the service is to read it as a release."""
        return bool(self.readers) or self.accessibility is Accessibility.PUBLIC

    @property
    def open_releases(self) -> tuple[int, ...]:
        """The releases that may be read now."""
        return tuple(one.release_pk for one in self.resources.values() if one.is_open)


@dataclass(frozen=True)
class Place:
    """A server of the records.

    Attributes
    ----------
    service_login : str
        The account that writes release projects, and their only owner.
    """

    server: Server
    service_login: str


def declared_projects(session: Session, place: Place, now: datetime) -> dict[str, DeclaredProject]:
    """Return all projects of a server that the records speak of, by ID."""
    server, service_login = place.server, place.service_login
    logins = _logins(session, server.alias)
    releases: dict[str, list[Release]] = {}
    for release in session.scalars(
        sa.select(Release).where(Release.server == server.alias).order_by(Release.release_pk)
    ):
        releases.setdefault(release.project_id, []).append(release)
    sources = {
        study.project_id: _source(session, study, logins, service_login, now)
        for study in session.scalars(sa.select(Study).where(Study.server == server.alias))
    }
    declared: dict[str, DeclaredProject] = dict(sources)
    for project_id, document in latest_documents(session, server.alias).items():
        if project_id not in sources and project_id not in releases:
            declared[project_id] = _other(project_id, document, logins, service_login, now)
        elif project_id in sources:
            declared[project_id] = _with_people(sources[project_id], document, logins, now)
    for project_id, inside in releases.items():
        if project_id not in sources:  # a source project is never opened, whatever a release says
            declared[project_id] = release_project(session, place, project_id, inside, now)
    return declared


def release_project(
    session: Session, place: Place, project_id: str, releases: Iterable[Release], now: datetime
) -> DeclaredProject:
    """Return what must be true of one release project."""
    inside = list(releases)
    named = [one for one in inside if one.applied and one.state in READABLE_STATES]
    said = {one.release_pk: standing.objections(session, one, now) for one in named}
    fallen = {pk: reasons[0] for pk, reasons in said.items() if reasons}
    opened = [one for one in named if one.release_pk not in fallen]
    contradiction = _contradiction(session, place.server, opened)
    if contradiction:
        opened = []
    resources = {
        resource_label(one.version): DeclaredResource(
            one.release_pk, one in opened, wanted_files(session, one)
        )
        for one in inside
        if one.manifest_sha256
    }
    project = DeclaredProject(
        project_id,
        ProjectRole.RELEASE,
        allowed={place.service_login: frozenset({OWNERS})},
        resources=resources,
        contradiction=contradiction,
        fallen=fallen,
    )
    if not opened:
        return project
    persons = [grants.readers_of(session, one, now) for one in opened]
    if all(one is None for one in persons):
        return replace(project, accessibility=Accessibility.PUBLIC)
    # Whoever reads a project reads all versions in it.
    common = set.intersection(*(set(one) for one in persons if one is not None))
    logins = _logins(session, place.server.alias)
    readers = {login for person in common for login in logins.get(person, ())} - {
        place.service_login
    }
    return replace(
        project,
        allowed={
            **{login: frozenset({COLLABORATORS}) for login in readers},
            **(project.allowed or {}),
        },
        readers=frozenset(readers),
        without_account=sum(1 for person in common if person not in logins),
    )


def wanted_files(session: Session, release: Release) -> dict[str, WantedFile]:
    """Return the files of a release as the records list them, the manifest's own among them."""
    rows = session.execute(
        sa.select(ReleaseFile.path, ReleaseFile.size_bytes, ReleaseFile.md5).where(
            ReleaseFile.release_pk == release.release_pk
        )
    )
    return {row.path: WantedFile(row.size_bytes, row.md5) for row in rows}


def latest_documents(session: Session, alias: str) -> dict[str, dict[str, Any]]:
    """Return the newest declaration of each project of a server."""
    rows = session.scalars(
        sa.select(Declaration).where(Declaration.server == alias).order_by(Declaration.version)
    )
    return {row.project_id: row.document for row in rows}


def is_single_server(session: Session) -> bool:
    """Tell whether the site has no outside server: outsiders then have accounts inside."""
    outside = sa.select(sa.func.count()).where(Server.side == ServerSide.OUTSIDE)
    return not session.scalar(outside)


def _contradiction(session: Session, server: Server, opened: list[Release]) -> str:
    if len({one.level for one in opened}) > 1:
        return "its published releases have different levels; give each level its own project"
    for_outsiders = any(one.level >= Level.EXTERNAL for one in opened)
    if for_outsiders and server.side is ServerSide.INSIDE and not is_single_server(session):
        return "a release for outsiders stands on an inside server though there is an outside one"
    return ""


def _logins(session: Session, alias: str) -> dict[str, tuple[str, ...]]:
    """Return the user names of active persons on a server."""
    rows = session.execute(
        sa.select(Account.person_id, Account.username)
        .join(Person, Person.person_id == Account.person_id)
        .where(Account.server == alias, Person.active)
    )
    found: dict[str, tuple[str, ...]] = {}
    for person_id, username in rows:
        found[person_id] = (*found.get(person_id, ()), username)
    return found


_ANY_GROUP = frozenset({OWNERS, "member", COLLABORATORS})


def _source(
    session: Session,
    study: Study,
    logins: Mapping[str, tuple[str, ...]],
    service_login: str,
    now: datetime,
) -> DeclaredProject:
    team = set(
        session.scalars(
            sa.select(RoleAssignment.person_id).where(
                RoleAssignment.study_pk == study.study_pk,
                RoleAssignment.role == Role.STUDY_TEAM,
                RoleAssignment.since <= now,
                sa.or_(RoleAssignment.until.is_(None), RoleAssignment.until > now),
            )
        )
    ) | {study.lead_id}
    allowed = {login: _ANY_GROUP for person in team for login in logins.get(person, ())}
    allowed[service_login] = _ANY_GROUP
    return DeclaredProject(study.project_id, ProjectRole.SOURCE, allowed=allowed)


def _with_people(
    project: DeclaredProject,
    document: Mapping[str, Any],
    logins: Mapping[str, tuple[str, ...]],
    now: datetime,
) -> DeclaredProject:
    """Add the persons that a declaration names for a source project, until their end dates."""
    named = {
        login: _ANY_GROUP
        for person in _current_people(document, now)
        for login in logins.get(person, ())
    }
    return DeclaredProject(
        project.project_id, project.role, allowed={**named, **(project.allowed or {})}
    )


def _other(
    project_id: str,
    document: Mapping[str, Any],
    logins: Mapping[str, tuple[str, ...]],
    service_login: str,
    now: datetime,
) -> DeclaredProject:
    try:
        level = Accessibility(document.get("accessibility", "private"))
    except ValueError:
        level = Accessibility.PRIVATE
    if "people" not in document:
        return DeclaredProject(project_id, ProjectRole.OTHER, level, allowed=None)
    allowed = {
        login: _ANY_GROUP
        for person in _current_people(document, now)
        for login in logins.get(person, ())
    }
    return DeclaredProject(
        project_id, ProjectRole.OTHER, level, allowed={**allowed, service_login: _ANY_GROUP}
    )


def _current_people(document: Mapping[str, Any], now: datetime) -> list[str]:
    people = document.get("people", [])
    if not isinstance(people, list):
        return []
    return [one["person"] for one in people if isinstance(one, dict) and _is_current(one, now)]


def _is_current(entry: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether an entry names a person and its end date, if any, has not passed."""
    if not isinstance(entry.get("person"), str):
        return False
    until = entry.get("until")
    if until is None:
        return True
    try:
        return now.date() <= date.fromisoformat(until)
    except (TypeError, ValueError):
        return False  # a date that cannot be read has passed
