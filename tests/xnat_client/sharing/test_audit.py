"""The audit log: what was changed behind its back is found and located, on a real database."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.builders.sharing import Site, fresh_records, make_site
from xnat_client.errors import BadInputError, UsageError
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.audit import chain, checkpoints, seals
from xnat_client.sharing.audit.verify import Verdict, verify
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import (
    AuditEntry,
    ConsentRecord,
    Participant,
    Person,
)
from xnat_client.sharing.home import Home
from xnat_client.sharing.vocabulary import Role

_ADDED_LINE = """
    INSERT INTO consent_record
    SELECT 77, participant_pk, event, form_id, form_version, highest_level, data_types, given_on,
           recorded_at, recorded_by, origin
    FROM consent_record WHERE consent_pk = 1
"""


def check(
    records: Database, marks: list[checkpoints.Checkpoint] | None = None, key: str = ""
) -> Verdict:
    with records.transaction() as session:
        return verify(session, marks or [], key)


def outside(records: Database, statement: str, **values: object) -> None:
    """Change the database as another program would, past our sessions and their guards."""
    with records.engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def places(verdict: Verdict) -> list[str]:
    return [one.place for one in verdict.breaks]


def add_entries(records: Database, count: int, now: datetime) -> None:
    with records.transaction() as session:
        for number in range(count):
            change = chain.Change("test.note", "note", str(number))
            chain.append(session, service("a test"), change, now=now)


def test_log_of_a_whole_site_verifies(site: Site) -> None:
    """Everything the site's builder wrote fits the log, rows without own entries included."""
    verdict = check(site.records)

    assert verdict.is_whole, verdict.breaks
    assert verdict.rows > 30


def test_hash_is_that_of_the_canonical_json_of_all_fields(records: Database, now: datetime) -> None:
    """The hash can be recomputed from the row by a few lines that share nothing with the code."""
    add_entries(records, 2, now)

    with records.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT * FROM audit_entry ORDER BY sequence")).mappings()
        found = [dict(row) for row in rows]
    for row in found:
        said = {name: row[name] for name in row if name != "hash"}
        for name in ("before", "after", "sealed"):
            said[name] = json.loads(row[name]) if isinstance(row[name], str) else row[name]
        said["at"] = "2026-05-04T12:00:00.000000+00:00"
        text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        assert row["hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert found[1]["previous_hash"] == found[0]["hash"]
    assert found[0]["previous_hash"] == "0" * 64


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reason", "a better reason"),
        ("actor_id", "p-somebody"),
        ("role", "officer"),
        ("action", "test.other"),
        ("object_id", "999"),
        ("request_id", "0"),
        ("source", "api"),
        ("after", '{"x": 1}'),
        ("before", '{"x": 1}'),
        ("sealed", "[]"),
        ("previous_hash", "f" * 64),
        ("hash", "f" * 64),
    ],
)
def test_changed_field_is_found_at_its_entry(
    records: Database, now: datetime, column: str, value: str
) -> None:
    """Each field of an entry is bound: a change of any is found, at that entry."""
    add_entries(records, 5, now)

    outside(records, f"UPDATE audit_entry SET {column} = :value WHERE sequence = 3", value=value)  # noqa: S608  # a column's name

    verdict = check(records)
    assert "entry 3" in places(verdict)
    assert set(places(verdict)) <= {"entry 3", "entry 4"}


def test_entry_rewritten_with_a_right_hash_is_found_at_the_next(
    records: Database, now: datetime
) -> None:
    """Who recomputes an entry's own hash is betrayed by the entry after it."""
    add_entries(records, 5, now)
    with records.transaction() as session:
        entry = session.get(AuditEntry, 3)
        assert entry is not None
        session.expunge(entry)
    entry.reason = "a better reason"
    forged = chain.entry_hash(entry)

    outside(
        records,
        "UPDATE audit_entry SET reason = :reason, hash = :hash WHERE sequence = 3",
        reason=entry.reason,
        hash=forged,
    )

    assert places(check(records)) == ["entry 4"]


def test_deleted_entries_are_named(records: Database, now: datetime) -> None:
    """A hole in the log is reported with its first and last number."""
    add_entries(records, 6, now)

    outside(records, "DELETE FROM audit_entry WHERE sequence IN (3, 4)")

    assert places(check(records)) == ["entries 3 to 4"]


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        (
            "UPDATE consent_record SET given_on = '2026-01-16' WHERE consent_pk = 2",
            "row 2 of consent_record",
        ),
        ("DELETE FROM consent_record WHERE consent_pk = 1", "row 1 of consent_record"),
        (_ADDED_LINE, "row 77 of consent_record"),
        (
            "UPDATE consent_form SET duo_codes = '[]'",
            "row open-brain, 2.0 of consent_form",
        ),
        (
            "UPDATE person SET public_key = 'mine' WHERE person_id = 'p-lead'",
            "row p-lead of person",
        ),
        (
            "UPDATE role_assignment SET person_id = 'p-outsider' WHERE role = 'steward'",
            "row 1 of role_assignment",
        ),
        (
            "UPDATE participant SET source_label = 'another' WHERE participant_pk = 2",
            "row 2 of participant",
        ),
    ],
)
def test_table_edited_by_another_program_is_found_at_its_row(
    site: Site, statement: str, place: str
) -> None:
    """The log is whole, and still every edited, added or removed row is located."""
    outside(site.records, statement)

    assert places(check(site.records)) == [place]


def test_seals_of_participants_tell_no_label_once_the_rows_are_gone(site: Site) -> None:
    """Trying labels, with all else known of a row, does not give its seal: the salt is missing."""
    with site.records.transaction() as session:
        rows = list(session.scalars(sa.select(Participant)))
        entries = session.scalars(sa.select(AuditEntry))
        logged = {seal for one in entries for seal in one.sealed.get("participant", {}).values()}
        real = {seals.row_digest(row) for row in rows}
        known = [{**_values(row), "seal_salt": ""} for row in rows]

    tried = {seals.digest_of(Participant, values) for values in known}

    assert len({row.seal_salt for row in rows}) == len(rows) == len(real)
    assert real <= logged
    assert not tried & logged


def _values(row: Participant) -> dict[str, object]:
    columns = Participant.__table__.columns
    return {column.key: getattr(row, column.key) for column in columns}


def test_word_that_is_none_is_reported_and_not_stumbled_over(tmp_path: Path) -> None:
    """A stored word outside its vocabulary, written past SQLite's own check, is located."""
    with fresh_records(tmp_path) as records:
        make_site(records)
        with records.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            connection.exec_driver_sql(
                "UPDATE consent_record SET event = 'gIven' WHERE consent_pk = 2"
            )
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")

        verdict = check(records)

    assert places(verdict) == ["row 2 of consent_record"]
    assert "cannot be read" in verdict.breaks[0].what


def test_row_written_without_an_entry_is_sealed_by_the_transaction(
    records: Database, now: datetime
) -> None:
    """Nothing that decides who may read is ever written without the log holding its digest."""
    with records.transaction() as session:
        session.add(Person(person_id="p", name="Somebody"))

    assert check(records).is_whole
    outside(records, "UPDATE person SET from_directory = true")
    assert places(check(records)) == ["row p of person"]
    del now


def test_name_of_a_person_may_be_corrected_without_a_break(site: Site) -> None:
    """Names and addresses decide nothing and stand in no seal."""
    outside(site.records, "UPDATE person SET name = 'New Name', email = 'new@people.test'")

    assert check(site.records).is_whole


def test_changed_row_is_sealed_anew(site: Site) -> None:
    """An ordinary change through the records leaves the log whole."""
    with site.records.transaction() as session:
        person = session.get(Person, site.outsider)
        assert person is not None
        person.active = False

    assert check(site.records).is_whole


def test_row_of_a_part_that_was_taken_back_leaves_no_seal(records: Database) -> None:
    """A savepoint that is rolled back leaves neither a row nor a seal for it."""
    with records.transaction() as session:
        session.add(Person(person_id="stays", name="Somebody"))
        session.flush()
        part = session.begin_nested()
        session.add(Person(person_id="goes", name="Somebody"))
        session.flush()
        part.rollback()

    verdict = check(records)
    assert verdict.is_whole, verdict.breaks
    assert verdict.rows == 1


@pytest.mark.parametrize("what", ["change", "delete"])
def test_consent_line_cannot_be_changed_through_the_records(site: Site, what: str) -> None:
    """The history of consent only grows, whoever writes the code."""

    def act() -> None:
        with site.records.transaction() as session:
            line = session.get_one(ConsentRecord, 1)
            if what == "change":
                line.form_version = "9"
            else:
                session.delete(line)

    with pytest.raises(seals.UnsealedChangeError, match="never changed or deleted"):
        act()


def test_statement_over_many_sealed_rows_is_refused(site: Site) -> None:
    """A statement that would leave rows without a seal is refused before it runs."""
    with (
        pytest.raises(seals.UnsealedChangeError, match="sealed"),
        site.records.transaction() as session,
    ):
        session.execute(sa.update(Person).values(active=False))


def test_action_without_a_reason_is_refused() -> None:
    """The log never holds an empty reason."""
    with pytest.raises(UsageError, match="reason"):
        Actor("p-lead", Role.LEAD, "  ")


def mark(records: Database, home: Home, now: datetime) -> checkpoints.Checkpoint:
    with records.transaction() as session:
        return checkpoints.make_checkpoint(session, home, service("daily"), now=now)


def test_log_cut_off_at_its_end_is_found_by_a_checkpoint(
    records: Database, home: Home, now: datetime
) -> None:
    """A log without its last entries is whole in itself; only the checkpoint tells."""
    add_entries(records, 4, now)
    seen = mark(records, home, now)
    outside(records, "DELETE FROM audit_entry WHERE sequence > 2")

    assert check(records).is_whole
    verdict = check(records, [seen])

    assert len(verdict.breaks) == 1
    assert "entry 5" in verdict.breaks[0].what
    assert "ends at entry 2" in verdict.breaks[0].what


def test_log_rewritten_after_the_cut_is_found_by_a_checkpoint(
    records: Database, home: Home, now: datetime
) -> None:
    """Entries put in the place of those cut off do not satisfy the checkpoint."""
    add_entries(records, 4, now)
    seen = mark(records, home, now)
    outside(records, "DELETE FROM audit_entry WHERE sequence > 2")
    add_entries(records, 9, now)

    assert check(records).is_whole
    assert "rewritten" in check(records, [seen]).breaks[0].what


def test_checkpoint_stays_right_while_the_log_grows(
    records: Database, home: Home, now: datetime
) -> None:
    """Checkpoints of all ages fit a log that only grew, also when read back from their files."""
    made = []
    for _ in range(3):
        add_entries(records, 2, now)
        made.append(checkpoints.write_checkpoint(mark(records, home, now), home.checkpoints_dir))

    found = checkpoints.read_checkpoints(home.checkpoints_dir)

    assert len(found) == len(made) == 3
    assert check(records, found, found[0].public_key).is_whole


@pytest.mark.parametrize("field", ["sequence", "head", "at", "signature"])
def test_forged_checkpoint_is_found(
    records: Database, home: Home, now: datetime, field: str
) -> None:
    """No field of a checkpoint can be changed without its signature telling."""
    add_entries(records, 2, now)
    seen = mark(records, home, now)
    forged = {
        "sequence": replace(seen, sequence=seen.sequence - 1),
        "head": replace(seen, head="0" * 64),
        "at": replace(seen, at=seen.at + timedelta(seconds=1)),
        "signature": replace(seen, signature=seen.signature[::-1]),
    }[field]

    assert "signature" in check(records, [forged]).breaks[0].what


def test_checkpoint_of_another_key_is_found_by_the_key_noted_elsewhere(
    records: Database, home: Home, now: datetime
) -> None:
    """Who makes a new site key cannot pass its checkpoints off as the site's."""
    add_entries(records, 2, now)
    noted = mark(records, home, now).public_key
    (home.folder / "site-key.pem").unlink()
    forged = mark(records, home, now)

    assert check(records, [forged]).is_whole
    assert not check(records, [forged], noted).is_whole


def test_signature_is_verified_by_another_program(
    records: Database, home: Home, now: datetime, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """OpenSSL accepts the signature of a checkpoint, so nobody depends on this program for it."""
    folder = tmp_path_factory.mktemp("openssl")
    add_entries(records, 2, now)
    document = json.loads(mark(records, home, now).as_json())
    signature = base64.b64decode(document.pop("signature"))
    # RFC 8410: the fixed beginning of an Ed25519 SubjectPublicKeyInfo.
    der = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(document["key"])
    (folder / "key.der").write_bytes(der)
    (folder / "signature").write_bytes(signature)
    content = json.dumps(document, sort_keys=True, separators=(",", ":"))
    (folder / "content").write_text(content)

    done = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER",
         "-inkey", "key.der", "-in", "content", "-sigfile", "signature"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Verified Successfully" in done.stdout


def test_damaged_checkpoint_file_is_no_checkpoint(
    records: Database, home: Home, now: datetime
) -> None:
    """A file with one byte changed is refused or fails its signature, whichever byte it is."""
    add_entries(records, 1, now)
    path = checkpoints.write_checkpoint(mark(records, home, now), home.checkpoints_dir)
    whole = path.read_bytes()

    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        try:
            verdict = check(records, checkpoints.read_checkpoints(home.checkpoints_dir))
        except BadInputError:
            continue
        assert not verdict.is_whole, place


def test_checkpoint_is_due_once_a_day_and_only_when_the_log_grew(
    records: Database, home: Home, now: datetime
) -> None:
    """No checkpoint of an empty log, none twice of one head, one a day otherwise."""
    due = []
    for hours in (0, 1, 30):
        at = now + timedelta(hours=hours)
        with records.transaction() as session:
            due.append(checkpoints.is_due(session, at))
        if hours == 0:
            add_entries(records, 1, at)
            mark(records, home, at)
            with records.transaction() as session:
                due.append(checkpoints.is_due(session, at + timedelta(days=3)))
        add_entries(records, 1, at)

    assert due == [False, False, False, True]


def test_site_key_is_readable_by_its_owner_only(
    records: Database, home: Home, now: datetime
) -> None:
    """The key's file gives no right to anybody else."""
    mark(records, home, now)

    assert (home.folder / "site-key.pem").stat().st_mode & 0o077 == 0
