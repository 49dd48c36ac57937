"""Files of one owner: nobody else reads them at any moment, and they are whole or not there."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_client.errors import BadInputError
from xnat_client.private_files import make_private, private_text
from xnat_client.sharing.database.store import Database


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The widest rights that new files can have."""
    former = os.umask(0)
    yield
    os.umask(former)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_rights_of_others_are_taken_away(tmp_path: Path) -> None:
    """A file that others could read keeps its content, and only its owner reads it."""
    path = tmp_path / "list"
    path.write_text("kept")
    path.chmod(0o644)

    make_private(path)

    assert (_mode(path), path.read_text()) == (0o600, "kept")


def test_text_is_private_while_it_is_written(tmp_path: Path) -> None:
    """No file of the folder is readable by others, before and after."""
    with private_text(tmp_path / "page.html") as page:
        page.write("é")
        assert [_mode(one) for one in tmp_path.iterdir()] == [0o600]

    assert _mode(tmp_path / "page.html") == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_bytes() == b"\xc3\xa9"


def test_broken_off_text_leaves_what_was_there(tmp_path: Path) -> None:
    """An interruption neither cuts the former file nor leaves a part of the new one."""
    path = tmp_path / "page.html"
    path.write_text("former")

    def write() -> None:
        with private_text(path) as page:
            page.write("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()

    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"page.html": "former"}


def test_place_that_is_no_place_is_bad_input(tmp_path: Path) -> None:
    """The sentence names the file without its folder."""
    with (
        pytest.raises(BadInputError, match=r"^Cannot write page\.html: No such file"),
        private_text(tmp_path / "none" / "page.html"),
    ):
        pass


def test_place_without_room_for_the_end_is_bad_input(tmp_path: Path) -> None:
    """Nothing is left of what could not be written whole, and the former file is as it was."""
    path = tmp_path / "page.html"
    path.write_text("former")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with (
            pytest.raises(BadInputError, match=r"^Cannot write page\.html: File too large"),
            private_text(path) as page,
        ):
            page.write("x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"page.html": "former"}


def test_records_and_their_journals_are_private(tmp_path: Path) -> None:
    """The database of the records and SQLite's files beside it, while it is open for writing."""
    database = Database(f"sqlite:///{tmp_path / 'sharing.sqlite'}")
    try:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x)")
            found = {one.name: _mode(one) for one in tmp_path.iterdir()}
    finally:
        database.close()

    names = ("sharing.sqlite", "sharing.sqlite-wal", "sharing.sqlite-shm")
    assert found == dict.fromkeys(names, 0o600)


def test_what_is_committed_beside_a_second_connection_is_kept(tmp_path: Path) -> None:
    """Another program that opens and closes the records does not take the journal away.

    It does where this process has lost its locks, as after opening and closing the file itself.
    """
    path = tmp_path / "sharing.sqlite"
    first, second = (Database(f"sqlite:///{path}") for _ in range(2))
    reading = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM t')"
    try:
        with first.engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x)")
            connection.commit()
            second.engine.connect().close()
            subprocess.run([sys.executable, "-c", reading, str(path)], check=True)
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
            connection.commit()
            beside = sqlite3.connect(path)
            assert beside.execute("SELECT x FROM t").fetchall() == [(1,)]
            beside.close()
    finally:
        first.close()
        second.close()


def test_text_is_not_written_into_what_somebody_else_laid_there(tmp_path: Path) -> None:
    """A link at the place of the part does not lead the text elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    (tmp_path / f".page.html.{os.getpid()}.part").symlink_to(elsewhere)

    with private_text(tmp_path / "page.html") as page:
        page.write("text")

    assert elsewhere.read_text() == ""
    assert (tmp_path / "page.html").read_text() == "text"
