"""Fresh records and a small site, on SQLite and, where WINXNAT_TEST_POSTGRESQL says, PostgreSQL.

And two servers that the loop keeps watch over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.builders import sharing, watched
from tests.builders.decided import Signers
from tests.builders.sharing import INSIDE, Site
from tests.builders.watched import Servers
from xnat_client.sharing import link_file
from xnat_client.sharing.actors import service
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.home import DATABASE_VARIABLE, HOME_VARIABLE, Home
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.server_side.publish import apply_release
from xnat_client.sharing.server_side.site import SharingSite

_FAMILIES = count(1)

_KINDS = ["sqlite", *(["postgresql"] if os.environ.get(sharing.POSTGRESQL_VARIABLE) else [])]
_ON_ALL_KINDS = frozenset(
    {
        "test_agreements", "test_audit", "test_consent", "test_consent_import", "test_decisions",
        "test_decisions_changes", "test_directory", "test_grants", "test_migrating", "test_notices",
        "test_overwriting", "test_people", "test_questions", "test_records", "test_tombstones",
        "test_withdrawal",
    }
)  # fmt: skip
"""Tests of what a database can do differently: types, order, constraints, locks, every query.

The others ask what is built on it: the same statements from a command line, on a server, by a rule.
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every kind of database where its module is about that, else on SQLite."""
    chosen = [
        mark
        for mark in metafunc.definition.iter_markers("parametrize")
        if mark.args and mark.args[0] == "records"
    ]
    if "records" in metafunc.fixturenames and not chosen:
        name = metafunc.module.__name__.rpartition(".")[2]
        kinds = _KINDS if name in _ON_ALL_KINDS else ["sqlite"]
        metafunc.parametrize("records", kinds, indirect=True)


@pytest.fixture
def records(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """Empty records, brought to the newest tables."""
    with sharing.fresh_records(tmp_path_factory.mktemp("records"), request.param) as database:
        yield database


@pytest.fixture
def now() -> datetime:
    """The time at which everything happens, unless a test says otherwise."""
    return sharing.NOW


@pytest.fixture
def site(records: Database, now: datetime) -> Site:
    """A small site: people with every role, two servers, one study with two participants."""
    return sharing.quick_site(records) if now == sharing.NOW else sharing.make_site(records, now)


@pytest.fixture
def home(
    records: Database, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Home:
    """The folder of these records; the command line finds it, and their database, by itself."""
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o700)
    url = records.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv(HOME_VARIABLE, str(folder))
    monkeypatch.setenv(DATABASE_VARIABLE, url)
    return Home(folder, url)


@pytest.fixture
def link_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of link tables lie in a folder of the test's own."""
    monkeypatch.setenv(link_file.KEYS_VARIABLE, str(tmp_path / "link-keys"))


@pytest.fixture
def session(site: Site) -> Iterator[Session]:
    """One transaction over the small site's records."""
    with site.records.transaction() as opened:
        yield opened


@pytest.fixture
def signers() -> Signers:
    """The keys of those who decide."""
    return Signers()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """An inside server with a source project of two subjects, and an outside server."""
    with watched.running_servers(tmp_path_factory.mktemp("servers")) as running:
        watched.add_source(running.service[INSIDE], "SOURCE", subjects=2)
        yield running


@pytest.fixture
def world(
    site: Site,
    home: Home,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> SharingSite:
    """The records of the small site, and both servers without what other tests left there."""
    monkeypatch.setenv("WINXNAT_LINK_KEYS", str(tmp_path_factory.mktemp("keys")))
    for alias, transport in servers.service.items():
        for project in watched.project_ids(transport):
            if (alias, project) != (INSIDE, "SOURCE"):
                watched.delete(transport, f"/data/projects/{project}")
    return watched.fresh_site(site.records, home, servers)


@pytest.fixture
def approve(world: SharingSite, site: Site) -> watched.Publish:
    """Takes releases of one family to APPROVED; the same people sign with their keys."""
    signers, family = Signers(), f"wat{next(_FAMILIES)}"

    def take(**varied: Any) -> int:
        named = {"family": family, "signers": signers, **varied}
        return watched.approved(world, site, **named)

    return take


@pytest.fixture
def publish(world: SharingSite, approve: watched.Publish) -> watched.Publish:
    """Publishes a release of one family."""

    def take(**varied: Any) -> int:
        release_pk = approve(**varied)
        apply_release(world, release_pk, service("a test"))
        return release_pk

    return take


@pytest.fixture
def granted(world: SharingSite, site: Site, publish: watched.Publish) -> str:
    """The project of an external release that external1 reads."""
    release_pk = publish()
    watched.grant(world, site, release_pk, "p-external1")
    run_cycle(world)
    return watched.project_of(world, release_pk)
