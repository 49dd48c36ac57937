"""What the server answers when its own database refuses."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.app import create_app
from deploy.sandbox.settings import Settings
from deploy.sandbox.site import Site


@pytest.fixture
def answer(tmp_path: Path) -> Any:
    """Return what a server makes of an error of its database."""
    handlers: Any = create_app(Site(Settings(tmp_path, engine="process"))).exception_handlers
    return lambda error: handlers[sqlite3.OperationalError](None, error)


def test_a_full_disk_is_no_fault_of_the_server(answer: Any) -> None:
    """SQLite's "disk is full" is 507; here the database may have three pages."""
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count=3")
    connection.execute("CREATE TABLE filled (content BLOB)")
    with pytest.raises(sqlite3.OperationalError) as raised:
        connection.execute("INSERT INTO filled VALUES (zeroblob(100000))")

    assert answer(raised.value).status_code == 507


def test_other_errors_of_the_database_stay_faults(answer: Any) -> None:
    """They are raised again, for the log of the server's faults."""
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(":memory:").execute("SELECT * FROM nowhere")

    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        answer(raised.value)
