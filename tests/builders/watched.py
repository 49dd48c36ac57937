"""A sandbox as a site under watch: accounts, source and release projects, by ordinary calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from deploy import sandbox_process
from deploy.pytest_plugin import XnatSandbox
from tests.builders import decided
from tests.builders.decided import Signers
from tests.builders.sharing import INSIDE, NOW, OUTSIDE, Site
from xnat_client.credentials import Credentials
from xnat_client.errors import XnatClientError
from xnat_client.projects import create_project
from xnat_client.session import XnatServer
from xnat_client.sharing import decisions
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Release, Server
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.reconcile.report import CycleReport, Done
from xnat_client.sharing.records import criteria
from xnat_client.sharing.server_side.content import WantedFile, list_labels
from xnat_client.sharing.server_side.site import SharingSite
from xnat_client.sharing.vocabulary import DriftClass, Level, ReleaseState, Role, Severity
from xnat_client.transport import Transport
from xnat_client.transport_settings import TransportSettings

PASSWORD = "pass-word-1"
SERVICE = "admin"
"""The sandbox's administrator is the service account where one sandbox is enough."""

SERVICE_ACCOUNT = "releaser"
"""The service account of the small site, an administrator of both servers."""

LOGINS = (
    "lead", "steward", "officer", "administrator", "custodian", "requester", "outsider",
    "member1", "member2", "external1", "external2",
)  # fmt: skip
"""User names of the small site's people, on both servers."""

QUICK = TransportSettings(
    connect_timeout_s=5, read_timeout_s=30, max_attempts=2, first_pause_s=0.001
)

Publish = Callable[..., int]
"""Takes what `approved` takes; returns the release's number."""

SMALL_RELEASE: Mapping[str, bytes] = {
    "README.md": b"A data set.",
    "dataset_description.json": b"{}",
    "participants.tsv": b"participant_id\nsub-k7\n",
    "sub-k7/ses-1/anat/sub-k7_ses-1_T1w.nii.gz": b"\x1f\x8b" + bytes(100),
    ".bidsignore": b"extra/\n",
    "empty.txt": b"",
}


def write_release(
    folder: Path, files: Mapping[str, bytes] = SMALL_RELEASE
) -> dict[str, WantedFile]:
    """Write a release folder; return what its manifest would list."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return {
        path: WantedFile(len(content), hashlib.md5(content, usedforsecurity=False).hexdigest())
        for path, content in files.items()
    }


def add_account(transport: Transport, login: str) -> None:
    """Make an account that can log in with ``PASSWORD``."""
    account = {
        "username": login, "password": PASSWORD, "email": f"{login}@people.test",
        "firstName": login, "lastName": "Test", "enabled": True, "verified": True,
    }  # fmt: skip
    transport.request(
        "POST",
        "/xapi/users",
        doing="make an account",
        body=json.dumps(account).encode(),
        headers={"Content-Type": "application/json"},
    )


def add_source(transport: Transport, project_id: str, subjects: int = 1) -> None:
    """Make a source project with one session a subject and an assessor on the first."""
    create_project(transport, project_id)
    for number in range(1, subjects + 1):
        subject = f"/data/projects/{project_id}/subjects/{project_id}_{number:03d}"
        session = f"{subject}/experiments/{project_id}_{number:03d}_MR1"
        put(transport, subject)
        put(transport, session, xsiType="xnat:mrSessionData")
        if number == 1:
            assessor = f"{session}/assessors/{project_id}_{number:03d}_QC"
            put(transport, assessor, xsiType="xnat:qcManualAssessorData")


def put(transport: Transport, path: str, **query: str) -> str:
    """PUT without a body; return the answer's text."""
    return transport.request("PUT", path, doing="make a test's object", query=query).text


def site_settings(transport: Transport, **values: bool) -> None:
    """Set properties of the site."""
    transport.request(
        "POST",
        "/xapi/siteConfig",
        doing="set up the site",
        body=json.dumps(values).encode(),
        headers={"Content-Type": "application/json"},
    )


def ban_sharing(transport: Transport) -> None:
    """Keep groups from sharing data into further projects; administrators still may."""
    for group_type in ("Owners", "Members", "Collaborators"):
        transport.request(
            "POST",
            "/data/services/features",
            doing="ban re-sharing",
            query={"type": group_type},
            body=json.dumps({"key": "project_sharing", "banned": True}).encode(),
            headers={"Content-Type": "application/json"},
        )


# A whole site ---------------------------------------------------------------------------------


@dataclass
class Servers:
    """An inside and an outside server, each with the accounts of the small site.

    ``service`` are connections as the service account, by the servers' short names.
    """

    sandboxes: dict[str, XnatSandbox]
    service: dict[str, Transport]

    def log_in(self, server: Server) -> XnatServer:
        """Connect as the service account, as ``site.Connector`` does."""
        credentials = Credentials(SERVICE_ACCOUNT, PASSWORD, "test")
        url = self.sandboxes[server.alias].url
        return XnatServer(Transport(url, credentials, QUICK), credentials)

    def as_user(self, alias: str, login: str) -> Transport:
        """Return a connection of an ordinary account."""
        return Transport(self.sandboxes[alias].url, Credentials(login, PASSWORD), QUICK)

    def reads(self, alias: str, login: str, project_id: str) -> bool:
        """Tell whether an account can list a project's resources now."""
        transport = self.as_user(alias, login)
        try:
            list_labels(transport, project_id)
        except XnatClientError:
            return False
        finally:
            transport.close()
        return True


@contextmanager
def running_servers(folder: Path) -> Iterator[Servers]:
    """Start both servers, set up as a careful site would."""
    sandboxes, service = {}, {}
    try:
        for alias in (INSIDE, OUTSIDE):
            sandboxes[alias] = start_sandbox(folder / alias)
            service[alias] = _set_up(sandboxes[alias])
            site_settings(
                service[alias],
                restrictUserListAccessToAdmins=True,
                uiAllowNonAdminProjectCreation=False,
                securityAllowNonPrivateProjects=alias == OUTSIDE,
                par=False,
            )
            ban_sharing(service[alias])
        yield Servers(sandboxes, service)
    finally:
        for transport in service.values():
            transport.close()
        for alias in sandboxes:
            sandbox_process.stop(folder / alias)


def _set_up(sandbox: XnatSandbox) -> Transport:
    admin = Transport(sandbox.url, Credentials("admin", sandbox.admin_password), QUICK)
    for login in ("releaser", *LOGINS):
        add_account(admin, login)
    put(admin, "/xapi/users/releaser/roles/Administrator")
    admin.close()
    service = Transport(sandbox.url, Credentials(SERVICE_ACCOUNT, PASSWORD), QUICK)
    service.request(
        "DELETE", "/xapi/users/admin/roles/Administrator", doing="leave one administrator"
    )
    return service


def start_sandbox(folder: Path) -> XnatSandbox:
    """Start a sandbox in a folder of its own."""
    folder.mkdir(parents=True)
    server = sandbox_process.start(folder, engine="process")
    return XnatSandbox(server.url, folder, server.pid, sandbox_process.admin_password(folder))


def approved(  # noqa: PLR0913  # each is one thing a test varies
    site: SharingSite,
    people: Site,
    *,
    level: Level = Level.EXTERNAL,
    family: str = "heads",
    version: str = "1.0.0",
    embargo_until: date | None = None,
    participants: Sequence[int] | None = None,
    signers: Signers | None = None,
) -> int:
    """Take a release of the small site to APPROVED by the rules; return its number."""
    with site.database.transaction() as session:
        now = site.now(session)
        if criteria.current(session) is None:
            decided.prepare(session, people, now=now)
        row = decided.draft(
            session, site.home, people, now=now, level=level, family=family, version=version,
            embargo_until=embargo_until, participants=participants,
        )  # fmt: skip
        team = people.acting(Role.STUDY_TEAM)
        row = decisions.fire(session, site.home, team, row, ReleaseEvent.CHECK, now=now)
        row = decisions.fire(session, site.home, team, row, ReleaseEvent.PROPOSE, now=now)
        row = decided.approve_all(session, site.home, people, row, signers or Signers(), now=now)
        return row.release_pk


def grant(site: SharingSite, people: Site, release_pk: int, person_id: str) -> None:
    """Give a person a grant for a release by the rules."""
    with site.database.transaction() as session:
        release = session.get_one(Release, release_pk)
        decided.granted(session, people, person_id, release, now=site.now(session))


def project_of(site: SharingSite, release_pk: int) -> str:
    """Return the project of a release."""
    with site.database.transaction() as session:
        return session.get_one(Release, release_pk).project_id


def fresh_site(database: Database, home: Home, servers: Servers) -> SharingSite:
    """Return the records with these servers, at the small site's fixed time."""
    return SharingSite(home, database, servers.log_in, lambda: NOW)


def project_ids(transport: Transport) -> list[str]:
    """Return the projects of a site."""
    rows = transport.get_json(
        "/data/projects", doing="list projects", query={"columns": "ID", "format": "json"}
    )
    return [row["ID"] for row in rows["ResultSet"]["Result"]]


def delete(transport: Transport, path: str) -> None:
    """DELETE with its files."""
    transport.request("DELETE", path, doing="clear away", query={"removeFiles": "true"})


def critical(report: CycleReport) -> list[tuple[DriftClass, Done]]:
    """Return what a cycle found critical, and what it did about it."""
    return [
        (one.drift.drift, one.done)
        for one in report.all_found
        if one.drift.severity is Severity.CRITICAL
    ]


def state_of(site: SharingSite, release_pk: int) -> tuple[ReleaseState, bool]:
    """Return a release's state, and whether it is applied to its server."""
    with site.database.transaction() as session:
        release = session.get_one(Release, release_pk)
        return release.state, release.applied


def add_to_source(servers: Servers, _project: str) -> None:
    """Let an outsider into the source project: critical, and the loop undoes it."""
    put(servers.service[INSIDE], "/data/projects/SOURCE/users/Collaborators/outsider")
