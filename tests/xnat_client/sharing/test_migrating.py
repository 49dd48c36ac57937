"""Records are brought to this program's tables, all at once or not at all."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.builders.sharing import fresh_records
from xnat_client.errors import BadInputError, UnreachableError, UsageError
from xnat_client.sharing.database import migrating, tables
from xnat_client.sharing.database.migrations import HEAD
from xnat_client.sharing.database.store import Database


def schema(engine: sa.Engine) -> dict[str, object]:
    """Everything that the database itself says of its tables."""
    inspector = sa.inspect(engine)
    found: dict[str, object] = {}
    for name in sorted(inspector.get_table_names()):
        if name == "alembic_version":
            continue
        found[name] = {
            "columns": [
                (one["name"], str(one["type"]), one["nullable"], one["default"])
                for one in inspector.get_columns(name)
            ],
            "primary key": inspector.get_pk_constraint(name),
            "foreign keys": sorted(map(str, inspector.get_foreign_keys(name))),
            "unique": sorted(map(str, inspector.get_unique_constraints(name))),
            "checks": sorted(
                (str(one["name"]), re.sub(r"\s", "", str(one["sqltext"])))
                for one in inspector.get_check_constraints(name)
            ),
            "indexes": sorted(map(str, inspector.get_indexes(name))),
        }
    return found


def test_alembic_finds_no_difference(records: Database):
    """The migrations lead to what the tables demand."""
    assert migrating.differences(records.engine) == []


def test_constraints_are_those_of_the_tables(records: Database):
    """What Alembic does not compare (checks, names) is the same too."""
    migrated = schema(records.engine)
    with records.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE alembic_version"))
        tables.Base.metadata.drop_all(connection)
        tables.Base.metadata.create_all(connection)

    assert schema(records.engine) == migrated


def test_the_migration_is_the_one_that_the_tables_make():
    """Nobody edited the tables without making the migration again."""
    there = Path(migrating.__file__).parent / "migrations" / f"v{HEAD}_records.py"

    made = migrating.initial_migration()

    assert re.sub(r"[\s,()]", "", there.read_text()) == re.sub(
        r"[\s,()]", "", made.replace("'", '"')
    )


def test_a_word_that_is_none_is_refused_by_the_database(records: Database):
    """Another program cannot write a level that does not exist."""
    row = {"alias": "x", "address": "y", "side": "between", "service_account": ""}

    with pytest.raises(sa.exc.IntegrityError), records.engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO server VALUES (:alias, :address, :side, :service_account)"), row
        )


def test_records_of_a_newer_program_are_not_touched(records: Database):
    """An older program refuses records that a newer one wrote."""
    with records.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    url = records.engine.url.render_as_string(hide_password=False)

    with pytest.raises(UsageError, match="newer winxnat"):
        migrating.open_current(url)


def test_looking_for_records_makes_none(tmp_path: Path):
    """Where no records may be made, a missing file stays missing."""
    path = tmp_path / "records.sqlite"

    with pytest.raises(UsageError, match="share init"):
        migrating.open_current(f"sqlite:///{path}", create=False)

    assert not path.exists()


def test_another_kind_of_database_is_refused_without_its_address():
    """The address may hold a password, so it is not repeated."""
    with pytest.raises(UsageError) as caught:
        migrating.open_current("mysql://root:hunter2@db/records")

    assert "hunter2" not in str(caught.value)


def test_a_database_that_does_not_answer_is_said_to():
    """Neither its address nor its password is repeated."""
    address = "postgresql://somebody:hunter2@127.0.0.1:1/records"

    with pytest.raises(UnreachableError, match="does not answer") as caught:
        migrating.open_current(address)

    assert "hunter2" not in str(caught.value)


def test_another_file_is_no_database(tmp_path: Path):
    """A damaged file is not taken for an empty one."""
    path = tmp_path / "records.sqlite"
    path.write_bytes(b"something else altogether" * 100)

    with pytest.raises(BadInputError, match="no database"):
        migrating.open_current(f"sqlite:///{path}")


def test_a_full_disk_changes_nothing_and_is_said(tmp_path: Path):
    """What SQLite says is told, and the records are as they were."""
    database = migrating.open_current(f"sqlite:///{tmp_path / 'records.sqlite'}")

    def fill() -> None:
        with database.transaction() as session:
            [pages] = session.execute(sa.text("PRAGMA page_count")).one()
            session.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
            session.execute(sa.text("CREATE TABLE notes (x)"))
            session.execute(sa.text("INSERT INTO notes VALUES (:x)"), {"x": "secret" * 100_000})

    with pytest.raises(UnreachableError, match="database or disk is full") as caught:
        fill()

    assert "secret" not in str(caught.value)
    assert "notes" not in sa.inspect(database.engine).get_table_names()
    database.close()


def test_two_programs_may_open_new_records_at_once(tmp_path: Path):
    """One of them makes the tables, the other waits and finds them."""
    url = f"sqlite:///{tmp_path / 'records.sqlite'}"
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            migrating.open_current(url).close()
        except BaseException as error:  # noqa: BLE001  # handed to the test below
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_step_that_breaks_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Half a migration is taken back."""
    url = f"sqlite:///{tmp_path / 'records.sqlite'}"
    real = tables.Base.metadata.naming_convention
    monkeypatch.setattr("alembic.op.create_index", _break)

    with pytest.raises(RuntimeError, match="broken on purpose"):
        migrating.open_current(url)

    monkeypatch.undo()
    assert real
    engine = sa.create_engine(url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def _break(*_: object, **__: object) -> None:
    raise RuntimeError("broken on purpose")


def test_fresh_records_are_each_their_own(tmp_path: Path):
    """What one test writes no other sees."""
    with fresh_records(tmp_path) as one, fresh_records(tmp_path) as other:
        with one.transaction() as session:
            session.add(tables.Person(person_id="p", name="P"))
        with other.transaction() as session:
            assert session.get(tables.Person, "p") is None


def test_records_that_lack_a_column_are_named(tmp_path: Path):
    """Tables of an unreleased version are refused with what they lack, before a query meets it."""
    url = f"sqlite:///{tmp_path / 'records.sqlite'}"
    migrating.open_current(url).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE participant DROP COLUMN seal_salt"))
    engine.dispose()

    with pytest.raises(UsageError, match="table participant lacks seal_salt"):
        migrating.open_current(url)
