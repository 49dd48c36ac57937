"""Bringing a database to this program's tables: all of it in one transaction, or nothing.

While no site has records yet there is one initial migration, made from ``tables``::

    python -m xnat_client.sharing.database.migrating --regenerate

makes it again after ``tables`` was edited. Not here: the tables (``tables``), transactions
(``store``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from xnat_client.errors import BadInputError, UsageError
from xnat_client.sharing.database import tables
from xnat_client.sharing.database.migrations import HEAD
from xnat_client.sharing.database.store import Database, unusable

_MIGRATIONS_DIR = Path(__file__).parent / "migrations"
_LOCK_NUMBER = 0x77696E79
"""Key of PostgreSQL's advisory lock that lets one program migrate at a time."""

_TEMPLATE = '''"""The tables of the records as the first sites have them.

Made from ``tables`` by ``python -m xnat_client.sharing.database.migrating --regenerate``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    {upgrades}


def downgrade() -> None:
    """Drop all tables."""
    {downgrades}
'''


class DamagedRecordsError(BadInputError):
    """The file of the records is no database, or its pages cannot be read."""


def open_current(url: str, *, create: bool = True) -> Database:
    """Open the records and bring them to this program's tables.

    Parameters
    ----------
    url : str
        SQLAlchemy address of SQLite or PostgreSQL; it may hold a password and is never printed.
    create : bool
        Whether records are made where there are none.

    Raises
    ------
    UsageError
        There are no records (and none may be made), they were written by a newer program, or the
        address is of another kind of database, or of PostgreSQL without its driver.
    UnreachableError
        The database does not answer, or refuses the account.
    DamagedRecordsError
        The file is no database.
    """
    try:
        database = Database(_with_driver(url))
    except ModuleNotFoundError as error:
        raise UsageError(
            "Records in PostgreSQL need its driver; install winxnat[sharing-postgresql]."
        ) from error
    try:
        _bring_up_to_date(database.engine, create=create)
    except sa.exc.OperationalError as error:
        database.close()
        raise unusable(database.engine, error) from error
    except sa.exc.DatabaseError as error:
        database.close()
        raise DamagedRecordsError(
            "The file of the sharing records is no database, or is damaged. "
            "Restore it from a backup; the list of withdrawals beside it will be obeyed."
        ) from error
    except BaseException:
        database.close()
        raise
    return database


def _bring_up_to_date(engine: sa.Engine, *, create: bool) -> None:
    found = _revision(engine)
    if found is None and not create:
        raise UsageError(
            "There are no sharing records at this place yet. "
            "Make them with 'winxnat share init', or name their folder with --home."
        )
    if found != HEAD:
        _migrate(engine)
    else:
        _require_columns(engine)


def _require_columns(engine: sa.Engine) -> None:
    """Refuse records that carry this revision's number but not its columns.

    The initial migration is made again until the first site has records, so an unreleased
    version may have left such ones.
    """
    there = sa.inspect(engine).get_multi_columns()
    for table in tables.Base.metadata.sorted_tables:
        names = {column["name"] for column in there.get((None, table.name), [])}
        lacking = sorted(column.name for column in table.columns if column.name not in names)
        if lacking:
            raise UsageError(
                "The sharing records were made by an unreleased version of winxnat: table "
                f"{table.name} lacks {', '.join(lacking)}. Go on with that version, or name "
                "another folder with --home and make new records with 'winxnat share init'."
            )


def _with_driver(url: str) -> str:
    """Return the address with the driver that this program brings."""
    kind, _, rest = url.partition("://")
    if kind == "sqlite":
        return url
    if kind in {"postgresql", "postgres", "postgresql+psycopg"}:
        return f"postgresql+psycopg://{rest}"
    raise UsageError(
        "The sharing records can be kept in SQLite or PostgreSQL only. "
        "Give an address that starts with sqlite:// or postgresql://."
    )


def _revision(engine: sa.Engine) -> str | None:
    """Return the revision of the tables, None where there are none."""
    if engine.dialect.name == "sqlite" and not _sqlite_file_is_there(engine.url.database):
        return None  # connecting would leave an empty file behind
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        text = sa.text("SELECT version_num FROM alembic_version")
        found: str | None = connection.execute(text).scalar()
        return found


def _sqlite_file_is_there(path: str | None) -> bool:
    return path in {None, "", ":memory:"} or Path(str(path)).exists()


def _migrate(engine: sa.Engine) -> None:
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415  # a third of a second
    from alembic.script import ScriptDirectory  # noqa: PLC0415  # slow to load; most calls find the tables as they are

    scripts = ScriptDirectory(str(_MIGRATIONS_DIR), version_locations=[str(_MIGRATIONS_DIR)])

    def steps(revision: Any, _context: Any) -> Iterable[Any]:
        known = {one.revision for one in scripts.walk_revisions()}
        if set(revision) - known:
            raise UsageError(
                "The sharing records were written by a newer winxnat than this one. "
                "Install that version, or restore the records as they were before it."
            )
        upgrades: Iterable[Any] = scripts._upgrade_revs(HEAD, revision)  # noqa: SLF001  # Alembic's own commands do so
        return upgrades

    environment = EnvironmentContext(_config(), scripts, fn=steps)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
        # The tables' metadata lends its names of constraints, nothing else.
        environment.configure(
            connection=connection, transactional_ddl=True, target_metadata=tables.Base.metadata
        )
        with environment:
            environment.run_migrations()


def _config() -> Any:
    from alembic.config import Config  # noqa: PLC0415  # slow to load; most calls find the tables as they are

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS_DIR).replace("%", "%%"))
    return config


def differences(engine: sa.Engine) -> list[Any]:
    """Return what ``tables`` demands and a database does not have, as Alembic's operations.

    Check constraints are not among what Alembic compares.
    """
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415  # slow to load; most calls find the tables as they are
    from alembic.migration import MigrationContext  # noqa: PLC0415  # slow to load; most calls find the tables as they are

    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, tables.Base.metadata))


def initial_migration() -> str:
    """Return the source of the initial migration that ``tables`` demands."""
    from alembic.autogenerate import produce_migrations, render_python_code  # noqa: PLC0415  # slow to load; most calls find the tables as they are
    from alembic.migration import MigrationContext  # noqa: PLC0415  # slow to load; most calls find the tables as they are

    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        script = produce_migrations(context, tables.Base.metadata)
    engine.dispose()
    if script.upgrade_ops is None or script.downgrade_ops is None:
        raise TypeError("Alembic made no operations")
    code = [
        render_python_code(ops, render_item=_render_type).removeprefix(_ALEMBIC_COMMENT)
        for ops in (script.upgrade_ops, script.downgrade_ops)
    ]
    return _TEMPLATE.format(revision=HEAD, upgrades=code[0].strip(), downgrades=code[1].strip())


_ALEMBIC_COMMENT = "# ### commands auto generated by Alembic - please adjust! ###"


def _render_type(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write column types of ours as what they are in the database: a step must not change later."""
    if kind == "type" and isinstance(item, tables.UtcTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, sa.Enum):
        words = ", ".join(repr(word) for word in item.enums)
        return (
            f"sa.Enum({words}, name={item.name!r}, native_enum=False, create_constraint=True, "
            f"length={item.length})"
        )
    return False


def main() -> None:
    """Make the initial migration again from the tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--regenerate", action="store_true", required=True)
    parser.parse_args()
    path = _MIGRATIONS_DIR / f"v{HEAD}_records.py"
    path.write_text(initial_migration(), encoding="utf-8")
    for action in (["format", "-q"], ["check", "-q", "--fix"]):
        subprocess.run([sys.executable, "-m", "ruff", *action, str(path)], check=True)


if __name__ == "__main__":
    main()
