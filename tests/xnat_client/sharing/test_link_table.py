"""The link table: unreadable without its key, sealed for all but the custodian, destroyed."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.builders.sharing import Site
from xnat_client.errors import (
    BadInputError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    UsageError,
)
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.database.tables import AuditEntry
from xnat_client.sharing.home import Home
from xnat_client.sharing.link_table import (
    Link,
    LinkState,
    LinkTable,
    destroy_all_due,
    key_path,
    table_path,
)
from xnat_client.sharing.vocabulary import Role

SECRET = "SRC-SECRET-17"


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The custodian's place for keys, outside the records."""
    folder = tmp_path / "keys"
    monkeypatch.setenv("WINXNAT_LINK_KEYS", str(folder))
    return folder


@pytest.fixture
def table(home: Home, keys: Path, now: datetime) -> LinkTable:
    made = LinkTable.create(home, "brains", now=now, destroy_on=date(2026, 6, 1))
    made.add_all([Link(SECRET, "", "b7x"), Link(SECRET, "visit 1", "ses-a"), Link("S2", "", "c3")])
    assert keys.is_dir()
    return made


def custodian(site: Site) -> Actor:
    return site.acting(Role.CUSTODIAN)


def test_what_is_added_is_found_again(home: Home, table: LinkTable):
    """Another program with the key reads the lines."""
    del table

    assert LinkTable.open(home, "brains").labels_of(SECRET) == {"": "b7x", "visit 1": "ses-a"}


def test_no_label_stands_in_the_file(home: Home, table: LinkTable):
    """Neither source nor release labels can be read without the key."""
    content = table.path.read_bytes()

    assert SECRET.encode() not in content
    assert b"b7x" not in content
    assert not any(table.key_file.name in str(path) for path in home.folder.rglob("*"))


def test_both_files_are_their_owners_only(table: LinkTable):
    """Nobody else on the machine reads table or key."""
    assert table.path.stat().st_mode & 0o777 == 0o600
    assert table.key_file.stat().st_mode & 0o777 == 0o600


def test_keys_are_not_kept_with_the_records(home: Home, monkeypatch: pytest.MonkeyPatch):
    """A backup of the records must not hold both."""
    monkeypatch.setenv("WINXNAT_LINK_KEYS", str(home.folder / "links"))

    with pytest.raises(UsageError, match="backup"):
        key_path(home, "brains")


def test_any_changed_byte_is_noticed(home: Home, table: LinkTable):
    """Header, nonce, lines and tag are all authenticated."""
    content = bytearray(table.path.read_bytes())
    for place in range(0, len(content), 7):
        broken = bytearray(content)
        broken[place] ^= 1
        table.path.write_bytes(bytes(broken))

        with pytest.raises(BadInputError):
            LinkTable.open(home, "brains")


def test_a_sealed_header_cannot_be_written_open(site: Site, home: Home, table: LinkTable):
    """Who edits the clear state makes the table unreadable, not open."""
    with site.records.transaction() as session:
        table.seal(
            session, custodian(site), now=datetime.fromisoformat("2026-05-04T12:00:00+00:00")
        )
    table.path.write_bytes(table.path.read_bytes().replace(b'"sealed"', b'"open"', 1))

    with pytest.raises(BadInputError, match="cannot be read"):
        LinkTable.open(home, "brains")


def test_another_tables_key_opens_nothing(home: Home, table: LinkTable, now: datetime):
    """Each family has a key of its own."""
    other = LinkTable.create(home, "other", now=now)
    table.key_file.write_bytes(other.key_file.read_bytes())

    with pytest.raises(BadInputError, match="another table's"):
        LinkTable.open(home, "brains")


def test_without_its_key_a_table_is_closed(home: Home, table: LinkTable):
    """The text says who can help, and where keys are looked for."""
    table.key_file.unlink()

    with pytest.raises(NotFoundError, match="custodian"):
        LinkTable.open(home, "brains")


def test_a_source_keeps_its_label(table: LinkTable):
    """Neither a second label for a source nor a label for two sources is possible."""
    table.add(SECRET, "", "b7x")
    with pytest.raises(ConflictError, match="another release label"):
        table.add(SECRET, "", "z9")
    with pytest.raises(ConflictError, match="another source"):
        table.add("S3", "", "b7x")


def test_a_sealed_table_is_the_custodians(site: Site, table: LinkTable, now: datetime):
    """The service reads no more; the custodian does, and the log has it without the label."""
    with site.records.transaction() as session:
        table.seal(session, service("the build is done"), now=now)
        with pytest.raises(NotAllowedError, match="sealed"):
            table.labels_of(SECRET)
        with pytest.raises(NotAllowedError):
            table.lookup(session, site.acting(Role.LEAD), SECRET, 17, now=now)
        found = table.lookup(session, custodian(site), SECRET, 17, now=now)
        logged = session.scalars(
            sa.select(AuditEntry).where(AuditEntry.action == "link.lookup")
        ).one()

    assert found[""] == "b7x"
    assert logged.after == {"participant": 17}
    assert SECRET not in json.dumps([logged.before, logged.after, logged.object_id])


def test_a_label_leads_the_custodian_to_its_source(site: Site, table: LinkTable, now: datetime):
    """The way back, for a finding that a participant must know of."""
    with site.records.transaction() as session:
        assert table.source_of(session, custodian(site), "c3", now=now) == ("S2", "")


def test_a_destroyed_table_is_gone_for_everybody(
    site: Site, home: Home, table: LinkTable, now: datetime
):
    """Key and lines are gone; what remains says so and nothing else."""
    key = table.key_file.read_bytes()
    with site.records.transaction() as session:
        table.destroy(session, custodian(site), now=now)
        again = LinkTable.open(home, "brains")
        with pytest.raises(NotAllowedError, match="destroyed"):
            again.lookup(session, custodian(site), SECRET, 17, now=now)

    assert not table.key_file.exists()
    assert key.strip() not in table.path.read_bytes()
    assert again.state is LinkState.DESTROYED
    assert len(table.path.read_bytes()) < 250


def test_the_service_destroys_on_the_day(site: Site, table: LinkTable):
    """Not a day before, then at once, and once only."""
    day = datetime.fromisoformat("2026-06-01T00:00:00+00:00")
    with site.records.transaction() as session:
        before = day - timedelta(seconds=1)
        assert not table.destroy_when_due(session, service("the day has come"), now=before)
        with pytest.raises(NotAllowedError):
            table.destroy(session, service("too early"), now=before)
        assert table.destroy_when_due(session, service("the day has come"), now=day)
        assert not table.destroy_when_due(session, service("the day has come"), now=day)


def test_a_family_has_one_table(home: Home, table: LinkTable, now: datetime):
    """A second one would give a participant a second label."""
    assert table.path == table_path(home, "brains")
    with pytest.raises(ConflictError):
        LinkTable.create(home, "brains", now=now)


def test_a_key_that_others_can_read_is_refused(home: Home, table: LinkTable):
    """A careless copy of a key is noticed."""
    table.key_file.chmod(0o644)

    with pytest.raises(UsageError, match="chmod 600"):
        LinkTable.open(home, "brains")


def test_due_tables_are_destroyed_even_without_their_key(
    site: Site, home: Home, table: LinkTable, now: datetime
):
    """One whose day has come, lost key or not; the others stay."""
    LinkTable.create(home, "kept", now=now)
    LinkTable.create(home, "later", now=now, destroy_on=date(2026, 6, 2))
    table.key_file.unlink()
    day = datetime.fromisoformat("2026-06-01T00:00:00+00:00")

    with site.records.transaction() as session:
        assert destroy_all_due(session, home, now=now) == []
        assert destroy_all_due(session, home, now=day) == ["brains"]

    assert LinkTable.open(home, "brains").state is LinkState.DESTROYED
    assert LinkTable.open(home, "later").state is LinkState.OPEN
