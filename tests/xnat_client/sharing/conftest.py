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
_ON_ALL_KINDS = frozenset(
    {
        "test_agreements", "test_audit", "test_consent", "test_consent_import", "test_decisions",
        "test_directory", "test_grants", "test_migrating", "test_notices", "test_overwriting",
        "test_people", "test_questions", "test_records", "test_tombstones", "test_withdrawal",
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
