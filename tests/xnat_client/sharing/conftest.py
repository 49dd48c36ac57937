"""Fresh records and a small site, on SQLite and, where WINXNAT_TEST_POSTGRESQL says, PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.builders import sharing
from tests.builders.sharing import Site
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.home import DATABASE_VARIABLE, HOME_VARIABLE, Home

_KINDS = ["sqlite", *(["postgresql"] if os.environ.get(sharing.POSTGRESQL_VARIABLE) else [])]


@pytest.fixture(params=_KINDS)
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
    return sharing.make_site(records, now)


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
