"""Files of one owner: nobody else reads them at any moment, and they are whole or not there."""

from __future__ import annotations

import os
import stat
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
