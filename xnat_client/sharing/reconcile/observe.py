"""What an XNAT server says is true: sites, projects, people, shares, files, in few requests.

Per cycle and server: seven requests, four more for each project, and for each release project one
more and one for each of its resources. No request for a subject or a session: the lists of a
project's subjects and experiments hold the accession numbers, and a number that appears in a
project other than its own is a share. Labels are never asked for. A part that cannot be read is
None, never empty. Not here: what should be true, what to do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from xnat_client.address import path_of
from xnat_client.errors import NotFoundError, RefusedError, UnreachableError, XnatClientError
from xnat_client.listings import table_rows
from xnat_client.projects import Accessibility
from xnat_client.resources import RemoteFile, read_file_rows
from xnat_client.sharing.server_side.access import (
    SITE_READING_GROUPS,
    Member,
    Shared,
    members_of_rows,
    members_path,
)
from xnat_client.sharing.server_side.content import labels_of_rows, resources_path

if TYPE_CHECKING:
    from xnat_client.transport import Transport

T = TypeVar("T")
SHARING_FEATURE = "project_sharing"
MOST_REQUESTS = 20_000
"""So many requests end a cycle as incomplete; a site of 4,000 projects needs fewer."""
_THREADS = 4
_ALL_EXPERIMENTS = "xnat:experimentData"
"""The root of sessions, subject assessors and session assessors alike."""


class Reader:
    """Reads from one server, counts requests, and stops at a time.

    Parameters
    ----------
    deadline : float
        Of ``time.monotonic``, in seconds.
    """

    def __init__(self, transport: Transport, deadline: float) -> None:
        self.transport = transport
        self.requests = 0
        self.troubles: list[str] = []
        self._deadline = deadline
        self._lock = threading.Lock()

    def table(
        self, path: str, doing: str, query: Mapping[str, str] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Read one of XNAT's tables."""
        document = self.json(path, doing, {**(query or {}), "format": "json"})
        return table_rows(document, doing=doing, host=self.transport.host)

    def json(self, path: str, doing: str, query: Mapping[str, str] | None = None) -> Any:
        """Read a JSON document."""
        self._count(doing)
        return self.transport.get_json(path, doing=doing, query=query or {})

    def text(self, path: str, doing: str) -> str:
        """Read a text."""
        self._count(doing)
        return self.transport.get_text(path, doing=doing)

    def files(self, path: str, doing: str) -> tuple[RemoteFile, ...]:
        """Read a table of files."""
        self._count(doing)
        return read_file_rows(self.transport, path, doing=doing)

    def attempt(self, what: Callable[[], T]) -> T | None:
        """Return what was read, or None with the trouble noted."""
        try:
            return what()
        except XnatClientError as error:
            self.troubles.append(str(error))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            self.troubles.append(
                f"{self.transport.host} answered in a form that is not XNAT's "
                f"({type(error).__name__})."
            )
        return None

    def _count(self, doing: str) -> None:
        with self._lock:
            self.requests += 1
        if time.monotonic() > self._deadline or self.requests > MOST_REQUESTS:
            raise UnreachableError(
                f"Cannot {doing}: the cycle took longer than it may. Look at the server's load."
            )


@dataclass(frozen=True)
class ObservedShare:
    """An object that appears in a project that is not its own.

    ``owner`` is empty when no list says to which project it belongs.
    """

    kind: Shared
    object_id: str
    owner: str
    receiver: str


@dataclass(frozen=True)
class ObservedProject:
    """One project; None is what could not be read."""

    project_id: str
    accessibility: Accessibility | None
    accessibility_word: str
    members: tuple[Member, ...] | None
    objects: Mapping[Shared, frozenset[str]] | None
    resources: tuple[str, ...] | None = None
    files: Mapping[str, tuple[RemoteFile, ...] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ObservedSite:
    """One server; None is what could not be read.

    Attributes
    ----------
    owners : mapping
        Kind and accession number of each object to its own project.
    administrators : frozenset of str or None
        Enabled accounts that are site administrators.
    site_readers : tuple of Member or None
        Who reads every project by a group of the site.
    sharing_banned : bool or None
        Whether re-sharing is banned for everybody; None also where a server cannot say.
    """

    settings: Mapping[str, Any] | None
    sharing_banned: bool | None
    administrators: frozenset[str] | None
    site_readers: tuple[Member, ...] | None
    logins: frozenset[str] | None
    projects: Mapping[str, ObservedProject] | None
    owners: Mapping[tuple[Shared, str], str] | None
    requests: int
    troubles: tuple[str, ...]

    def shares(self) -> list[ObservedShare]:
        """Return every object that appears in a project other than its own, sorted."""
        found = []
        owners = self.owners or {}
        for project in (self.projects or {}).values():
            for kind, ids in (project.objects or {}).items():
                for object_id in ids:
                    owner = owners.get((kind, object_id), "")
                    if owner != project.project_id:
                        share = ObservedShare(kind, object_id, owner, project.project_id)
                        found.append(share)
        return sorted(found, key=lambda one: (one.receiver, one.kind, one.object_id))


def observe(
    transport: Transport, release_projects: frozenset[str], *, seconds: float
) -> ObservedSite:
    """Read one server.

    Parameters
    ----------
    release_projects : frozenset of str
        Projects whose resources and files are listed too.
    seconds : float
        After this time nothing more is asked and the rest counts as unknown.
    """
    reader = Reader(transport, time.monotonic() + seconds)
    settings = reader.attempt(lambda: _settings(reader))
    admins = reader.attempt(lambda: _administrators(reader))
    logins = reader.attempt(
        lambda: frozenset(map(str, reader.json("/xapi/users", "list the accounts of the site")))
    )
    project_ids = reader.attempt(lambda: _project_ids(reader))
    owners = reader.attempt(lambda: _owners(reader))
    projects: dict[str, ObservedProject] | None = None
    site_readers: tuple[Member, ...] | None = ()
    if project_ids is not None:
        with ThreadPoolExecutor(_THREADS) as pool:
            looked = pool.map(
                lambda one: _project(reader, one, release=one in release_projects), project_ids
            )
            projects = {one.project_id: one for one in looked if one is not None}
        if project_ids:
            site_readers = reader.attempt(lambda: _site_readers(reader, project_ids[0]))
    return ObservedSite(
        settings=settings,
        sharing_banned=_sharing_banned(reader),
        administrators=admins,
        site_readers=site_readers,
        logins=logins,
        projects=projects,
        owners=owners,
        requests=reader.requests,
        troubles=tuple(reader.troubles),
    )


def _settings(reader: Reader) -> Mapping[str, Any]:
    settings = reader.json("/xapi/siteConfig", "read the settings of the site")
    if not isinstance(settings, dict):
        raise RefusedError("Cannot read the settings of the site: the answer is no JSON object.")
    return settings


def _administrators(reader: Reader) -> frozenset[str]:
    doing = "list the administrators of the site"
    answer = reader.json(path_of("xapi", "users", "roles", "Administrator"), doing)
    if not isinstance(answer, list):
        raise RefusedError(f"Cannot {doing}: the answer is not a list.")
    return frozenset(map(str, answer))


def _project_ids(reader: Reader) -> list[str]:
    rows = reader.table("/data/projects", "list the projects", {"columns": "ID"})
    return sorted({row["ID"] for row in rows})


def _owners(reader: Reader) -> Mapping[tuple[Shared, str], str]:
    """Return the own project of every object of the site."""
    found: dict[tuple[Shared, str], str] = {}
    for kind, query in _LISTS.items():
        doing = f"list the {kind.value} of the site"
        for row in reader.table(f"/data/{kind.value}", doing, query):
            found[kind, row["ID"]] = row["project"]
    return found


_LISTS: Mapping[Shared, Mapping[str, str]] = {
    Shared.SUBJECT: {"columns": "ID,project"},
    Shared.EXPERIMENT: {"columns": "ID,project", "xsiType": _ALL_EXPERIMENTS},
}


def _project(reader: Reader, project_id: str, *, release: bool) -> ObservedProject | None:
    """Return what one project is; None if it went away since the list was read."""
    base = path_of("data", "projects", project_id)
    words: list[str] = []
    try:
        doing = f"read the accessibility of project {project_id}"
        words.append(reader.text(f"{base}/accessibility", doing))
    except NotFoundError:
        return None
    except XnatClientError as error:
        reader.troubles.append(str(error))
    word = words[0] if words else ""
    members = reader.attempt(lambda: _members(reader, project_id))
    objects = reader.attempt(lambda: _objects(reader, base, project_id))
    resources, files = None, {}
    if release:
        resources = reader.attempt(lambda: _resources(reader, project_id))
        files = {
            label: reader.attempt(partial(_files, reader, project_id, label))
            for label in resources or ()
        }
    known = word in {level.value for level in Accessibility}
    return ObservedProject(
        project_id, Accessibility(word) if known else None, word, members, objects, resources, files
    )


def _members(reader: Reader, project_id: str) -> tuple[Member, ...]:
    doing = f"list the users of project {project_id}"
    return members_of_rows(project_id, reader.table(members_path(project_id), doing))


def _objects(reader: Reader, base: str, project_id: str) -> Mapping[Shared, frozenset[str]]:
    found = {}
    for kind, query in _LISTS.items():
        doing = f"list the {kind.value} of project {project_id}"
        rows = reader.table(f"{base}/{kind.value}", doing, query)
        found[kind] = frozenset(row["ID"] for row in rows)
    return found


def _resources(reader: Reader, project_id: str) -> tuple[str, ...]:
    doing = f"list the resources of project {project_id}"
    return labels_of_rows(reader.table(resources_path(project_id), doing))


def _files(reader: Reader, project_id: str, label: str) -> tuple[RemoteFile, ...]:
    doing = f"list the files of resource {label} of project {project_id}"
    return reader.files(f"{resources_path(project_id)}{path_of(label, 'files')}", doing)


def _site_readers(reader: Reader, project_id: str) -> tuple[Member, ...]:
    """Return who is in the site's reading groups; XNAT lists them with any project's users."""
    doing = "list who reads every project of the site"
    rows = reader.table(members_path(project_id), doing, {"includeAllDataAccess": "true"})
    members = members_of_rows(project_id, rows)
    return tuple(one for one in members if one.group in SITE_READING_GROUPS)


def _sharing_banned(reader: Reader) -> bool | None:
    """Tell whether XNAT's feature of re-sharing is banned; None where the server cannot say.

    XNAT answers a list with one object: ``banned`` for the whole site, and ``groups`` with what
    is ``blocked`` for each kind of group.
    """
    try:
        answer = reader.json(
            "/data/services/features", "read the banned features", {"type": "Collaborators"}
        )
    except XnatClientError:
        return None
    try:
        site = answer[0]
        blocked = [SHARING_FEATURE in group["blocked"] for group in site["groups"]]
        return SHARING_FEATURE in site["banned"] or (bool(blocked) and all(blocked))
    except (KeyError, TypeError, IndexError):
        return None
