"""A sandbox with source projects, and the records of a site that may release from them."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from commands.catalog import find
from commands.service_json import command_to_json
from deploy.pytest_plugin import XnatSandbox
from tests.builders import canaries, sharing
from tests.builders.heads import average_head, write_head
from xnat_client.commands_registry import ensure_registered
from xnat_client.projects import Accessibility, create_project, get_accessibility, list_projects
from xnat_client.release.build import build_release
from xnat_client.release.request import BuildRequest, BuildResult
from xnat_client.session import XnatServer, connect
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Server, Study
from xnat_client.sharing.home import Home
from xnat_client.sharing.link_file import KEYS_VARIABLE
from xnat_client.sharing.server_side.access import list_members
from xnat_client.sharing.vocabulary import DataType, Level, Role


@dataclass
class Releasing:
    """A source project, the records that speak of it, and what builds told."""

    server: XnatServer
    home: Home
    database: Database
    site: sharing.Site
    project_id: str
    family: str
    told: list[str] = field(default_factory=list)

    def request(self, **changes: object) -> BuildRequest:
        """Return a request for an external release, with some of it changed."""
        wish: dict[str, object] = {
            "server": sharing.INSIDE,
            "project_id": self.project_id,
            "family": self.family,
            "version": "1.0.0",
            "level": Level.EXTERNAL,
            "release_server": sharing.OUTSIDE,
            "release_project": "HEADS",
            "licence": "CC-BY-4.0",
            "citation": {"title": "Heads in winter", "creators": [{"name": "The Centre"}]},
        }
        return BuildRequest(**{**wish, **changes})  # type: ignore[arg-type]  # any of its fields

    def build(self, **changes: object) -> BuildResult:
        """Build such a release as one of the study's team."""
        return build_release(
            self.home,
            self.database,
            self.server,
            self.request(**changes),
            self.site.acting(Role.STUDY_TEAM),
            tell=self.told.append,
        )


Maker = Callable[[str], Releasing]


@pytest.fixture(scope="package")
def release_server(sandbox: XnatSandbox) -> Iterator[XnatServer]:
    """A log-in to the sandbox of the whole test run."""
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as opened:
        yield opened


@pytest.fixture(scope="package")
def make_releasing(
    release_server: XnatServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Maker]:
    """A function that makes an empty source project with records of its own."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv(KEYS_VARIABLE, str(tmp_path_factory.mktemp("link-keys")))

        def make(kind: str) -> Releasing:
            folder = tmp_path_factory.mktemp(kind)
            folder.chmod(0o700)
            database = stack.enter_context(sharing.fresh_records(folder))
            site = sharing.make_site(database)
            project_id = f"Q{uuid.uuid4().hex[:9]}"
            create_project(release_server.transport, project_id)
            with database.transaction() as session:
                study = session.get(Study, site.study_pk)
                inside = session.get(Server, sharing.INSIDE)
                assert study is not None
                assert inside is not None
                study.project_id = project_id
                inside.address = release_server.transport.url
                inside.service_account = release_server.credentials.user
            url = str(database.engine.url)
            return Releasing(
                release_server, Home(folder, url), database, site, project_id, f"winter-{kind}"
            )

        yield make


def consent(releasing: Releasing, label: str, level: Level | None = Level.OPEN) -> int:
    """Add a participant who consented to everything up to a level; return the number."""
    with releasing.database.transaction() as session:
        return sharing.add_participant(
            session, releasing.site.study_pk, label, level=level, data_types=tuple(DataType)
        )


Built = tuple[Releasing, BuildResult]
HEAD = "Vogelkanari74"


@dataclass
class BrokenOff:
    """What there was on the server when a build was broken off, and after it."""

    during: list[tuple[Accessibility, list[str]]] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def quarantines(server: XnatServer) -> list[str]:
    """Return the quarantine projects of the server."""
    found = [one.project_id for one in list_projects(server.transport)]
    return [one for one in found if one.startswith("tmp-")]


def traces(releasing: Releasing) -> list[str]:
    """Return the files in which builds write down their quarantine projects."""
    return [path.name for path in releasing.home.folder.glob("*server-quarantine.json*")]


def _broken_off(releasing: Releasing) -> BrokenOff:
    transport, found = releasing.server.transport, BrokenOff()

    def look_and_break_off(sentence: str) -> None:
        if sentence.startswith("1 of "):
            (name,) = quarantines(releasing.server)
            members = [f"{one.login} {one.group}" for one in list_members(transport, name)]
            found.during.append((get_accessibility(transport, name), members))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_release(
            releasing.home, releasing.database, releasing.server,
            releasing.request(on_server=True), releasing.site.acting(Role.STUDY_TEAM),
            tell=look_and_break_off,
        )  # fmt: skip
    found.after = [*quarantines(releasing.server), *traces(releasing)]
    return found


@pytest.fixture(scope="package")
def canaries_on_server(
    release_server: XnatServer, make_releasing: Maker, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Releasing, BuildResult, BrokenOff]:
    """The study of canaries and a head, built once, on the server, after a first try's end."""
    for name in ("dicom-to-bids", "deface", "winqc"):
        ensure_registered(release_server.transport, command_to_json(find(name)))
    releasing, folder = make_releasing("canaries"), tmp_path_factory.mktemp("made")
    transport, project = release_server.transport, releasing.project_id
    canaries.write_study(transport, project, folder)
    stem = f"sub-{HEAD}/ses-1/anat/sub-{HEAD}_ses-1_T1w"
    head = write_head(folder / "head.nii", average_head()).read_bytes()
    files = {f"{stem}.nii.gz": gzip.compress(head, mtime=0), f"{stem}.json": b"{}"}
    canaries.put_bids_session(transport, project, HEAD, files)
    for label in (*canaries.SUBJECTS, HEAD):
        consent(releasing, label)
    broken_off = _broken_off(releasing)
    return releasing, releasing.build(on_server=True), broken_off


@pytest.fixture(scope="package")
def canary_study(canaries_on_server: tuple[Releasing, BuildResult, BrokenOff]) -> Built:
    """The study of canaries, built once."""
    return canaries_on_server[:2]
