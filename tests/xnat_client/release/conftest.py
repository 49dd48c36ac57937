"""A sandbox with source projects, and the records of a site that may release from them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from deploy.pytest_plugin import XnatSandbox
from tests.builders import canaries, sharing
from xnat_client.projects import create_project
from xnat_client.release.build import build_release
from xnat_client.release.request import BuildRequest, BuildResult
from xnat_client.session import XnatServer, connect
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Server, Study
from xnat_client.sharing.home import Home
from xnat_client.sharing.link_file import KEYS_VARIABLE
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


@pytest.fixture(scope="module")
def release_server(sandbox: XnatSandbox) -> Iterator[XnatServer]:
    """A log-in to the sandbox of the whole test run."""
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as opened:
        yield opened


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def canary_study(
    make_releasing: Maker, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Releasing, BuildResult]:
    """The study of canaries, built once."""
    releasing = make_releasing("canaries")
    canaries.write_study(
        releasing.server.transport, releasing.project_id, tmp_path_factory.mktemp("made")
    )
    for label in canaries.SUBJECTS:
        consent(releasing, label)
    return releasing, releasing.build()
