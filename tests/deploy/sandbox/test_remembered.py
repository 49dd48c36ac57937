"""Answers that are kept in memory: never older than the last change that was answered."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.sandbox.remembered import MAX_KEPT, Remembered
from deploy.sandbox.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a database with one project, P."""
    store = Store(tmp_path / "sandbox.sqlite")
    with store.write() as connection:
        connection.execute(
            "INSERT INTO project (id, name, secondary_id, accessibility, insert_date, insert_user,"
            " last_modified) VALUES ('P', '1', 'P', 'private', '', '', '')"
        )
    return store


def _name(store: Store) -> str:
    return str(store.connection.execute("SELECT name FROM project").fetchone()[0])


def _rename(store: Store, name: str) -> None:
    with store.write() as connection:
        connection.execute("UPDATE project SET name = ?", (name,))


def _elsewhere(action: Callable[[], None]) -> None:
    """Do something in another thread, which has a connection of its own."""
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def test_an_answer_is_kept_until_something_changes(store: Store) -> None:
    """It is found once; after a change in another thread it is found again."""
    kept: Remembered[str, str] = Remembered(store)
    asked: list[str] = []

    def find() -> str:
        asked.append(_name(store))
        return asked[-1]

    first = [kept.get("name", find) for _ in range(3)]
    _elsewhere(lambda: _rename(store, "2"))
    second = [kept.get("name", find) for _ in range(3)]

    assert (first, second, asked) == (["1"] * 3, ["2"] * 3, ["1", "2"])


def test_what_an_old_view_shows_is_not_kept(store: Store) -> None:
    """A view that was opened before a change shows the old value to itself only."""
    kept: Remembered[str, str] = Remembered(store)

    with store.read():
        _name(store)
        _elsewhere(lambda: _rename(store, "2"))
        within = kept.get("name", lambda: _name(store))
    after = kept.get("name", lambda: _name(store))

    assert (within, after) == ("1", "2")


def test_a_transaction_sees_its_own_changes_and_leaves_none_behind(store: Store) -> None:
    """What a transaction changed and took back was never kept."""
    kept: Remembered[str, str] = Remembered(store)
    kept.get("name", lambda: _name(store))

    with pytest.raises(LookupError), store.write() as connection:  # noqa: PT012 - the order is the test
        connection.execute("UPDATE project SET name = '2'")
        within = kept.get("name", lambda: _name(store))
        raise LookupError

    assert (within, kept.get("name", lambda: _name(store))) == ("2", "1")


def test_a_late_answer_falls_into_its_own_time(store: Store) -> None:
    """An answer that was being found while something changed is not taken for the new one."""
    kept: Remembered[str, str] = Remembered(store)

    def find_late() -> str:
        name = _name(store)
        _elsewhere(lambda: _rename(store, "2"))
        return name

    assert kept.get("name", find_late) == "1"
    assert kept.get("name", lambda: _name(store)) == "2"


def test_uploads_change_nothing_that_is_kept(store: Store) -> None:
    """The moment of a resource's last change is no reason to forget everything."""
    with store.write() as connection:
        connection.execute(
            "INSERT INTO resource (owner_kind, owner_id, label, dir, insert_date, insert_user,"
            " last_modified) VALUES ('project', 'P', 'R', '', '', '', '')"
        )
    before = store.standing
    with store.write() as connection:
        connection.execute("UPDATE resource SET last_modified = 'now'")
        connection.execute(
            "INSERT INTO file (resource_id, path, size, md5, created_at) VALUES (1, 'a', 1, '', '')"
        )
    between = store.standing
    with store.write() as connection:
        connection.execute("UPDATE resource SET label = 'Q'")

    assert before is not None
    assert (between, store.standing) == (before, before + 1)


def test_rights_change_in_transactions_of_the_store_only(store: Store) -> None:
    """A statement outside of one is refused: nobody could be told of it."""
    with pytest.raises(sqlite3.OperationalError):
        store.connection.execute("UPDATE project SET accessibility = 'public'")

    assert store.connection.execute("SELECT accessibility FROM project").fetchone()[0] == "private"


def test_no_more_than_the_limit_is_kept(store: Store) -> None:
    """A client that asks for ever new things does not fill the memory."""
    kept: Remembered[int, int] = Remembered(store)

    for number in range(MAX_KEPT * 2 + 10):
        kept.get(number, lambda: 0)

    assert len(kept._kept[1]) <= MAX_KEPT
